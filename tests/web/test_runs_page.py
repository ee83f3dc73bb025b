import re

import pytest

from app.domain.runs import RunState
from app.errors import NotFound, Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber


def listed(page):
    return [int(run) for run in re.findall(r'<tr id="run-(\d+)"', page)]


def row(page, run):
    return re.search(rf'<tr id="run-{run}".*?(?=<tr id="run-|</tbody>)', page, re.DOTALL).group()


@pytest.fixture
def several(driftwatch):
    """Five runs, in all states that a person meets."""
    runs = driftwatch.store.runs
    states = {
        302634: {"state": RunState.FINISHED, "done": 250, "summary": {"bad_items": 7}, "model": driftwatch.model},
        302635: {"state": RunState.FINISHED, "done": 249, "missing": 1, "summary": {"bad_items": 2}},
        302636: {"state": RunState.NOT_FOUND, "why": "The server has no histograms of run 302636."},
        302637: {"state": RunState.FETCHING, "done": 140, "missing": 2, "rate": 54.0},
        302638: {"state": RunState.FAILED, "why": "The server <b>refused</b>."},
    }
    for number, changes in states.items():
        runs.request(number, "anonymous", 250)
        runs.update(number, **changes)
    runs.update(302635, reasons={"not_finite": 1})
    missing = UnusableHistogram(Reason.NOT_FINITE, "layer 3, cell 7 is nan")
    driftwatch.store.items.store(302635, [(Chamber(wheel=1, station=2, sector=3), missing)], "tests")
    return runs


def test_without_runs_the_page_says_how_to_begin(client):
    answer = client.get("/fetch/")
    assert answer.status_code == 200
    assert "No run is loaded yet" in answer.text
    assert "<table" not in answer.text


def test_runs_are_asked_for_once_each_and_the_browser_is_sent_back(client, driftwatch):
    answer = client.post("/fetch/", data={"runs": "302634-302636, 302635 305000"})
    assert answer.status_code == 303
    assert {run.number for run in driftwatch.store.runs.find()} == {302634, 302635, 302636, 305000}
    page = client.get(answer.location).text
    assert "4 runs requested." in page
    assert listed(page)[0] == 305000
    assert "waiting" in row(page, 302634)


@pytest.mark.parametrize(
    "runs", ["", "abc", "0", "-5", "1000000000", "302640-302634", "1-999999", '"><script>alert(1)</script>']
)
def test_a_mistake_is_shown_beside_the_field_and_nothing_is_stored(client, driftwatch, runs):
    answer = client.post("/fetch/", data={"runs": runs})
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert "is not possible here: it must be" in answer.text
    assert "<script>alert" not in answer.text
    assert driftwatch.store.runs.count() == 0
    kept = re.search(r'<input id="runs" name="runs" value="([^"]*)"', answer.text).group(1)
    assert kept == runs.replace('"', "&#34;").replace(">", "&gt;").replace("<", "&lt;")


def test_a_form_of_two_megabytes_is_refused(client, driftwatch):
    answer = client.post("/fetch/", data={"runs": "1" * 2_000_000})
    assert answer.status_code == 413
    assert driftwatch.store.runs.count() == 0


def test_a_page_of_another_site_cannot_ask_for_runs(client, driftwatch):
    answer = client.post("/fetch/", data={"runs": "302634"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert driftwatch.store.runs.count() == 0


def test_a_complete_run_is_not_asked_for_again(client, several):
    answer = client.post("/fetch/", data={"runs": "302634"})
    page = client.get(answer.location).text
    assert "1 run is complete already: nothing to fetch." in page
    assert several.get(302634).state is RunState.FINISHED


def test_a_run_that_is_being_deleted_cannot_be_asked_for(client, several):
    several.mark_deleting(302634)
    answer = client.post("/fetch/", data={"runs": "302634"})
    assert answer.status_code == 409
    assert "Run 302634 is being deleted" in answer.text


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (302634, "finished"),
        (302635, "finished, 1 missing"),
        (302636, "not found on the server"),
        (302637, "fetching"),
        (302638, "failed"),
    ],
)
def test_a_state_is_a_word_and_a_shape(client, several, run, words):
    shown = row(client.get("/fetch/").text, run)
    assert f"<span>{words}</span>" in shown
    assert '<svg class="icon' in shown


def test_what_came_of_a_run_stands_in_its_row(client, several):
    page = client.get("/fetch/").text
    assert ">7</a>" in row(page, 302634)
    assert "The server &lt;b&gt;refused&lt;/b&gt;." in row(page, 302638)
    missing = row(page, 302635)
    assert "W1 S3 MB2" in missing
    assert "layer 3, cell 7 is nan" in missing
    assert "Re-fetch missing" in missing
    assert "Re-fetch missing" not in row(page, 302634)
    fetching = row(page, 302637)
    assert '<progress value="142" max="250"' in fetching
    assert "142 of 250, 2 missing, 54 a second, 2 s left" in fetching


def test_missing_chambers_can_be_fetched_again(client, several):
    assert client.post("/fetch/", data={"runs": "302635"}).status_code == 303
    assert several.get(302635).state is RunState.WAITING


def test_runs_are_sorted_and_filtered_by_the_address(client, several):
    assert listed(client.get("/fetch/").text) == [302638, 302637, 302636, 302635, 302634]
    assert listed(client.get("/fetch/?descending=false").text) == [302634, 302635, 302636, 302637, 302638]
    assert listed(client.get("/fetch/?sort=bad_items").text)[:2] == [302634, 302635]
    assert listed(client.get("/fetch/?sort=missing").text)[:2] == [302637, 302635]
    several.update(302636, model="the-last-one")
    assert listed(client.get("/fetch/?sort=model&descending=false").text)[-1] == 302636
    assert listed(client.get("/fetch/?sort=model&state=not_found").text) == [302636]
    assert client.get("/api/v1/runs?sort=model&descending=true").json["runs"][0]["number"] == 302636
    assert listed(client.get("/fetch/?state=finished").text) == [302635, 302634]
    assert "No run is in this state" in client.get("/fetch/?state=scoring").text


def test_long_lists_have_pages(client, driftwatch):
    for number in range(302601, 302646):
        driftwatch.store.runs.request(number, "anonymous", 250)
    pages = [listed(client.get(f"/fetch/?page={page}").text) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [20, 20, 5]
    assert [run for page in pages for run in page] == list(range(302645, 302600, -1))
    assert len(listed(client.get("/fetch/?size=50").text)) == 45


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("page=-1", "it must be 1: there is only one page"),
        ("page=0", "it must be 1: there is only one page"),
        ("page=1000000000", "it must be 1: there is only one page"),
        ("page=abc", "it must be 1: there is only one page"),
        ("size=1000", "one of 20, 50, 100"),
        ("sort=password", "one of number, state"),
        ("descending=maybe", "one of true, false"),
        ("state=lost", "one of waiting, fetching"),
    ],
)
def test_an_address_with_a_mistake_says_what_is_allowed(client, several, query, allowed):
    answer = client.get(f"/fetch/?{query}")
    assert answer.status_code == 400
    assert allowed in answer.text


def test_deleting_asks_first_and_looking_changes_nothing(client, several):
    page = client.get("/fetch/302634/delete")
    assert page.status_code == 200
    assert "Delete run 302634?" in page.text
    assert several.get(302634).state is RunState.FINISHED
    answer = client.post("/fetch/302634/delete")
    assert (answer.status_code, answer.location) == (303, "/fetch/")
    assert several.get(302634).state is RunState.DELETING
    assert "being deleted" in row(client.get("/fetch/").text, 302634)


@pytest.mark.parametrize(
    ("run", "status"), [("302639", 404), ("0", 400), ("-5", 400), ("1000000000", 400), ("abc", 400)]
)
def test_a_run_that_is_not_there_cannot_be_deleted(client, several, run, status):
    assert client.get(f"/fetch/{run}/delete").status_code == status
    assert client.post(f"/fetch/{run}/delete").status_code == status
    with pytest.raises(NotFound):
        several.get(302639)
