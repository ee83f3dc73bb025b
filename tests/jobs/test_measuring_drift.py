"""Drift is measured when a run is scored, and afterwards where there was no reference yet."""

import pytest
from queue_of_chambers import PLACES, load
from waiting import wait_until

from app.domain.jobs import JobState
from app.subsystems.dt.learning import drift
from app.subsystems.dt.simulate import simulate_chamber

MODEL, OTHER = "chamber-scan-1", "row-cnn-1"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(drift, "SEEN", 250)
    monkeypatch.setattr(drift, "HELD_OUT", 250)


@pytest.fixture
def scored(driftwatch):
    """Two runs of three chambers, scored by the active model while it has no reference."""
    driftwatch.start()
    for run in (7, 8):
        driftwatch.store.runs.request(run, "tests", 3)
        chambers = [(place, simulate_chamber(run, place).occupancy) for place in PLACES[:3]]
        driftwatch.store.items.store(run, chambers, "tests")
        driftwatch.store.runs.update(run, state="finished", done=3)
    driftwatch.activate(OTHER, by="eve")
    driftwatch.activate(MODEL, by="eve")
    over(driftwatch, driftwatch.reevaluate(None, by="root"))
    return driftwatch


def over(driftwatch, reevaluation):
    """Its last job ends a little later than it does, and until then the background measures nothing."""
    wait_until(lambda: not driftwatch.store.reevaluations.get(reevaluation.id).open)
    wait_until(lambda: not driftwatch.store.jobs.active())


def measured(driftwatch):
    job = driftwatch.drifts.ask(by="ann")
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    return driftwatch.store.jobs.get(job.id)


def unlike(driftwatch, run):
    return [item.unlike for item in driftwatch.store.items.of_run(run)]


def test_runs_scored_before_there_was_a_reference_are_measured_afterwards_without_being_judged(scored, monkeypatch):
    assert scored.store.runs.count_to_measure(MODEL) == 2
    assert unlike(scored, 7) == [None] * 3
    before = [item.scored_at for item in scored.store.items.of_run(7)]
    assert measured(scored).state is JobState.DONE
    assert scored.drifts.ask(by="ann") is None
    for run in (7, 8):
        found = scored.store.runs.get(run).drift
        assert (found["model"], found["chambers"]) == (MODEL, 3)
        assert 0 <= found["unlike"] <= 1
        assert all(value > 0 for value in unlike(scored, run))
    assert [item.scored_at for item in scored.store.items.of_run(7)] == before


def test_from_then_on_a_run_is_measured_when_it_is_scored_and_going_back_brings_its_drift_back(scored):
    measured(scored)
    drift_before, before = scored.store.runs.get(7).drift, unlike(scored, 7)
    scored.activate(OTHER, by="eve")
    over(scored, scored.reevaluate(None, by="root"))
    assert scored.store.runs.get(7).drift is None  # the other model has no reference
    assert unlike(scored, 7) == [None] * 3
    scored.activate(MODEL, by="eve")
    over(scored, scored.reevaluate(None, by="root"))
    assert scored.store.runs.get(7).drift == drift_before
    assert unlike(scored, 7) == before


def test_it_is_measured_by_itself_while_nothing_else_is_at_work_and_not_again_after_it_failed(scored, monkeypatch):
    def broken(scorer, stop):
        raise ValueError("no reference can be made")

    with monkeypatch.context() as patch:
        patch.setattr("app.subsystems.dt.learning.drift.make_reference", broken)
        scored.drifts.reconcile()
        wait_until(lambda: scored.drifts.failure())
        assert "no reference can be made" in scored.drifts.failure()
    scored.drifts.reconcile()
    assert not scored.store.jobs.active()
    assert measured(scored).state is JobState.DONE
    assert scored.drifts.failure() == ""


def test_it_is_measured_by_itself_also_where_the_program_was_started_again_since(scored):
    scored.models._scorers.clear()  # as in a program that has scored nothing yet
    assert scored.store.runs.count_to_measure(MODEL) == 2
    scored.drifts.reconcile()
    wait_until(lambda: scored.store.runs.count_to_measure(MODEL) == 0)
    assert scored.drifts.failure() == ""


def test_what_another_model_scored_meanwhile_is_not_marked(driftwatch):
    load(driftwatch, {PLACES[0]: {3: 0.6}}, 7)
    driftwatch.store.items.keep_unlike(7, OTHER, [(PLACES[0], 2.0)])
    driftwatch.store.runs.keep_drift(7, {"model": OTHER, "unlike": 1.0})
    assert driftwatch.store.items.look(7, PLACES[0]).unlike is None
    assert driftwatch.store.runs.get(7).drift is None
