"""Drift on its page, as pictures, in the API."""

import csv
import io
import re

import pytest
from csv_text import csv_text
from queue_of_chambers import PLACES, RUN, load, path

VALUES = {"chambers": 250, "unlike": 0.012, "scores": 0.05, "hits": 1.5, "distances": 0.3}


@pytest.fixture
def measured(driftwatch):
    """Thirty runs that are measured, the first ten by an earlier model, and one that is not."""
    runs = driftwatch.store.runs
    for number in range(1, 31):
        runs.request(number, "tests", 250)
        model = "row-cnn-1" if number <= 10 else "chamber-scan-1"
        drift = {"model": model, **VALUES} | ({"unlike": 0.5} if number == 30 else {})
        runs.update(number, state="finished", done=250, model=model, drift=drift)
    load(driftwatch, {PLACES[0]: {3: 0.6}})
    return driftwatch


def test_the_page_lists_the_runs_with_their_figures_and_says_where_the_model_changed(client, measured):
    page = client.get("/drift/?size=50").text
    assert page.count("changed from row-cnn-1") == 1
    row = page[page.index("/run/11/") : page.index("/run/10/")]
    assert "changed from row-cnn-1" in row
    assert "50.0 %" in page
    assert "<b>0.30</b>" in page
    assert "1 run scored by chamber-scan-1 is not measured yet" in page
    assert "30 runs" in page


def test_the_change_is_told_also_where_the_run_before_is_on_the_next_page(client, measured):
    assert "changed from row-cnn-1" in client.get("/drift/").text


def test_a_range_is_kept_by_the_pictures_and_a_wrong_one_is_refused(client, measured):
    page = client.get("/drift/?first=5&last=7").text
    assert "/drift/unlike.svg?first=5&amp;last=7" in page
    assert "3 runs" in page
    for query in ("first=x", "first=9&last=5", "last=0", "page=7", "size=3"):
        assert client.get(f"/drift/?{query}").status_code == 400, query
    assert client.get("/drift/unlike.svg?first=x").status_code == 400


@pytest.fixture
def various(driftwatch):
    """Runs 1 to 9 whose figures are all in different orders, one of them without some."""
    runs = driftwatch.store.runs
    for number in range(1, 10):
        runs.request(number, "tests", 250)
        values = {name: number * step % 11 / 10 for name, step in (("unlike", 2), ("scores", 3), ("distances", 5))}
        drift = {"model": f"model-{number * 7 % 3}", "chambers": number * 4 % 11, "hits": number * 6 % 11, **values}
        runs.update(number, state="finished", done=250, model=drift["model"], drift=drift)
    runs.update(4, drift={"model": "model-1", **dict.fromkeys(VALUES), "chambers": 0})
    return driftwatch


@pytest.mark.parametrize("sort", ["run", "model", "unlike", "chambers", "scores", "distances", "hits"])
@pytest.mark.parametrize("descending", [True, False])
def test_the_table_and_its_files_have_the_order_of_each_column_in_the_address(client, various, sort, descending):
    query = f"first=2&last=8&sort={'number' if sort == 'run' else sort}&descending={str(descending).lower()}"
    page = client.get(f"/drift/?{query}").text
    assert page.count(f'aria-sort="{"descending" if descending else "ascending"}"') == 1
    assert f'href="/drift/drift.csv?{query.replace("&", "&amp;")}"' in page
    shown = list(map(int, re.findall(r'<th scope="row"><a href="/run/(\d+)/', page)))
    rows = client.get(f"/drift/drift.json?{query}").json
    assert [row["run"] for row in rows] == shown
    assert sorted(shown) == list(range(2, 9))
    keys = [((row[sort] is not None, row[sort] or 0) if sort != "model" else row[sort], row["run"]) for row in rows]
    assert keys == sorted(keys, reverse=descending)
    found = list(csv.DictReader(io.StringIO(csv_text(client.get(f"/drift/drift.csv?{query}")))))
    assert [int(row["run"]) for row in found] == shown
    assert {run: row for run, row in zip(shown, found, strict=True)}[4]["hits"] == ""


def test_a_sorted_table_goes_on_where_the_page_before_ended(client, measured):
    query = "sort=hits&descending=true"  # all the same: then by run
    pages = [client.get(f"/drift/?{query}&size=20&page={page}").text for page in (1, 2)]
    shown = [int(run) for page in pages for run in re.findall(r'<th scope="row"><a href="/run/(\d+)/', page)]
    assert shown == list(range(30, 0, -1))
    assert not any("changed from" in page for page in pages)  # the run before is not the one below
    addresses = re.findall(r'"/drift/unlike\.svg(\?[^"]*)?"', pages[0])
    assert sorted(addresses) == ["", "?scheme=dark", "?scheme=light"]  # over runs, whatever the order


@pytest.mark.parametrize("query", ["sort=colour", "descending=perhaps", "first=9&last=5"])
def test_a_wrong_order_is_refused_by_the_page_and_its_files(client, measured, query):
    assert client.get(f"/drift/?{query}").status_code == 400
    for ending in ("csv", "json"):
        assert client.get(f"/drift/drift.{ending}?{query}").status_code == 400
    assert client.get("/drift/drift.xml").status_code == 404


def test_pictures_are_drawn_with_a_mark_where_the_model_changed(client, measured):
    for name in ("unlike", "stability", "hits"):
        answer = client.get(f"/drift/{name}.svg")
        assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
        assert "chamber-scan-1" in answer.text
        again = client.get(f"/drift/{name}.svg", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    assert "chamber-scan-1" not in client.get("/drift/unlike.svg?first=11").text
    assert client.get("/drift/unlike.svg?first=400&last=401").status_code == 200
    assert client.get("/drift/none-such.svg").status_code == 404
    assert "#dfe4e6" in client.get("/drift/unlike.svg?scheme=dark").text
    assert client.get("/drift/unlike.svg?scheme=red").status_code == 400


def test_the_api_has_the_same_and_only_an_expert_may_ask(client, app, sign_in, measured):
    found = client.get("/api/v1/drift?first=9&last=12").json
    assert [(one["run"], one["model"]) for one in found["drift"]] == [
        (12, "chamber-scan-1"),
        (11, "chamber-scan-1"),
        (10, "row-cnn-1"),
        (9, "row-cnn-1"),
    ]
    assert (found["left"], found["count"]) == (1, 4)
    assert client.get("/api/v1/drift?first=9&last=5").status_code == 400
    shifter = app.test_client()
    sign_in(shifter, "shifter")
    assert shifter.post("/drift/").status_code == 403
    assert shifter.post("/api/v1/drift").status_code == 403
    assert client.post("/api/v1/drift").json == {"left": 1}
    assert [job.kind for job in measured.store.jobs.active()] == ["drift"]


def test_a_chamber_says_how_unlike_it_is(client, measured):
    assert "Unlike seen" not in client.get(path(PLACES[0])).text
    measured.store.items.keep_unlike(RUN, "chamber-scan-1", [(PLACES[0], 1.5)])
    assert "unlike anything that the network has seen" in client.get(path(PLACES[0])).text
    place = f"{PLACES[0].wheel}/{PLACES[0].sector}/{PLACES[0].station}"
    assert client.get(f"/api/v1/runs/{RUN}/chambers/{place}").json["unlike"] == 1.5


def test_without_any_run_the_page_says_so(client):
    assert "No run is measured yet" in client.get("/drift/").text
