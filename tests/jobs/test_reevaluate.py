"""Re-evaluations: every run gets the scores of the model in use, whatever happens meanwhile, and nothing is lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from queue_of_chambers import PLACES, load
from waiting import wait_until

from app.errors import Conflict, NotFound
from app.labelling.events import Seen
from app.ml.scoring import Scorer
from app.store.jobs import JobState
from app.store.reevaluations import ReevaluationState
from config import ROOT

OLD, NEW = "chamber-cnn-1", "row-cnn-1"
RUNS = (7, 8, 9)
SMALL = {place: {7: 0.51} for place in PLACES[:3]}


@pytest.fixture
def scored(driftwatch):
    """Three runs with three chambers each, scored by the old model while the new one is in use."""
    for run in RUNS:
        load(driftwatch, SMALL, run)
    driftwatch.activate(NEW, by="eve")
    return driftwatch


def ended(driftwatch, asked):
    wait_until(lambda: not driftwatch.store.reevaluations.get(asked.id).open)
    return driftwatch.store.reevaluations.get(asked.id)


def models(driftwatch, runs=RUNS):
    return {run: driftwatch.store.runs.get(run).model for run in runs}


def judged(driftwatch, monkeypatch):
    """How many chambers the scorers are asked to judge from now on: a list of numbers."""
    counted, judge = [], Scorer.judge
    monkeypatch.setattr(Scorer, "judge", lambda self, those: counted.append(len(those)) or judge(self, those))
    return counted


def test_all_runs_get_the_scores_of_the_model_in_use_the_newest_first_and_keep_their_labels(scored):
    item = scored.store.items.look(8, PLACES[0])
    scored.labelling.submit("ann", 8, PLACES[0], [7], "label-of-ann", Seen.of(item))
    said = scored.store.items.look(8, PLACES[0]).evaluation
    scored.start()
    over = ended(scored, scored.reevaluate(None, by="root"))
    assert (over.state, over.model, over.done, over.total) == (ReevaluationState.DONE, NEW, 3, 3)
    assert (over.computed, over.restored, over.failed, over.runs) == (3, 0, {}, None)
    assert models(scored) == dict.fromkeys(RUNS, NEW)
    order = [d["run"] for d in scored.store.jobs._collection.find({"kind": "reevaluate"}).sort("asked_at")]
    assert order == [9, 8, 7]
    again = scored.store.items.look(8, PLACES[0])
    assert (again.model, again.evaluation, again.labelled) == (NEW, said, True)
    assert [past.model for past in scored.store.past_scores.of_item(8, PLACES[0])] == [OLD]
    assert scored.store.runs.get(8).kept == [OLD]


def test_going_back_to_an_earlier_model_computes_nothing(scored, monkeypatch):
    scored.start()
    before = scored.store.items.look(9, PLACES[1]).judgement
    ended(scored, scored.reevaluate(None, by="root"))
    assert scored.store.items.look(9, PLACES[1]).judgement != before
    scored.activate(OLD, by="eve")
    assert scored.reevaluations.outlook(OLD) == (3, 3)
    computed = judged(scored, monkeypatch)
    over = ended(scored, scored.reevaluate(None, by="root"))
    assert (over.computed, over.restored, computed) == (0, 3, [])
    assert scored.store.items.look(9, PLACES[1]).judgement == before
    assert scored.reevaluations.outlook(OLD) == (0, 0)


def test_only_the_runs_that_are_named_are_scored_again(scored):
    scored.start()
    over = ended(scored, scored.reevaluate([8], by="root"))
    assert (over.runs, over.done, over.total) == ([8], 1, 1)
    assert models(scored) == {7: OLD, 8: NEW, 9: OLD}


def test_what_is_not_loaded_is_refused_and_nothing_is_begun(scored):
    with pytest.raises(NotFound, match="Run 5 is not loaded"):
        scored.reevaluate([8, 5], by="root")
    assert scored.store.reevaluations.opened() is None


def test_one_is_under_way_at_a_time_and_the_same_asked_for_twice_is_one(scored):
    first = scored.reevaluate(None, by="root")
    assert scored.reevaluate(None, by="eve").id == first.id
    with pytest.raises(Conflict, match="not over yet"):
        scored.reevaluate([8], by="root")
    scored.reevaluations.cancel(first.id, by="root")
    assert scored.reevaluate([8], by="root").id != first.id


def test_paused_it_begins_no_run_and_resumed_it_goes_on(scored):
    asked = scored.reevaluate(None, by="root")
    scored.reevaluations.pause(asked.id, by="root")
    with pytest.raises(Conflict, match="is paused"):
        scored.reevaluations.pause(asked.id, by="root")
    scored.start()
    wait_until(lambda: not scored.store.jobs.active())
    assert models(scored) == dict.fromkeys(RUNS, OLD)
    scored.reevaluations.reconcile()
    assert not scored.store.jobs.active()
    scored.reevaluations.resume(asked.id, by="root")
    assert ended(scored, asked).done == 3


def test_cancelled_it_is_over_and_what_it_did_stays(scored, monkeypatch):
    scorer = scored.models.scorer

    def somebody_cancels(name):
        scored.reevaluations.cancel(scored.store.reevaluations.opened().id, by="root")
        return scorer(name)

    monkeypatch.setattr(scored.models, "scorer", somebody_cancels)
    asked = scored.reevaluate(None, by="root")
    scored.start()
    assert ended(scored, asked).state is ReevaluationState.CANCELLED
    wait_until(lambda: not scored.store.jobs.active())
    assert models(scored) == {7: OLD, 8: OLD, 9: NEW}
    with pytest.raises(Conflict, match="is cancelled"):
        scored.reevaluations.resume(asked.id, by="root")


def test_another_model_that_comes_into_use_in_the_midst_is_gone_on_with_from_the_start(scored, monkeypatch):
    scorer, asked_for = scored.models.scorer, []

    def the_old_one_comes_back(name):
        asked_for.append(name)
        if len(asked_for) == 2:
            scored.activate(OLD, by="eve")
        return scorer(name)

    monkeypatch.setattr(scored.models, "scorer", the_old_one_comes_back)
    asked = scored.reevaluate(None, by="root")
    scored.start()
    wait_until(lambda: scored.reevaluations.reconcile() or not scored.store.reevaluations.get(asked.id).open)
    over = scored.store.reevaluations.get(asked.id)
    assert (over.state, over.model, over.done) == (ReevaluationState.DONE, OLD, 3)
    assert models(scored) == dict.fromkeys(RUNS, OLD)
    assert {item.model for run in RUNS for item in scored.store.items.of_run(run)} == {OLD}


def test_a_run_that_cannot_be_scored_is_named_and_the_others_are(scored, monkeypatch):
    find = scored.store.items.__class__.to_score

    def no_histograms_of_8(self, run, model):
        if run == 8:
            raise ValueError("bytes are not a histogram")
        return find(self, run, model)

    monkeypatch.setattr(scored.store.items.__class__, "to_score", no_histograms_of_8)
    scored.start()
    over = ended(scored, scored.reevaluate(None, by="root"))
    assert (over.state, over.done, list(over.failed)) == (ReevaluationState.DONE, 2, [8])
    assert "not a histogram" in over.failed[8]
    assert models(scored) == {7: NEW, 8: OLD, 9: NEW}


def test_a_model_that_cannot_be_used_ends_it_with_the_reason(scored):
    scored.store.models._files._files.update_many({}, {"$set": {"length": 0}})
    scored.store.models._files._chunks.delete_many({})
    scored.start()
    over = ended(scored, scored.reevaluate(None, by="root"))
    assert over.state is ReevaluationState.FAILED
    assert NEW in over.why
    assert models(scored) == dict.fromkeys(RUNS, OLD)


def test_it_never_works_on_a_run_that_another_job_works_on(scored):
    held = scored.store.jobs.begin("fetch", 9, "local:9", "ann", "elsewhere:1:x")
    asked = scored.reevaluate(None, by="root")
    scored.start()
    wait_until(lambda: len(scored.store.jobs.active()) == 2)
    assert {job.kind: job.state for job in scored.store.jobs.active(9)} == {
        "fetch": JobState.RUNNING,
        "reevaluate": JobState.QUEUED,
    }
    assert models(scored)[9] == OLD
    scored.store.jobs.end(held, JobState.DONE)
    assert ended(scored, asked).done == 3


def test_a_run_that_is_being_fetched_is_left_to_the_end(scored):
    scored.store.runs.request(9, "ann", 250)
    asked = scored.reevaluate(None, by="root")
    scored.start()
    wait_until(lambda: models(scored)[7] == NEW)
    wait_until(lambda: not scored.store.jobs.active())
    assert scored.store.reevaluations.get(asked.id).open
    scored.store.runs.update(9, state="finished")
    scored.reevaluations.reconcile()
    assert ended(scored, asked).done == 3


def test_a_run_deleted_in_the_midst_is_gone_with_all_that_was_kept_of_it(scored, monkeypatch):
    scorer, at_work, go = scored.models.scorer, threading.Event(), threading.Event()

    def slowly(name):
        at_work.set()
        assert go.wait(60)
        return scorer(name)

    monkeypatch.setattr(scored.models, "scorer", slowly)
    asked = scored.reevaluate(None, by="root")
    scored.start()
    assert at_work.wait(60)
    scored.delete_run(9, by="root")
    go.set()
    wait_until(lambda: not scored.store.jobs.active(9))
    assert scored.store.items.of_run(9) == []
    assert 9 not in scored.store.past_scores.runs()
    over = ended(scored, asked)
    assert (over.done, over.total) == (2, 2)


def test_a_process_killed_in_the_midst_loses_nothing_and_the_next_one_goes_on(scored):
    script = (
        "import time; from config import Settings; from app.driftwatch import Driftwatch\n"
        "d = Driftwatch(Settings.from_environment()); d.reconcile(); d.start()\n"
        "print('up', flush=True); time.sleep(600)"
    )
    labelled = scored.store.items.look(7, PLACES[0])
    scored.labelling.submit("ann", 7, PLACES[0], [7], "label-of-ann", Seen.of(labelled))
    asked = scored.reevaluate(None, by="root")
    environment = {**os.environ, "MONGODB_URI": scored.settings.mongodb_uri, "DQM_URL": scored.settings.dqm_url}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "up\n"
            wait_until(lambda: scored.store.items.look(9, PLACES[0]).model == NEW)
        finally:
            process.send_signal(signal.SIGKILL)
    scored.reconcile()
    scored.start()
    wait_until(lambda: scored.reevaluations.reconcile() or not scored.store.reevaluations.get(asked.id).open)
    over = scored.store.reevaluations.get(asked.id)
    assert (over.state, over.done, over.failed) == (ReevaluationState.DONE, 3, {})
    for run in RUNS:
        assert {item.model for item in scored.store.items.of_run(run)} == {NEW}
        assert scored.store.past_scores.count_by_model(run) == {OLD: 3}
    assert scored.store.items.look(7, PLACES[0]).labelled


def test_who_did_what_is_recorded(scored):
    asked = scored.reevaluate(None, by="root")
    for change in (scored.reevaluations.pause, scored.reevaluations.resume, scored.reevaluations.cancel):
        change(asked.id, "eve")
    found = scored.store.events._collection.find({"reevaluation": asked.id}).sort("at")
    assert [(event["what"].split()[-1], event["by"]) for event in found] == [
        ("for", "root"),
        ("paused", "eve"),
        ("resumed", "eve"),
        ("cancelled", "eve"),
    ]
