"""What a server may have by later is asked for again, and what is there stays until there is more in its place."""

from datetime import UTC, datetime, timedelta

import pytest
from waiting import wait_until

from app.domain.items import ItemState
from app.domain.labels import Seen
from app.domain.runs import RunState
from app.jobs.fetch import ASKED_FOR, FIRST_WAIT
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer, Fault, FaultKind

RUN, LATER = 302640, 302641
PLACES = all_chambers()[:6]
PLACE = PLACES[2]


def rows(hits):
    """So many hits in each cell of each of some chambers, as a server has them."""
    return {place: [[hits] * place.columns] * 12 for place in PLACES}


@pytest.fixture
def runs():
    """What the server lists, and what it has of it: to be changed by a test."""
    return {RUN: rows(3)}


@pytest.fixture
def server(runs):
    with DemoServer(DemoOptions(runs=runs)) as server:
        yield server


@pytest.fixture
def app(make_app, server):
    app = make_app(dqm_url=server.url, dqm_retries=0)
    app.extensions["driftwatch"].start()
    return app


def finished(driftwatch, run=RUN):
    wait_until(lambda: not driftwatch.store.runs.get(run).busy and not driftwatch.store.jobs.active(run))
    return driftwatch.store.runs.get(run)


def polled(driftwatch, run=RUN):
    """The run after a look at the server's list, once it is due."""
    driftwatch.store.runs.update(run, ask_again_at=datetime.now(UTC) - timedelta(seconds=1))
    before = driftwatch.store.runs.get(run)
    driftwatch.poll()
    assert driftwatch.store.runs.get(run).requested_at > before.requested_at
    return finished(driftwatch, run)


def test_a_listed_run_that_was_not_found_is_asked_for_again_when_it_is_due(driftwatch, runs, server):
    runs[RUN] = {}
    driftwatch.poll()
    assert finished(driftwatch).state is RunState.NOT_FOUND
    asked = server.requests
    driftwatch.poll()
    assert finished(driftwatch).state is RunState.NOT_FOUND
    assert server.requests == asked
    runs[RUN] = rows(3)
    run = polled(driftwatch)
    assert (run.state, run.done) == (RunState.FINISHED, len(PLACES))


def test_a_run_that_the_server_does_not_list_is_not_asked_for_again(driftwatch, server):
    driftwatch.ask_for_run(7, by="ann")
    assert finished(driftwatch, 7).state is RunState.NOT_FOUND
    driftwatch.store.runs.update(7, ask_again_at=datetime.now(UTC))
    driftwatch.poll()
    finished(driftwatch)
    assert finished(driftwatch, 7).requested_by == "ann"


def test_the_wait_doubles_and_ends(driftwatch, runs):
    runs[RUN] = {}
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert run.ask_again_at - run.finished_at == pytest.approx(FIRST_WAIT, abs=timedelta(seconds=60))
    driftwatch.store.runs.update(RUN, first_asked_at=datetime.now(UTC) - timedelta(hours=3))
    run = polled(driftwatch)
    assert run.ask_again_at - run.finished_at == pytest.approx(timedelta(hours=3), abs=timedelta(seconds=60))
    driftwatch.store.runs.update(RUN, first_asked_at=datetime.now(UTC) - ASKED_FOR)
    assert polled(driftwatch).ask_again_at is None
    driftwatch.ask_for_run(RUN, by="ann")  # somebody asks: it begins anew
    assert finished(driftwatch).ask_again_at is not None


def test_chambers_that_did_not_arrive_are_asked_for_again_and_those_that_are_absent_are_not(make_app, runs):
    runs[LATER] = {}
    faults = (Fault(FaultKind.ERROR, frozenset({PLACE}), heals_after=1),)
    with DemoServer(DemoOptions(runs=runs, faults=faults)) as server:
        driftwatch = make_app(dqm_url=server.url, dqm_retries=0).extensions["driftwatch"]
        driftwatch.start()
        driftwatch.ask_for_run(RUN, by="ann")
        run = finished(driftwatch)
        assert (run.done, run.reasons["server_error"]) == (len(PLACES) - 1, 1)
        run = polled(driftwatch)
        assert (run.done, set(run.reasons), run.ask_again_at) == (len(PLACES), {"absent"}, None)


def test_a_run_that_no_other_follows_is_marked_until_it_was_fetched_again_after_its_end(driftwatch, runs, client):
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert run.unsettled
    assert not driftwatch.is_complete(run)
    assert "Perhaps this run was still being taken" in client.get(f"/run/{RUN}/").text
    assert "perhaps before its end" in client.get("/fetch/").text
    before = driftwatch.store.items.look(RUN, PLACE)
    driftwatch.labelling.submit("ann", RUN, PLACE, [3], "label-of-ann", Seen.of(before))
    said = driftwatch.store.items.look(RUN, PLACE).evaluation
    runs |= {RUN: rows(30), LATER: rows(1)}
    run = polled(driftwatch)
    assert (run.unsettled, run.ask_again_at) == (False, None)
    after = driftwatch.store.items.look(RUN, PLACE)
    assert (after.hits, after.evaluation, after.state) == (10 * before.hits, said, ItemState.JUDGED)
    assert after.scored_at > before.scored_at
    assert "still being taken" not in client.get(f"/run/{RUN}/").text
    assert finished(driftwatch, LATER).unsettled


def test_a_run_that_another_follows_is_over_and_not_marked(driftwatch, runs):
    runs[LATER] = rows(1)
    driftwatch.ask_for_run(RUN, by="ann")
    assert not finished(driftwatch).unsettled


def test_what_is_fetched_again_in_vain_takes_nothing_away(driftwatch, server):
    driftwatch.ask_for_run(RUN, by="ann")
    finished(driftwatch)
    before = driftwatch.store.items.of_run(RUN, histograms=True)
    server.stop()
    driftwatch.ask_for_run(RUN, by="ann", again=True)
    run = finished(driftwatch)
    assert (run.state, run.done, run.unsettled) == (RunState.FINISHED, len(PLACES), True)
    assert server.url in run.why
    assert [vars(item) for item in driftwatch.store.items.of_run(RUN)] == [
        {**vars(item), "histogram": None} for item in before
    ]


@pytest.mark.parametrize("now", [0, 2, None])
def test_fewer_hits_than_before_or_none_do_not_take_the_place_of_more(driftwatch, runs, now):
    driftwatch.ask_for_run(RUN, by="ann")
    finished(driftwatch)
    before = driftwatch.store.items.look(RUN, PLACE)
    runs[RUN] = {} if now is None else rows(now)
    driftwatch.ask_for_run(RUN, by="ann", again=True)
    run = finished(driftwatch)
    after = driftwatch.store.items.look(RUN, PLACE)
    assert (after.hits, after.scored_at, run.state) == (before.hits, before.scored_at, RunState.FINISHED)


def test_what_is_the_same_an_hour_later_is_taken_to_be_all(driftwatch):
    driftwatch.ask_for_run(RUN, by="ann")
    assert finished(driftwatch).unsettled
    driftwatch.ask_for_run(RUN, by="ann")
    assert finished(driftwatch).unsettled
    driftwatch.store.runs.update(RUN, started_at=datetime.now(UTC) - timedelta(hours=1))
    driftwatch.ask_for_run(RUN, by="ann")
    assert not finished(driftwatch).unsettled
