"""The databases of the tests lie on a RAM disk where there is one with room, otherwise among other temporary files."""

import os
import subprocess
import sys

import pytest
from ram_disk import PREFIX, RAM_DISK, _free, database_folder, remove_left_over

from app.store.embedded import EmbeddedMongo


def mounted(tmp_path, place, kind):
    """A table of mounts, as the kernel writes it."""
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nnone {place} {kind} rw,nosuid 0 0\n")
    return table


def test_a_database_lies_on_a_ram_disk_with_room_and_is_removed_from_it(tmp_path):
    if _free(RAM_DISK, mounted(tmp_path, RAM_DISK, "tmpfs")) < 2_000_000_000:
        pytest.skip(f"{RAM_DISK} lacks the room")
    with database_folder(tmp_path, mounts=mounted(tmp_path, RAM_DISK, "tmpfs")) as folder:
        assert folder.parent == RAM_DISK
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_bytes(b"x")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("place", "kind", "servers"), [("", "ext4", 1), ("/elsewhere", "tmpfs", 1), ("", "tmpfs", 10**6)]
)
def test_a_database_lies_among_temporary_files_where_there_is_no_ram_disk_or_no_room(tmp_path, place, kind, servers):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts = mounted(tmp_path, place or disk, kind)
    with database_folder(tmp_path, servers, disk, mounts) as folder:
        assert folder.parent == tmp_path
    assert not folder.exists()


def test_a_ram_disk_that_is_not_there_or_not_told_of_is_not_used(tmp_path):
    for mounts in (mounted(tmp_path, tmp_path / "none", "tmpfs"), tmp_path / "no-table"):
        with database_folder(tmp_path, ram_disk=tmp_path / "none", mounts=mounts) as folder:
            assert folder.parent == tmp_path


@pytest.mark.slow
def test_what_tests_that_were_killed_left_on_the_ram_disk_is_stopped_and_removed_and_nothing_else(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left, ours = (tmp_path / f"{PREFIX}{pid}-x" for pid in (dead.stdout.strip(), os.getpid()))
    for folder in (left, ours):
        folder.mkdir()
    server = EmbeddedMongo(left)
    server.join()
    pid = server.pid
    server._forget()  # as the kernel does for a program that is killed
    remove_left_over(tmp_path)
    assert list(tmp_path.iterdir()) == [ours]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
