"""`flask export` and `flask import`."""

import json
import zipfile

import pytest
from filled_database import RUN, fill, whole

from app.accounts import Role


@pytest.fixture
def commands(driftwatch, app):
    fill(driftwatch)
    return app.test_cli_runner()


@pytest.fixture
def other(make_app):
    app = make_app()
    return app.extensions["driftwatch"], app.test_cli_runner()


def test_all_goes_through_a_file_from_one_database_into_another(commands, driftwatch, other, tmp_path):
    path = tmp_path / "all.zip"
    assert commands.invoke(args=["export", "all", "--format", "parquet", "--out", str(path)]).exit_code == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["all.zip"]
    there, run = other
    dry = run.invoke(args=["import", str(path), "--dry-run"])
    assert dry.exit_code == 0
    assert f"runs.parquet line 1: new: runs: run {RUN}" in dry.stdout
    assert dry.stdout.endswith("Nothing was imported.\n")
    assert not there.store.runs.count()
    done = run.invoke(args=["import", str(path)])
    assert (done.exit_code, done.output.split(". ")[1]) == (0, f"{dry.stdout.count(': new: ')} rows were imported.\n")
    assert whole(there) == whole(driftwatch)
    assert "the same is there. 0 rows were imported" in run.invoke(args=["import", str(path)]).output


def test_a_bad_line_is_named_and_nothing_is_imported_unless_asked(commands, other, tmp_path):
    path = tmp_path / "labels.jsonl"
    commands.invoke(args=["export", "labels", "--out", str(path)])
    path.write_text(path.read_text().replace('"seq":2', '"seq":0', 1))
    there, run = other
    refused = run.invoke(args=["import", str(path)])
    assert refused.exit_code == 1
    assert "labels.jsonl line 3: bad: seq is 0, but must be a whole number from 1 to 2,147,483,647." in refused.output
    assert "Nothing was imported" in refused.output
    assert not whole(there)["labels"]
    kept = run.invoke(args=["import", str(path), "--keep-going"])
    assert kept.exit_code == 0, kept.output
    assert whole(there)["labels"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "kind is 'nothing', but must be one or more of runs, histograms"),
        (["users"], "kind is 'users'"),
        (["runs", "--format", "xml"], "format is 'xml'"),
        (["runs", "--runs", "9-3"], "runs is '9-3'"),
        (["runs", "--most-bad", "3"], "kind is 'runs', but must be good-runs"),
        (["good-runs", "--most-bad", "-3"], "most bad is -3"),
    ],
)
def test_what_cannot_be_exported_is_said_and_no_file_is_left(commands, tmp_path, arguments, sentence):
    result = commands.invoke(args=["export", *arguments, "--out", str(tmp_path / "x")])
    assert result.exit_code == 1
    assert sentence in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_or_written_is_a_sentence(commands, tmp_path):
    assert "must be a file that can be written" in commands.invoke(args=["export", "runs", "--out", "/no/x"]).output
    assert "must be one that can be read" in commands.invoke(args=["import", str(tmp_path / "none")]).output


def test_runs_narrow_every_kind_that_has_runs(commands, driftwatch, tmp_path):
    path = tmp_path / "some.zip"
    commands.invoke(args=["export", "all", "--runs", f"{RUN + 7}-{RUN + 9}", "--out", str(path)])
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["filters"] == {"runs": [RUN + 7, RUN + 9]}
    rows = {file["name"]: file["rows"] for file in manifest["files"]}
    # one problem ended before
    expected = {"runs.jsonl": 0, "histograms.jsonl": 0, "labels.jsonl": 0, "scores.jsonl": 0, "problems.jsonl": 1}
    assert {name: rows[name] for name in expected} == expected
    assert manifest["schema"] == 1
    assert manifest["program"]
    assert all(column["words"] for file in manifest["files"] for column in file["columns"])


def test_good_runs_to_the_standard_output(commands):
    assert json.loads(commands.invoke(args=["export", "good-runs", "--out", "-"]).output) == []


def test_only_an_admin_imports_and_anybody_who_may_look_exports(make_app, sign_in, tmp_path):
    app = make_app(driftwatch_user="eva")
    sign_in(app.test_client(), Role.ADMIN, "root")
    sign_in(app.test_client(), Role.EXPERT, "eva")
    run = app.test_cli_runner()
    path = tmp_path / "x.jsonl"
    assert run.invoke(args=["export", "runs", "--out", str(path)]).exit_code == 0
    refused = run.invoke(args=["import", str(path)])
    assert refused.exit_code == 1
    assert "This takes the role admin" in refused.output
