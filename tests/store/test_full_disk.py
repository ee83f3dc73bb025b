"""A disk that is full, at start and in the midst of work: a real small file system, or a limit on files where none
can be mounted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError
from waiting import wait_until

from app.errors import StoreUnavailable
from app.store.embedded import EmbeddedMongo
from config import ROOT, Settings

pytestmark = pytest.mark.slow

CHUNK = b"x" * 65_536


@pytest.fixture
def small_disk(tmp_path) -> Iterator:
    """Mounts file systems in memory: `small_disk(megabytes)` is the folder of one."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    mounted: list[Path] = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left; the file that takes it."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(CHUNK)
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")
    return filler


def is_told_of_the_disk(sentence: str, folder: Path) -> bool:
    assert "Frame" not in sentence
    assert "{" not in sentence
    return f"cannot write to DATA_DIR, {folder}: no space left on device (" in sentence


@pytest.mark.parametrize("left", [0, 10_000, 40_000])
def test_a_server_that_cannot_start_on_a_full_disk_says_so(small_disk, left):
    folder = small_disk(20)
    filler = fill(folder)
    os.truncate(filler, filler.stat().st_size - left)
    with pytest.raises(StoreUnavailable) as caught:
        EmbeddedMongo(folder).join()
    sentence = str(caught.value)
    assert is_told_of_the_disk(sentence, folder) or "DATA_DIR cannot be used: [Errno 28] No space" in sentence, sentence


def test_a_disk_that_fills_up_is_told_of_and_all_goes_on_once_there_is_room(small_disk, make_app):
    folder = small_disk(60)
    app = make_app(mongodb_uri=None, data_dir=folder, dqm_url="http://127.0.0.1:9")
    driftwatch = app.extensions["driftwatch"]
    driftwatch.store.ping()
    driftwatch.start(only=[])
    driftwatch.store.events.record("kept", None, "tests")
    client = app.test_client()
    assert client.get("/fetch/").status_code == 200
    filler = fill(folder)

    def told() -> bool:
        with contextlib.suppress(PyMongoError, StoreUnavailable):
            driftwatch.store.events._collection.insert_one({"much": os.urandom(500_000)})
        answer = client.get("/fetch/")
        return answer.status_code == 503 and is_told_of_the_disk(answer.text, folder)

    wait_until(told)
    filler.unlink()
    wait_until(lambda: client.get("/fetch/").status_code == 200)
    assert driftwatch.store.events._collection.count_documents({"what": "kept"}) == 1


def test_a_limit_on_the_size_of_files_is_told_of(tmp_path):
    script = (
        "import resource, signal, sys; from pathlib import Path; from app.store.embedded import EmbeddedMongo\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000,) * 2); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "EmbeddedMongo(Path(sys.argv[1])).join()"
    )
    ended = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert f"cannot write to DATA_DIR, {tmp_path}: file too large (" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["serve", "runs"])
def test_a_command_on_a_full_disk_ends_with_one_sentence(small_disk, command):
    folder = small_disk(20)
    fill(folder)
    environment = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    ended = subprocess.run(
        [Path(sys.executable).with_name("flask"), command],
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(folder / "data"), "PORT": "0"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert "no space left on device" in ended.stderr.lower()


def test_an_export_to_a_full_disk_ends_with_one_sentence(small_disk, mongodb, app):
    folder = small_disk(1)
    fill(folder)
    runner = app.test_cli_runner()
    ended = runner.invoke(args=["export", "models", "--out", str(folder / "models.jsonl")])
    assert ended.exit_code != 0
    assert "no space left on device" in ended.output.lower()
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("value", ["file", "file/data"])
def test_a_data_folder_that_is_a_file_is_a_sentence_at_start(tmp_path, value):
    (tmp_path / "file").touch()
    environment = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    ended = subprocess.run(
        [Path(sys.executable).with_name("flask"), "serve"],
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(tmp_path / value), "PORT": "0"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert ended.stderr.startswith(f"Error: DATA_DIR is {tmp_path / value}, but the log cannot be kept there: ")
    assert "Traceback" not in ended.stderr
