"""`/data/` and the API: files out as they are made, files in only after they were looked at."""

import io
import json
import zipfile
from dataclasses import replace

import pytest
from filled_database import PLACES, RUN, fill, whole

from app.accounts import Role
from app.domain.labels import Seen
from app.transfer import bounds


@pytest.fixture
def client(client, driftwatch):
    fill(driftwatch)
    return client


@pytest.fixture
def other(make_app, sign_in):
    """(Driftwatch, client of an admin) of an empty database."""
    app = make_app()
    client = app.test_client()
    sign_in(client, Role.ADMIN, "root")
    return app.extensions["driftwatch"], client


def upload(client, content, name="all.zip"):
    return client.post("/data/import", data={"file": (io.BytesIO(content), name)})


def test_the_page_has_every_kind_and_format_and_for_admins_the_import(client, anonymous):
    page = client.get("/data/").text
    for words in ("runs", "histograms", "scores", "labels", "problems", "models"):
        assert f'name="kind" value="{words}"' in page
    assert 'type="file"' in page
    assert 'type="file"' not in anonymous.get("/data/").text


def test_from_page_to_page_a_database_goes_into_another(client, driftwatch, other):
    answer = client.get("/data/export?kind=all&format=csv")
    assert answer.mimetype == "application/zip"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="driftwatch-export.zip"'
    there, admin = other
    sent = upload(admin, answer.data)
    assert sent.status_code == 303
    report = admin.get(sent.location).text
    assert "Nothing was imported yet" in report
    assert f"run {RUN}" in report
    assert not there.store.runs.count()
    assert admin.post(f"{sent.location}write").status_code == 303
    assert "were imported" in admin.get(sent.location).text
    after = whole(there)
    for name, documents in whole(driftwatch).items():
        if name != "models":  # those that ship were there already, since a page was looked at
            assert after[name] == documents, name
    assert admin.post(f"{sent.location}write").status_code == 409


def test_wrong_rows_are_shown_and_left_out_only_when_that_is_asked_for(client, other):
    there, admin = other
    labels = client.get("/data/export?kind=labels&format=jsonl").data.replace(b'"seq":2', b'"seq":0', 1)
    sent = upload(admin, labels, "labels.jsonl")
    report = admin.get(f"{sent.location}?outcome=bad").text
    assert "seq is 0, but must be a whole number from 1 to 2,147,483,647." in report
    assert "leave out what is wrong" in report
    assert admin.post(f"{sent.location}write").status_code == 409
    assert admin.post(f"{sent.location}write", data={"keep_going": "true"}).status_code == 303
    assert whole(there)["labels"]


def test_what_was_checked_can_be_put_away(client, other):
    sent = upload(other[1], client.get("/data/export?kind=runs&format=jsonl").data, "runs.jsonl")
    assert other[1].post(f"{sent.location}discard").status_code == 303
    assert other[1].get(sent.location).status_code == 404


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("kind=runs&format=xml", "xml"),
        ("kind=runs&runs=9-3", "a range that begins with its lower run"),
        ("kind=users", "users"),
        ("format=csv", "Choose at least one kind"),
    ],
)
def test_a_wrong_wish_is_told_on_the_page(client, query, sentence):
    answer = client.get(f"/data/export?{query}")
    assert answer.status_code == 400
    assert sentence in answer.text


def test_a_wrong_file_is_told_on_the_page(client):
    answer = upload(client, b"no export", "notes.txt")
    assert answer.status_code == 400
    assert "notes.txt" in answer.text
    assert client.post("/data/import").status_code == 400
    assert client.get("/data/import/nothing/").status_code == 404


def test_an_upload_beyond_the_limit_is_refused(client, monkeypatch):
    monkeypatch.setattr(bounds, "ON_PAGE", replace(bounds.ON_PAGE, file=1_500_000))

    def upload_large(size):
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n{'
        content = head + b" " * size + b"\r\n--b--\r\n"
        return client.post("/data/import", data=content, content_type="multipart/form-data; boundary=b")

    assert upload_large(1_200_000).status_code == 400  # larger than any other request may be
    assert upload_large(1_600_000).status_code == 413
    assert client.post("/api/v1/import", data=b"{" + b" " * 1_600_000).status_code == 413


@pytest.mark.parametrize("role", [None, "viewer", "shifter", "expert"])
def test_only_admins_import(app, sign_in, role):
    client = app.test_client()
    if role:
        sign_in(client, role)
    refused = 403 if role else 401
    assert upload(client, b"{}").status_code == refused
    assert client.post("/api/v1/import", data=b"{}").status_code == refused
    for action in ("write", "discard"):
        assert client.post(f"/data/import/{'0' * 24}/{action}").status_code == refused
    assert client.get("/data/export?kind=runs").status_code == 200


def test_nobody_exports_where_nobody_may_look(make_app):
    client = make_app(anonymous="nobody").test_client()
    assert client.get("/api/v1/export/runs").status_code == 401
    assert client.get("/data/export?kind=runs").status_code == 303


# --- what a second opinion must not be swayed by ---


def test_a_label_of_which_a_second_opinion_is_wanted_is_kept_from_whoever_is_to_give_it(make_app, sign_in):
    app = make_app(second_opinions=1)
    driftwatch = app.extensions["driftwatch"]
    fill(driftwatch, places=PLACES[:3])
    seen = Seen.of(driftwatch.store.items.look(RUN, PLACES[1]))
    first = driftwatch.labelling.submit("ann", RUN, PLACES[1], [1], "a-key-of-ann", seen).event
    assert first.second

    def exported_to(role, name):
        client = app.test_client()
        sign_in(client, role, name)
        lines = client.get("/api/v1/export/labels").data.splitlines()[1:-1]
        return first.id in {json.loads(line)["id"] for line in lines}

    assert not exported_to("shifter", "bob")
    assert exported_to("shifter", "ann")
    assert exported_to("admin", "root")


# --- the API ---


def test_the_api_sends_what_the_page_sends(client):
    lines = client.get(f"/api/v1/export/scores?runs={RUN}").data.splitlines()
    assert json.loads(lines[0])["manifest"]["kind"] == "scores"
    assert json.loads(lines[1])["run"] == RUN
    assert json.loads(lines[-1])["end"]["rows"] == len(lines) - 2
    two = zipfile.ZipFile(io.BytesIO(client.get("/api/v1/export/runs,labels?format=parquet").data))
    assert two.namelist() == ["runs.parquet", "labels.parquet", "manifest.json"]
    assert client.get("/api/v1/export/training-2018").json[0]["lumi"] == "-1"
    assert client.get("/api/v1/good-runs?most_bad=250").json == []
    assert client.get("/api/v1/export/users").status_code == 400
    assert client.get("/api/v1/export/runs?format=xml").status_code == 400
    assert client.get("/api/v1/export/runs?runs=x").status_code == 400


def test_an_export_is_sent_as_it_is_made(client):
    with client.get("/api/v1/export/scores", buffered=False) as answer:
        assert answer.is_streamed


def test_no_export_has_an_account_or_a_password(client, driftwatch):
    driftwatch.store.users.change("tests", password="$argon2id$not-to-be-seen")
    content = client.get("/api/v1/export/all?format=jsonl").data
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not any(b"argon2" in archive.read(name) for name in archive.namelist())


def test_the_api_imports_after_a_dry_run_and_names_the_first_bad_line(client, other):
    there, admin = other
    content = client.get("/api/v1/export/labels").data
    dry = admin.post("/api/v1/import?dry_run=true&name=labels.jsonl", data=content).json
    assert dry["state"] == "checked"
    assert {row["outcome"] for row in dry["rows"]} == {"new"}
    assert not whole(there)["labels"]
    refused = admin.post("/api/v1/import?name=labels.jsonl", data=content.replace(b'"seq":2', b'"seq":0', 1))
    assert refused.status_code == 409
    assert "labels.jsonl line 3: seq is 0" in refused.json["detail"]
    done = admin.post("/api/v1/import", data=content).json
    assert done["counts"] == {"labels": {"new": len(dry["rows"])}}
    assert done["state"] == "done"
    assert admin.post("/api/v1/import", data=b"no export").status_code == 400


def test_the_description_of_the_api_has_it(client):
    paths = client.get("/api/v1/openapi.json").json["paths"]
    assert {"/api/v1/export/{kinds}", "/api/v1/good-runs", "/api/v1/import"} <= set(paths)
