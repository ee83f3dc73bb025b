"""`make run` as its user sees it: a process of its own, started, used, and stopped."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from pymongo import MongoClient
from waiting import PATIENCE, wait_until

from app import create_app
from app.store.embedded import EmbeddedMongo
from config import ROOT, Settings

pytestmark = pytest.mark.slow

SETTINGS = {name.upper() for name in Settings.model_fields}
FLASK = Path(__import__("sys").executable).with_name("flask")
NO_SERVER = {"DQM_URL": "http://127.0.0.1:9"}  # where a test needs no runs: none is fetched, no demonstration started


def environment(tmp_path, **settings):
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return clean | {"DATA_DIR": str(tmp_path / "data"), "PORT": "0"} | settings


def flask(tmp_path, *arguments, **settings):
    """Run a command to its end."""
    return subprocess.run(
        [FLASK, *arguments], cwd=ROOT, env=environment(tmp_path, **settings), capture_output=True, text=True
    )


@contextmanager
def serving(tmp_path, preexec_fn=None, **settings):
    """A `flask serve`, once it has said where it is; its process and its address."""
    process = subprocess.Popen(
        [FLASK, "serve"],
        cwd=ROOT,
        env=environment(tmp_path, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=preexec_fn,
    )
    try:
        yield process, re.search(r"http://[\d.]+:\d+", line_that_begins(process, "Driftwatch is at "))[0]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            process.stdout.close()


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """A folder in whose data a command, here in this process, fetched and scored a run. Look, do not change."""
    folder = tmp_path_factory.mktemp("fetched")
    app = create_app(Settings(data_dir=folder / "data"))
    assert app.test_cli_runner().invoke(args=["fetch", "302700", "--wait"]).exit_code == 0
    app.extensions["driftwatch"].close()
    return folder


@pytest.fixture
def with_a_run(fetched, tmp_path):
    """A folder with a copy of these data."""
    spare = shutil.ignore_patterns("WiredTigerPreplog.*")  # 200 MB of journal in which nothing is written yet
    return shutil.copytree(fetched, tmp_path, ignore=spare, dirs_exist_ok=True)


def line_that_begins(process, words):
    lines = iter(process.stdout.readline, "")
    return next((line for line in lines if line.startswith(words)), "it ended without saying so")


def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def maps_of(pid):
    return Path(f"/proc/{pid}/maps").read_text()


def alive(pid):
    return Path(f"/proc/{pid}").exists() and "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()


def processes_with(text):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in command:
            found.append(int(folder.name))
    return found


def test_a_newcomer_gets_two_scored_runs_and_ctrl_c_stops_all_that_was_started(tmp_path):
    with serving(tmp_path) as (process, url):
        wait_until(lambda: {r["state"] for r in get(f"{url}/api/v1/runs")["runs"]} == {"finished"})
        runs = get(f"{url}/api/v1/runs")["runs"]
        assert [(r["number"], r["done"], r["missing"]) for r in runs] == [(302635, 250, 0), (302634, 250, 0)]
        started = [*children(process.pid), *processes_with(str(tmp_path))]
        assert len(started) >= 2  # a mongod and a DQM server at least
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        wait_until(lambda: not any(alive(pid) for pid in started))


def test_it_ends_when_told_even_if_it_was_started_in_the_background_of_a_shell(tmp_path):
    # Such a shell starts it with SIGINT ignored.
    for told in (signal.SIGINT, signal.SIGTERM):
        with serving(tmp_path, lambda: signal.signal(signal.SIGINT, signal.SIG_IGN), **NO_SERVER) as (process, _):
            process.send_signal(told)
            assert process.wait(PATIENCE) == 0


def test_whoever_starts_it_is_let_in_as_the_admin_once(with_a_run):
    with serving(with_a_run, **NO_SERVER) as (process, url):
        link = line_that_begins(process, "Sign in as admin, once").split()[-1]
        assert link.startswith(f"{url}/sign-in/link/")
        session = requests.Session()
        assert session.delete(f"{url}/api/v1/runs/302700").status_code == 401
        assert session.get(link).status_code == 200
        assert session.post(link).status_code == 200
        assert session.delete(f"{url}/api/v1/runs/302700").status_code == 202
        assert requests.post(link).status_code == 403
        assert flask(with_a_run, "users", "list").stdout.split()[:2] == ["admin", "admin"]


def test_no_link_is_printed_where_others_could_use_it_and_nobody_is_let_in_by_that(tmp_path):
    with serving(tmp_path, HOST="0.0.0.0", **NO_SERVER) as (process, url):
        wait_until(lambda: get(f"{url}/healthz"))
        process.send_signal(signal.SIGINT)
        assert "sign-in/link" not in process.stdout.read()
        assert process.wait(PATIENCE) == 0


def test_a_second_start_finds_the_data_and_loads_tensorflow_for_the_first_job_only(with_a_run):
    before = flask(with_a_run, "runs", "--json").stdout
    assert json.loads(before)["number"] == 302700
    with serving(with_a_run) as (process, url):
        for page in ("/", "/fetch/", "/eval/302700/-1/2/1/", "/data/net_scores/", "/api/v1/scores", "/healthz"):
            with urllib.request.urlopen(url + page) as answer:
                assert answer.status == 200
        assert [run["number"] for run in get(f"{url}/api/v1/runs")["runs"]] == [302700]
        assert flask(with_a_run, "runs", "--json").stdout == before
        assert "tensorflow" not in maps_of(process.pid)
        assert flask(with_a_run, "fetch", "302701").returncode == 0
        wait_until(lambda: get(f"{url}/api/v1/runs/302701")["state"] == "finished")
        assert "tensorflow" in maps_of(process.pid)
        assert flask(with_a_run, "fetch", "302701", "--wait").returncode == 0
        assert get(f"{url}/api/v1/runs/302701")["done"] == 250  # the server still has its database
    after = flask(with_a_run, "runs", "--json").stdout.splitlines()
    assert [json.loads(line)["number"] for line in after] == [302701, 302700]
    assert processes_with(str(with_a_run)) == []


@pytest.mark.soak
def test_killed_in_the_midst_of_a_run_it_goes_on_after_the_next_start(tmp_path):
    with serving(tmp_path) as (process, url):
        wait_until(lambda: get(f"{url}/api/v1/runs/302634")["done"] > 0)
        process.send_signal(signal.SIGKILL)
    with serving(tmp_path) as (_, url):
        wait_until(lambda: {r["state"] for r in get(f"{url}/api/v1/runs")["runs"]} == {"finished"})
        assert [run["done"] for run in get(f"{url}/api/v1/runs")["runs"]] == [250, 250]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PORT": "eighty"}, "PORT is 'eighty': input should be a valid integer"),
        ({"DQM_URL": "nowhere"}, "DQM_URL is 'nowhere': must begin with http:// or https://"),
        ({"MONGODB_URI": "mongodb://127.0.0.1:1/x"}, "The database does not answer"),
        ({"HOST": "192.0.2.1"}, "HOST and PORT are 192.0.2.1 and 0, but that cannot be listened on"),
        ({"MODEL_DIR": "/nowhere"}, "/nowhere"),
        ({"SECRET_KEY": "too short"}, "SECRET_KEY is not shown: string should have at least 32 characters"),
    ],
)
def test_what_cannot_start_says_why_in_a_sentence_and_leaves_nothing_running(tmp_path, settings, sentence):
    ended = flask(tmp_path, "serve", **settings)
    assert ended.returncode != 0
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert processes_with(str(tmp_path)) == []


def test_an_import_whose_client_is_gone_is_put_away_at_once(tmp_path):
    line = {"number": 0, "state": "finished", "total": 250, "done": 250, "missing": 0, "rate": None, "why": "w" * 150}
    line |= {"source": "s", "requested_by": "ann", "requested_at": "2026-11-28T00:00:00Z", "started_at": None}
    line |= {"finished_at": None, "model": None, "summary": {}, "reasons": {}}
    manifest = {"manifest": {"format": "driftwatch export", "schema": 1, "kind": "runs", "version": 1}}
    rows = [json.dumps(one) for one in (manifest, *({**line, "number": number} for number in range(1, 100_000)))]
    database = EmbeddedMongo(tmp_path / "data")
    with serving(tmp_path, **NO_SERVER) as (process, url), MongoClient(database.join()) as client:
        link = line_that_begins(process, "Sign in as admin, once").split()[-1]
        session = requests.Session()
        session.post(link)
        cookie = "; ".join(f"{one.name}={one.value}" for one in session.cookies)
        head = '--b\r\nContent-Disposition: form-data; name="file"; filename="runs.jsonl"\r\n\r\n'
        content = (head + "\n".join(rows) + "\r\n--b--\r\n").encode()
        host, port = url.removeprefix("http://").split(":")
        imports, kept = (client.get_default_database()[name] for name in ("imports", "import_rows"))
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /data/import HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\n"
            head += "Content-Type: multipart/form-data; boundary=b\r\n"
            connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            wait_until(kept.find_one)
        wait_until(lambda: imports.find_one() is None and kept.find_one() is None)  # else they would wait for a day
        assert requests.get(f"{url}/healthz").ok
        database.leave()
