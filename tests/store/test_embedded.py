import contextlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient
from waiting import wait_until

from app.errors import StoreUnavailable
from app.store import embedded
from app.store.embedded import EmbeddedMongo
from config import ROOT

pytestmark = pytest.mark.slow


def answers(server: EmbeddedMongo) -> bool:
    return server._answers()


def test_the_first_to_join_starts_the_server_and_the_last_to_leave_stops_it(tmp_path):
    first, second = EmbeddedMongo(tmp_path), EmbeddedMongo(tmp_path)
    first.join()
    pid = first.pid
    assert second.join() == first.uri
    assert second.pid == pid
    first.leave()
    assert answers(second)
    second.leave()
    assert not answers(second)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_was_written_is_there_after_a_restart(tmp_path):
    server = EmbeddedMongo(tmp_path)
    for expected in (0, 1):
        with MongoClient(server.join()) as client:
            assert client.test.things.count_documents({}) == expected
            client.test.things.insert_one({})
        server.leave()


def descriptors(pid):
    """What the process has open; a server at work may close one while they are listed."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(link)


def test_only_its_owner_can_reach_it_and_it_listens_on_no_port(tmp_path):
    server = EmbeddedMongo(tmp_path)
    server.join()
    try:
        assert stat.S_IMODE(server._socket.stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "mongodb").stat().st_mode) == 0o700
        listening = [line.split() for line in Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]]
        sockets = {f"socket:[{fields[9]}]" for fields in listening if fields[3] == "0A"}
        assert not sockets & set(descriptors(server.pid))
    finally:
        server.leave()


def test_a_data_folder_with_a_very_long_name_works(tmp_path):
    server = EmbeddedMongo(tmp_path / ("long" * 40))
    server.join()
    assert answers(server)
    server.leave()


def test_a_server_left_behind_by_a_killed_program_is_taken_over(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from app.store.embedded import EmbeddedMongo\n"
        "server = EmbeddedMongo(Path(sys.argv[1])); server.join(); print(server.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as program:
        pid = int(program.stdout.readline())
        program.kill()
    server = EmbeddedMongo(tmp_path)
    server.join()
    assert server.pid == pid
    server.leave()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_server_that_was_killed_is_started_again(tmp_path):
    server = EmbeddedMongo(tmp_path)
    server.join()
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not answers(server))
    server.join()
    assert answers(server)
    assert server.pid != killed
    server.leave()


def test_a_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    program = tmp_path / "mongod"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file'\nexit 127\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(embedded, "_binary", lambda: program)
    with pytest.raises(StoreUnavailable, match=r"libcurl\.so\.4.*package libcurl4.*MONGODB_URI"):
        EmbeddedMongo(tmp_path / "data").join()


def test_a_damaged_data_folder_is_an_error_that_names_the_log(tmp_path):
    server = EmbeddedMongo(tmp_path)
    server.join()
    server.leave()
    (tmp_path / "mongodb" / "db" / "WiredTiger.turtle").write_text("rubbish")
    with pytest.raises(StoreUnavailable, match=r"could not start: .*mongod\.log"):
        server.join()


def test_a_data_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"DATA_DIR cannot be used.*file"):
        EmbeddedMongo(tmp_path / "file").join()


def test_a_platform_without_a_server_says_to_name_one(monkeypatch):
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreUnavailable, match="set MONGODB_URI"):
        embedded._binary()
