"""The program where the locale knows few characters: nothing dies of one, and what programs read stays JSON."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from pymongo import MongoClient
from waiting import PATIENCE

from app.accounts import Role
from app.store import Store
from app.subsystems.dt import DT
from config import ROOT, Settings

FLASK = Path(sys.executable).with_name("flask")
WHY = "“gone” … −1 × é 日本 \U0001f600"
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"},
    "a Latin-1 pipe": {"PYTHONIOENCODING": "latin-1:strict"},
    "an ASCII pipe": {"PYTHONIOENCODING": "ascii:strict"},
}


@pytest.fixture(scope="session")
def latin_1(tmp_path_factory):
    """A folder with the locale en_US.ISO-8859-1, which few systems have by now."""
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed: no Latin-1 locale can be made")
    folder = tmp_path_factory.mktemp("locales")
    made = subprocess.run(
        ["localedef", "--no-archive", "-i", "en_US", "-f", "ISO-8859-1", folder / "en_US.ISO-8859-1"],
        capture_output=True,
        text=True,
    )
    if not (folder / "en_US.ISO-8859-1").is_dir():
        pytest.skip(f"no Latin-1 locale can be made: {made.stderr.strip()}")
    return folder


@pytest.fixture(params=[name if name == "C" else pytest.param(name, marks=pytest.mark.soak) for name in LOCALES])
def environment(request, tmp_path, mongodb):
    """What a command is started with: one of the locales, and a database with a run whose reason is hard to print."""
    left_out = {*(name.upper() for name in Settings.model_fields), "LC_ALL", "LANG", "LC_CTYPE", "PYTHONUTF8"}
    clean = {name: value for name, value in os.environ.items() if name not in left_out}
    if request.param == "Latin-1":
        clean["LOCPATH"] = str(request.getfixturevalue("latin_1"))
    uri = f"{mongodb}/test_{uuid.uuid4().hex}"
    store = Store(Settings(mongodb_uri=uri), DT)
    store.users.add("boss", Role.ADMIN, None, "tests", "tests")
    store.close()
    settings = {"MONGODB_URI": uri, "DATA_DIR": str(tmp_path / "dätä"), "PORT": "0", "DRIFTWATCH_USER": "boss"}
    yield clean | settings | LOCALES[request.param]
    with MongoClient(uri) as client:
        client.drop_database(client.get_default_database())


def flask(environment, *arguments, **more):
    ended = subprocess.run([FLASK, *arguments], cwd=ROOT, env=environment, capture_output=True, **more)
    said = ended.stderr.decode("latin-1")
    assert "Traceback" not in said
    assert "UnicodeEncodeError" not in said
    return ended


def test_in_every_locale_the_program_starts_prints_and_stops(environment):
    process = subprocess.Popen(
        [FLASK, "serve"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        for line in iter(process.stdout.readline, b""):
            if line.startswith(b"Driftwatch is at "):
                break
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE)[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert process.returncode == 0, said
    assert b"Driftwatch puts its work away ..." in said
    assert b"Traceback" not in said
    log = (Path(environment["DATA_DIR"]) / "driftwatch.log").read_bytes().decode()
    assert "demonstration DQM server at http://" in log


def test_in_every_locale_commands_print_what_they_can_and_json_stays_json(environment):
    with MongoClient(environment["MONGODB_URI"]) as client:
        client.get_default_database()["runs"].insert_one({"_id": 302635, "state": "failed", "why": WHY})
    seen = flask(environment, "runs")
    assert seen.returncode == 0
    assert b"run 302635: stopped" in seen.stdout
    printed = flask(environment, "runs", "--json").stdout  # where the locale knows ASCII only, click prints UTF-8
    run = json.loads(printed.decode("utf-8" if "“".encode() in printed else "latin-1"))
    assert run["why"].replace("...", "…").replace("-1", "−1").replace(" x ", " × ") == WHY
    assert flask(environment, "export", "--help").returncode == 0
    assert flask(environment, "models", "show", "chamber-scan-1", "--markdown").stdout


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_is_read_or_written_in_the_encoding_of_the_locale(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or "encoding" in {keyword.arg for keyword in node.keywords}:
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        written = ast.unparse(node)
        assert called not in {"read_text", "write_text"} or re.search(r"'(ascii|utf-8)'\)$", written), written
        binary = re.search(r"'[rwxa]\+?b'|os\.open|uproot|archive|file\.open|opened", written)
        assert called != "open" or binary or not re.search(r"'[rwxa]\+?'|open\(\)$", written), written
        assert not re.search(r"\b(text|universal_newlines)=True", written), written
