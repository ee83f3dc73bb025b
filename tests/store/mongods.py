"""MongoDB servers that are particular: with accounts, with TLS, in a replica set."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure
from waiting import PATIENCE, wait_until

from app.store import embedded


@contextmanager
def mongod(folder: Path, *options: object, uri_options: str = "appname=tests") -> Iterator[str]:
    """A server on loopback; gives `127.0.0.1:PORT` once it answers. `uri_options` are what it takes to reach it."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(embedded._binary(), "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1"),
                *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false", *options),
            ],
            stdout=log,
            stderr=log,
        )
    address = f"127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-2_000:]
        with MongoClient(
            f"mongodb://{address}/?directConnection=true&{uri_options}", serverSelectionTimeoutMS=200
        ) as client:
            try:
                client.admin.command("ping")
            except ConnectionFailure:
                return False
            return True

    try:
        wait_until(answers)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE)
