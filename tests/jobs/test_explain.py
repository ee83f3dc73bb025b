import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from waiting import wait_until

from app.domain.influence import DEFAULT, Method
from app.domain.jobs import JobState
from app.errors import InvalidInput, NotExplained, NotFound, Reason, UnusableHistogram
from app.jobs.explain import BATCH
from app.ml.models import named_model
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.learning.saliency import Explainer
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import simulate_chamber
from config import ROOT

RUN = 302640
ROWS = "row-cnn-1"  # the smaller network: explained in a third of the time
PLACES = all_chambers()[: 3 * BATCH]


@pytest.fixture
def run(driftwatch):
    """The number of a run with 75 chambers, not scored."""
    driftwatch.store.runs.request(RUN, "ann", total=len(PLACES))
    driftwatch.store.items.store(RUN, [(place, simulate_chamber(RUN, place).occupancy) for place in PLACES], "tests")
    driftwatch.store.runs.update(RUN, state="finished")
    return RUN


def ended(driftwatch, job):
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    return driftwatch.store.jobs.get(job.id)


def test_a_chamber_is_explained_when_asked_for_as_the_explainer_does_it(driftwatch, run):
    assert driftwatch.influence(run, PLACES[0], ROWS, DEFAULT) is None
    driftwatch.start()
    job = driftwatch.explain(run, PLACES[0], ROWS, DEFAULT, "ann")
    assert (job.run, job.by) == (run, "ann")
    assert ended(driftwatch, job).state is JobState.DONE
    kept = driftwatch.influence(run, PLACES[0], ROWS, DEFAULT)
    occupancy = driftwatch.store.items.get(run, PLACES[0]).histogram
    scorer = Scorer(named_model(ROOT / "models", ROWS))
    expected = Explainer(scorer).explain([occupancy], DEFAULT)[0]
    assert np.array_equal(kept.influence.cells, expected.cells)
    assert np.array_equal(kept.influence.logit, expected.logit, equal_nan=True)
    verdicts = scorer.judge([occupancy])[0].verdicts
    assert kept.bad == tuple(layer for layer, verdict in enumerate(verdicts, 1) if verdict in ("bad", "empty"))
    assert driftwatch.influence(run, PLACES[1], ROWS, DEFAULT) is None
    assert driftwatch.explain(run, PLACES[0], ROWS, DEFAULT, "bob") is None


def test_a_run_is_explained_and_only_what_is_missing_is_worked_out(driftwatch, run):
    driftwatch.start()
    ended(driftwatch, driftwatch.explain(run, PLACES[7], ROWS, DEFAULT, "ann"))
    first = driftwatch.influence(run, PLACES[7], ROWS, DEFAULT)
    assert driftwatch.explained(run, ROWS, DEFAULT) == (1, len(PLACES))
    ended(driftwatch, driftwatch.explain(run, None, ROWS, DEFAULT, "ann"))
    assert driftwatch.explained(run, ROWS, DEFAULT) == (len(PLACES), len(PLACES))
    assert driftwatch.influence(run, PLACES[7], ROWS, DEFAULT).at == first.at
    assert driftwatch.explain(run, None, ROWS, DEFAULT, "ann") is None
    listed = driftwatch.store.influences.largest(run, ROWS, DEFAULT, limit=100)
    strengths = [one.strength for one in listed]
    assert strengths == sorted(strengths, reverse=True)
    assert len(strengths) > 3


def test_asking_twice_is_one_job_and_another_chamber_model_or_method_is_another(driftwatch, run):
    ask = driftwatch.explain
    first = ask(run, PLACES[0], ROWS, DEFAULT, "ann")
    assert ask(run, PLACES[0], ROWS, str(DEFAULT), "bob").id == first.id
    others = [
        ask(run, PLACES[1], ROWS, DEFAULT, "ann"),
        ask(run, None, ROWS, DEFAULT, "ann"),
        ask(run, PLACES[0], driftwatch.model, DEFAULT, "ann"),
        ask(run, PLACES[0], ROWS, Method.SMOOTHGRAD, "ann"),
    ]
    assert len({first.id, *(job.id for job in others)}) == 5


def test_many_that_wait_keep_no_other_work_from_being_done(driftwatch, run):
    for method in (Method.OCCLUSION, Method.SMOOTHGRAD):
        for place in PLACES:
            driftwatch.explain(run, place, ROWS, method, "ann")
    wanted = driftwatch.store.jobs.ask("fetch", RUN + 1, "dqm", "ann")
    assert driftwatch.store.jobs.claim("here").kind == "explain"
    assert driftwatch.store.jobs.claim("here").id == wanted.id
    assert driftwatch.store.jobs.claim("here") is None


def test_scored_anew_it_is_worked_out_anew(driftwatch, run):
    driftwatch.start()
    place = PLACES[0]
    ended(driftwatch, driftwatch.explain(run, place, ROWS, DEFAULT, "ann"))
    occupancy = driftwatch.store.items.get(run, place).histogram
    (judgement,) = driftwatch.models.scorer(ROWS).judge([occupancy])
    driftwatch.store.items.keep_scores(run, [(place, judgement, [])], ROWS)
    assert driftwatch.influence(run, place, ROWS, DEFAULT) is None
    ended(driftwatch, driftwatch.explain(run, place, ROWS, DEFAULT, "ann"))
    scored_at = driftwatch.store.items.look(run, place).scored_at
    assert driftwatch.influence(run, place, ROWS, DEFAULT).scored_at == scored_at


def test_what_is_not_there_is_refused_before_any_job(driftwatch, run):
    gone = all_chambers()[-1]
    driftwatch.store.items.store(run, [(gone, UnusableHistogram(Reason.ABSENT, "404"))], "tests")
    for number, place, model, method, error in (
        (run, all_chambers()[-2], ROWS, DEFAULT, NotFound),
        (run, gone, ROWS, DEFAULT, NotFound),
        (7, None, ROWS, DEFAULT, NotFound),
        (run, None, "lime", DEFAULT, NotFound),
        (run, None, ROWS, "lime", InvalidInput),
    ):
        with pytest.raises(error):
            driftwatch.explain(number, place, model, method, "ann")
    assert driftwatch.store.jobs.active() == []


def test_a_model_that_cannot_be_used_is_told_to_whoever_asks_again_soon(driftwatch, run):
    models = driftwatch.store._database["models"]
    driftwatch.models.all()
    models.update_one({"_id": ROWS}, {"$set": {"card.architecture": "resnet"}})
    assert driftwatch.models.get(ROWS).card["architecture"] == "resnet"
    driftwatch.start()
    assert ended(driftwatch, driftwatch.explain(run, PLACES[0], ROWS, DEFAULT, "ann")).state is JobState.FAILED
    with pytest.raises(NotExplained, match="resnet"):
        driftwatch.explain(run, PLACES[0], ROWS, DEFAULT, "ann")


def test_deleting_a_run_stops_its_explanation_and_leaves_none(driftwatch, run):
    driftwatch.start()
    job = driftwatch.explain(run, None, ROWS, DEFAULT, "ann")
    wait_until(lambda: driftwatch.explained(run, ROWS, DEFAULT)[0])
    driftwatch.delete_run(run, "ann")
    ended(driftwatch, job)
    wait_until(lambda: not driftwatch.store.jobs.active(run))
    assert driftwatch.store.influences.runs() == []
    assert driftwatch.store.items.runs() == []


def test_influences_of_a_run_that_is_not_loaded_are_removed_at_the_start(driftwatch, run):
    driftwatch.start()
    ended(driftwatch, driftwatch.explain(run, PLACES[0], ROWS, DEFAULT, "ann"))
    driftwatch.store.items.remove_run(run)
    driftwatch.store.runs.mark_deleting(run)
    driftwatch.store.runs.remove(run)
    driftwatch.reconcile()
    assert driftwatch.store.influences.runs() == []


WORKER = """
import sys, time
from pathlib import Path
from app.driftwatch import Driftwatch
from config import Settings
driftwatch = Driftwatch(Settings(mongodb_uri=sys.argv[1], data_dir=Path(sys.argv[2])))
driftwatch.start()
time.sleep(600)
"""


@pytest.mark.soak
def test_killed_in_the_midst_the_next_process_goes_on_where_it_stood(driftwatch, run, tmp_path):
    job = driftwatch.explain(run, None, ROWS, DEFAULT, "ann")
    arguments = [sys.executable, "-c", WORKER, driftwatch.settings.mongodb_uri, str(tmp_path)]
    worker = subprocess.Popen(arguments, cwd=ROOT, start_new_session=True)
    wait_until(lambda: driftwatch.explained(run, ROWS, DEFAULT)[0])
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    before = {one.place: one.at for one in driftwatch.store.influences.largest(run, ROWS, DEFAULT, limit=100)}
    time.sleep(0.01)
    driftwatch.start()
    assert ended(driftwatch, job).state is JobState.DONE
    assert driftwatch.explained(run, ROWS, DEFAULT) == (len(PLACES), len(PLACES))
    after = {one.place: one.at for one in driftwatch.store.influences.largest(run, ROWS, DEFAULT, limit=100)}
    assert {place: after[place] for place in before} == before


def test_asking_and_reading_import_no_tensorflow(driftwatch, run):
    script = """
import sys
from pathlib import Path
from app.driftwatch import Driftwatch
from app.subsystems.dt.geometry import all_chambers
from config import Settings
driftwatch = Driftwatch(Settings(mongodb_uri=sys.argv[1], data_dir=Path(sys.argv[2])))
what = (int(sys.argv[3]), all_chambers()[0], "row-cnn-1", "occlusion")
assert driftwatch.explain(*what, by="ann") and driftwatch.influence(*what) is None
assert driftwatch.explained(what[0], *what[2:])[0] == 0
driftwatch.close()
heavy = {"tensorflow", "keras", "skimage", "numba", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    arguments = [driftwatch.settings.mongodb_uri, str(driftwatch.settings.data_dir), str(run)]
    subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, check=True)
