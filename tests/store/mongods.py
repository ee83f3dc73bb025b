"""MongoDB servers that are particular: with accounts, with TLS, in a replica set. And certificates for them."""

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


def certificates(folder: Path) -> Path:
    """An authority, a stranger, and from the authority a server's certificate and a client's, each with its key."""
    folder.mkdir()

    def openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)

    def key_and(name: str, *arguments: object) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", f"{name}.key")
        openssl("req", *key, "-subj", f"/CN={name}", *arguments)

    for authority in ("authority", "stranger"):
        key_and(authority, "-x509", "-days", 2, "-out", f"{authority}.pem")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        key_and(name, "-new", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"{extension}\nauthorityKeyIdentifier=keyid\n")
        signed = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-days", 2, "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)
        (folder / f"{name}.pem").write_bytes(
            (folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes()
        )
    openssl("pkey", "-in", "client.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
    (folder / "locked.pem").write_bytes((folder / "client.crt").read_bytes() + (folder / "locked.key").read_bytes())
    return folder
