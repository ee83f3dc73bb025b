"""Where the tests' databases lie: on a RAM disk where there is one with room, so that nobody waits for a disk to flush.

The servers acknowledge writes as everywhere else; only what `fsync` costs is saved.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.store.embedded import EmbeddedMongo

RAM_DISK = Path("/dev/shm")
BYTES_A_SERVER = 1_000_000_000  # its journal alone takes 300 MB
LEAST_BYTES = 2_000_000_000
PREFIX = "driftwatch-tests-"  # then the process id of whoever made it


@contextmanager
def database_folder(
    otherwise: Path, servers: int = 1, ram_disk: Path = RAM_DISK, mounts: Path = Path("/proc/mounts")
) -> Iterator[Path]:
    """A new folder for a database, removed in the end.

    Args:
        otherwise: the folder to make it in where there is no RAM disk with room, as in most containers.
        servers: how many databases there will be at a time, such as one for each of pytest's workers.
    """
    room = max(LEAST_BYTES, servers * BYTES_A_SERVER)
    parent = ram_disk if _free(ram_disk, mounts) >= room else otherwise
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def remove_left_over(ram_disk: Path = RAM_DISK) -> None:
    """Stop the databases of tests that were killed, and give back the memory that they take."""
    for folder in ram_disk.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).split("-")[0]
        if folder.stat().st_uid == os.getuid() and not Path(f"/proc/{pid}").exists():
            server = EmbeddedMongo(folder)
            if server.pid:
                server.join()
                server.leave()
            shutil.rmtree(folder)


def _free(ram_disk: Path, mounts: Path) -> int:
    """Bytes that can be written to a RAM disk; 0 where it is none of ours."""
    try:
        kinds = {place: kind for _, place, kind, *_ in map(str.split, mounts.read_text().splitlines())}
    except OSError:  # not Linux
        return 0
    if kinds.get(str(ram_disk)) != "tmpfs" or not os.access(ram_disk, os.W_OK | os.X_OK):
        return 0
    return min(shutil.disk_usage(ram_disk).free, _available_memory())


def _available_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
