"""A database made by the code of commit 38d885f, opened by this program: nothing is lost, answers stay as they were."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from pymongo import MongoClient
from waiting import wait_until

from app import create_app
from app.domain.runs import RunState
from config import ROOT, Settings

OLD = "38d885f"
RUN = 302634
KINDS = ("runs", "histograms", "scores", "past_scores", "labels", "problems", "models", "thresholds")


@pytest.fixture(scope="module")
def filled(mongodb, demo, tmp_path_factory):
    """(URI of the database, folder with what the old program answered)."""
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the history of the project is not here: commit {OLD} is not known to git")
    code = folder / "code"
    code.mkdir()
    subprocess.run(["tar", "-x", "-C", code], input=archive.stdout, check=True)
    uri = f"{mongodb}/test_{uuid.uuid4().hex}"
    own = {"MONGODB_URI": uri, "DQM_URL": demo.url, "DATA_DIR": str(folder / "data"), "SECOND_OPINIONS": "1"}
    script = Path(__file__).with_name("fill_by_38d885f.py")
    run = subprocess.run(
        [sys.executable, script, folder], cwd=code, env=os.environ | own, capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr[-3000:]
    yield uri, folder
    with MongoClient(uri) as client:
        client.drop_database(client.get_default_database())


@pytest.fixture(scope="module")
def opened(filled, demo, tmp_path_factory):
    """The same database, opened by today's program; nothing is at work in it yet."""
    uri, _ = filled
    app = create_app(Settings(mongodb_uri=uri, dqm_url=demo.url, data_dir=tmp_path_factory.mktemp("new")))
    yield app
    app.extensions["driftwatch"].close()


def rows(text):
    return [row for row in map(json.loads, text.splitlines()) if "manifest" not in row and "end" not in row]


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_of_an_export_is_as_it_was(filled, opened, kind):
    before = rows((filled[1] / f"{kind}.jsonl").read_text())
    export = opened.extensions["driftwatch"].exporting.export([kind], "jsonl", "zoe", whole=True)
    after = rows(b"".join(export.pieces).decode())
    assert before
    known = set().union(*before)
    if kind == "runs":
        known -= {"source"}  # it is known now that this server is a demonstration
    assert [{name: row.get(name) for name in known} for row in after] == [
        {name: row.get(name) for name in known} for row in before
    ]


def test_the_api_answers_what_it_did(filled, opened):
    client = opened.test_client()
    for address, before in json.loads((filled[1] / "api.json").read_text()).items():
        if not address.startswith("/"):
            continue
        after = client.get(address).get_json()
        if address == "/api/v1/models":  # those that ship today come to what is there
            names = {model["name"] for model in before["models"]}
            after["models"] = [model for model in after["models"] if model["name"] in names]
        assert list(differing(before, after)) == [], address


def differing(before, after, where=""):
    """What of an answer is not as it was; what is new in it does not count."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in ("source", "card"):
                continue
            yield from differing(value, after.get(name), f"{where}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differing(one, other, f"{where}[{i}]")
    elif before != after:
        yield where, before, after


def test_what_is_kept_beside_is_there_too(filled, opened):
    driftwatch = opened.extensions["driftwatch"]
    assert driftwatch.model == "row-cnn-1"
    roles = {account.name: str(account.role) for account in driftwatch.accounts.all()}
    assert roles == roles | {"zoe": "admin", "eva": "expert", "ann": "shifter", "bob": "shifter"}
    place = driftwatch.store.items.of_run(RUN)[1].place
    was_explained = json.loads((filled[1] / "api.json").read_text())["influence"]
    assert (driftwatch.influence(RUN, place, "chamber-cnn-1", "occlusion") is not None) == was_explained
    assert driftwatch.store.items.get(RUN, place).evaluation["state"] == "disputed"
    assert driftwatch.labelling.agreement().disputed == 1
    assert [one.model for one in driftwatch.store.past_scores.of_item(RUN, place, but="row-cnn-1")] == ["chamber-cnn-1"]


def test_what_was_half_done_is_done(opened):
    driftwatch = opened.extensions["driftwatch"]
    driftwatch.start()
    wait_until(lambda: driftwatch.store.runs.get(302640).state not in (RunState.WAITING, RunState.FETCHING))
    wait_until(lambda: not driftwatch.store.jobs.active())
    assert driftwatch.store.runs.get(302640).state in (RunState.FINISHED, RunState.NOT_FOUND)
