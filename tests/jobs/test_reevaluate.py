"""Re-evaluations: every run gets the scores of the active model, whatever happens meanwhile, and nothing is lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from queue_of_chambers import PLACES, THRESHOLD, load
from waiting import wait_until

from app.domain.jobs import JobState
from app.domain.judgement import at_threshold
from app.domain.labels import Seen
from app.errors import Conflict, NotFound
from app.jobs.reevaluate import Outlook
from app.store.reevaluations import ReevaluationState
from app.subsystems.dt.learning.scoring import Scorer
from config import ROOT

OLD, NEW = "chamber-scan-1", "row-cnn-1"
RUNS = (7, 8, 9)
SMALL = {place: {7: 0.51} for place in PLACES[:3]}


@pytest.fixture
def scored(driftwatch):
    """Three runs with three chambers each, scored by the old model while the new one is active."""
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
    before = at_threshold(scored.store.items.look(9, PLACES[1]).judgement, THRESHOLD)  # with the reasons of that
    ended(scored, scored.reevaluate(None, by="root"))
    assert scored.store.items.look(9, PLACES[1]).judgement != before
    scored.activate(OLD, by="eve")
    assert scored.reevaluations.outlook(OLD) == Outlook(other_model=3, kept=3, other_threshold=0)
    computed = judged(scored, monkeypatch)
    over = ended(scored, scored.reevaluate(None, by="root"))
    assert (over.computed, over.restored, computed) == (0, 3, [])
    assert scored.store.items.look(9, PLACES[1]).judgement == before
    assert scored.reevaluations.outlook(OLD) == Outlook(other_model=0, kept=0, other_threshold=0)


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

    def somebody_cancels(name, bad_from=None):
        scored.reevaluations.cancel(scored.store.reevaluations.opened().id, by="root")
        return scorer(name, bad_from)

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

    def the_old_one_comes_back(name, bad_from=None):
        asked_for.append(name)
        if len(asked_for) == 2:
            scored.activate(OLD, by="eve")
        return scorer(name, bad_from)

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

    def slowly(name, bad_from=None):
        at_work.set()
        assert go.wait(60)
        return scorer(name, bad_from)

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


@pytest.mark.soak
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


# --- another threshold ---

SET = 0.6  # above the 0.51 of the chambers' layer 7


@pytest.fixture
def judged_at_another(driftwatch):
    """Three runs with three chambers each, scored by the active model, whose threshold was set since."""
    for run in RUNS:
        load(driftwatch, SMALL, run)
    driftwatch.set_threshold(OLD, "shifter", SET, "fewer alarms", by="eve")
    return driftwatch


def verdicts(driftwatch, run):
    """(verdict of layer 7, bad layers, threshold) of a run's chambers: each once."""
    items = [item.judgement for item in driftwatch.store.items.of_run(run)]
    return {(str(one.verdicts[6]), one.bad, one.threshold) for one in items}


def test_a_threshold_that_is_set_is_applied_to_all_runs_from_the_scores_that_are_there(judged_at_another, monkeypatch):
    computed = judged(judged_at_another, monkeypatch)
    item = judged_at_another.store.items.look(8, PLACES[0])
    judged_at_another.labelling.submit("ann", 8, PLACES[0], [7], "label-of-ann", Seen.of(item))
    before = judged_at_another.store.items.look(8, PLACES[0])
    assert judged_at_another.reevaluations.outlook(OLD) == Outlook(other_model=0, kept=0, other_threshold=3)
    judged_at_another.start()
    over = ended(judged_at_another, judged_at_another.reevaluate(None, by="root"))
    assert (over.state, over.done, over.total) == (ReevaluationState.DONE, 3, 3)
    assert (over.computed, over.restored, computed) == (0, 3, [])
    for run in RUNS:
        assert verdicts(judged_at_another, run) == {("good", 0, SET)}
        known = judged_at_another.store.runs.get(run)
        assert (known.threshold, known.summary["bad_parts"]) == (SET, 0)
    after = judged_at_another.store.items.look(8, PLACES[0])
    assert (after.evaluation, after.scored_at, after.contamination) == (
        before.evaluation,
        before.scored_at,
        before.contamination,
    )
    assert after.judgement.scores == before.judgement.scores
    assert judged_at_another.reevaluations.outlook(OLD) == Outlook(other_model=0, kept=0, other_threshold=0)
    judged_at_another.set_threshold(OLD, "shifter", 0.5, "as it was", by="eve")
    assert judged_at_another.reevaluations.outlook(OLD).other_threshold == 3
    ended(judged_at_another, judged_at_another.reevaluate(None, by="root"))
    again = judged_at_another.store.items.look(9, PLACES[0]).judgement
    assert (again.bad, again.reasons[6]) == (1, "score 0.51 ≥ 0.5")


def test_only_the_runs_that_are_named_get_the_threshold(judged_at_another):
    judged_at_another.start()
    over = ended(judged_at_another, judged_at_another.reevaluate([8], by="root"))
    assert (over.done, over.total) == (1, 1)
    assert {run: judged_at_another.store.runs.get(run).threshold for run in RUNS} == {
        7: THRESHOLD,
        8: SET,
        9: THRESHOLD,
    }
    assert judged_at_another.reevaluations.outlook(OLD).other_threshold == 2


def test_a_threshold_set_in_the_midst_is_gone_on_with_from_the_start(judged_at_another, monkeypatch):
    facts, asked_for = judged_at_another.scoring.facts, []

    def somebody_sets_another(run):
        asked_for.append(run)
        if len(asked_for) == 2:
            judged_at_another.set_threshold(OLD, "shifter", 0.51, "on the edge", by="eve")
        return facts(run)

    monkeypatch.setattr(judged_at_another.scoring, "facts", somebody_sets_another)
    judged_at_another.start()
    assert ended(judged_at_another, judged_at_another.reevaluate(None, by="root")).done == 3
    assert asked_for == [9, 8, 9, 8, 7]
    assert [verdicts(judged_at_another, run) for run in RUNS] == [{("bad", 1, 0.51)}] * 3


def test_a_run_whose_verdicts_are_of_several_thresholds_or_of_none_that_is_known_is_not_up_to_date(judged_at_another):
    items = judged_at_another.store.items
    items._collection.update_one({"run": 9}, {"$set": {"threshold": SET}})
    assert judged_at_another.scoring.facts(9)["threshold"] is None
    items._collection.update_many({"run": 9}, {"$unset": {"threshold": ""}})  # of the time before it was kept
    assert judged_at_another.scoring.facts(9)["threshold"] is None
    judged_at_another.start()
    ended(judged_at_another, judged_at_another.reevaluate([9], by="root"))
    assert verdicts(judged_at_another, 9) == {("good", 0, SET)}


def test_runs_from_before_they_knew_their_threshold_get_the_only_one_that_their_model_ever_had(driftwatch, make_app):
    load(driftwatch, SMALL, 7)
    driftwatch.activate(NEW, by="eve")
    load(driftwatch, SMALL, 8)
    driftwatch.set_threshold(NEW, "shifter", 0.4, "more alarms", by="eve")
    database = driftwatch.store._database
    database["runs"].update_many({}, {"$unset": {"threshold": ""}})
    database["upgrades"].delete_many({})
    again = make_app(mongodb_uri=driftwatch.settings.mongodb_uri).extensions["driftwatch"]
    assert [again.store.runs.get(run).threshold for run in (7, 8)] == [THRESHOLD, None]
    assert again.reevaluations.outlook(NEW) == Outlook(other_model=1, kept=0, other_threshold=1)


def test_what_is_put_back_of_a_model_has_the_verdicts_of_its_threshold_by_now(scored):
    scored.start()
    ended(scored, scored.reevaluate(None, by="root"))
    scored.set_threshold(OLD, "shifter", SET, "fewer alarms", by="eve")
    scored.activate(OLD, by="eve")
    ended(scored, scored.reevaluate(None, by="root"))
    assert verdicts(scored, 7) == {("good", 0, SET)}
    assert scored.reevaluations.outlook(OLD) == Outlook(other_model=0, kept=0, other_threshold=0)


KILLED = """
import sys, time
from config import Settings
from app.driftwatch import Driftwatch
d = Driftwatch(Settings.from_environment())
d.scoring.facts = lambda run: time.sleep(600)  # the chambers have their verdicts, the run does not know of it
d.reconcile(); d.start()
time.sleep(600)
"""

WHOLE = """
import sys, time
from config import Settings
from app.driftwatch import Driftwatch
d = Driftwatch(Settings.from_environment())
d.reconcile(); d.start()
while d.store.reevaluations.opened():
    time.sleep(0.1); d.reevaluations.reconcile()
d.close()
print("tensorflow" in sys.modules)
"""


def test_a_process_killed_while_it_applies_a_threshold_loses_nothing_and_none_needs_tensorflow(judged_at_another):
    settings = judged_at_another.settings
    environment = {**os.environ, "MONGODB_URI": settings.mongodb_uri, "DQM_URL": settings.dqm_url}
    asked = judged_at_another.reevaluate(None, by="root")
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, env=environment) as process:
        try:
            wait_until(lambda: verdicts(judged_at_another, 9) == {("good", 0, SET)})
        finally:
            process.send_signal(signal.SIGKILL)
    assert judged_at_another.store.runs.get(9).threshold == THRESHOLD
    assert verdicts(judged_at_another, 8) == {("bad", 1, THRESHOLD)}
    again = subprocess.run([sys.executable, "-c", WHOLE], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.stdout == "False\n", again.stderr
    over = judged_at_another.store.reevaluations.get(asked.id)
    assert (over.state, over.done, over.failed) == (ReevaluationState.DONE, 3, {})
    for run in RUNS:
        assert verdicts(judged_at_another, run) == {("good", 0, SET)}
        assert judged_at_another.store.runs.get(run).threshold == SET
