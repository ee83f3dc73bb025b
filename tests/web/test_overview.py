import re

import pytest

from app.domain.items import ItemState
from app.domain.runs import RunState
from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.names import chamber_words

SPOT = re.compile(r'<a class="spot ([^"]*)" href="([^"]*)" title="([^"]*)" aria-label="([^"]*)">([^<]*)</a>')


def spots(page):
    """Place on the map → (classes, words, what is written on it)."""
    found = SPOT.findall(page)
    assert all(title == label for _, _, title, label, _ in found)
    return {address: (classes, words, mark) for classes, address, _, words, mark in found}


def test_an_empty_database_leads_to_the_first_run(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert "No run yet" in answer.text
    assert 'href="/fetch/"' in answer.text


def test_the_map_shows_the_newest_finished_run_with_what_the_network_said(loaded):
    drawn = spots(loaded.test_client().get("/").text)
    items = loaded.extensions["driftwatch"].store.items.of_run(302635)
    assert len(drawn) == len(items) == 250
    for item in items:
        place = item.place
        classes, words, mark = drawn[f"/eval/302635/{place.wheel}/{place.sector}/{place.station}/"]
        assert words.startswith(chamber_words(place) + ": ")
        if item.state is ItemState.JUDGED:
            assert mark == (str(item.judgement.bad) if item.judgement.bad else "")
            assert f"worst layer {item.judgement.worst:.2f}" in words
            assert ("has-bad" in classes) == bool(item.judgement.bad)
        else:
            assert (mark, "too few hits" in words) == ("?", True)


def test_the_figures_of_the_run_are_those_of_its_chambers(loaded):
    page = loaded.test_client().get("/").text
    items = loaded.extensions["driftwatch"].store.items.of_run(302635)
    bad = [item for item in items if item.judgement.bad]
    assert f"<dt>bad chambers</dt><dd>{len(bad)} <small>of 250</small>" in page
    assert f"<dt>bad layers</dt><dd>{sum(item.judgement.bad for item in bad)} " in page


def test_another_run_can_be_chosen(loaded):
    page = loaded.test_client().get("/?run=302634").text
    assert "<h1>Run 302634 <" in page
    assert all(address.startswith("/eval/302634/") for address in spots(page))


def test_a_run_that_is_not_loaded_can_be_loaded_from_here(loaded, sign_in):
    client = loaded.test_client()
    assert 'name="runs"' not in client.get("/?run=305000").text
    sign_in(client, "expert")
    answer = client.get("/?run=305000")
    assert answer.status_code == 404
    assert "Run 305000 is not loaded" in answer.text
    assert 'name="runs" value="305000"' in answer.text


@pytest.mark.parametrize("run", ["0", "-5", "1000000000", "abc", "3.5", "<script>alert(1)</script>"])
def test_a_wrong_run_is_kept_and_explained(loaded, run):
    answer = loaded.test_client().get("/", query_string={"run": run})
    assert answer.status_code == 400
    assert "a whole number from 1 to 999,999,999" in answer.text
    assert "<script>alert" not in answer.text
    assert f'value="{run}"'.replace("<", "&lt;").replace(">", "&gt;") in answer.text


def test_while_a_newer_run_is_fetched_the_newest_finished_one_is_shown(driftwatch, client):
    runs = driftwatch.store.runs
    runs.request(302640, "someone", 250)
    answer = client.get("/")
    assert answer.status_code == 200
    assert "No run is finished yet" in answer.text
    runs.request(302635, "someone", 250)
    runs.update(302635, state=RunState.FINISHED, done=0, missing=1)
    missing = UnusableHistogram(Reason.NOT_FINITE, "layer 1, cell 2 is nan")
    driftwatch.store.items.store(302635, [(Chamber(wheel=1, station=4, sector=14), missing)], "tests")
    page = client.get("/").text
    assert "<h1>Run 302635</h1>" in page
    assert "Run 302640: 0 of 250 chambers" in page
    assert "Below is the newest finished run" in page
    drawn = spots(page)
    assert drawn["/eval/302635/1/14/4/"][1:] == ("wheel 1, sector 14, station 4: missing, a count is not finite", "×")
    assert drawn["/eval/302635/0/1/1/"][1] == "wheel 0, sector 1, station 1: not fetched"


def test_a_run_that_has_nothing_says_why(driftwatch, client):
    driftwatch.store.runs.request(302640, "someone", 250)
    driftwatch.store.runs.update(302640, state=RunState.FAILED, why="The server wants <a> sign-in.")
    page = client.get("/?run=302640").text
    assert "Run 302640 has no chambers" in page
    assert "The server wants &lt;a&gt; sign-in." in page
