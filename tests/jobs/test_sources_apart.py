"""A run is continued from the source that it began with, and simulated runs are mixed with no others."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import uproot
from waiting import wait_until

from app.domain.items import ItemQuery
from app.domain.labels import Seen
from app.domain.origin import DEMONSTRATION, Origin, SourceKind
from app.domain.runs import RunState
from app.errors import Conflict, OtherSource
from app.store.queue import Holder, Order, QueueFilter
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.learning.labelled_items import SIMULATED_RUN, Choice, labels_of
from app.subsystems.dt.simulate import simulate_run
from app.subsystems.dt.sources import dqm
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer
from app.subsystems.dt.sources.rootfile import RootFile
from config import ROOT

RUN = 302635
# A program that takes long to read a ROOT file.
SLOWLY = """
import sys, time
from pathlib import Path
from app.driftwatch import Driftwatch
from app.subsystems.dt.sources.rootfile import RootFile
from config import Settings

class Slowly(RootFile):
    def fetch(self, run, chambers, stop):
        for result in super().fetch(run, chambers, stop):
            yield result
            time.sleep(0.1)

driftwatch = Driftwatch(Settings(mongodb_uri=sys.argv[1], data_dir=Path(sys.argv[2])))
driftwatch.start(only=[])
driftwatch.fetch_here(int(sys.argv[4]), Slowly(Path(sys.argv[3])), by="ann")
sys.stdin.read()
driftwatch.close()
"""


@pytest.fixture(scope="module")
def root_file(tmp_path_factory):
    """A run's DQM ROOT file."""
    path = tmp_path_factory.mktemp("root") / f"DQM_V0001_DT_R{RUN:09}.root"
    simulated = simulate_run(RUN + 1)  # not what the demonstration says of this run
    with uproot.recreate(path) as file:
        for chamber in all_chambers():
            place = dqm.histogram_path(RUN, chamber).partition("/DT/")[2]
            rows = simulated[chamber].occupancy.counts.astype("f4")
            edges = np.arange(1, rows.shape[1] + 2), np.arange(13)
            file[f"DQMData/Run {RUN}/DT/Run summary/{place}"] = (rows.T, *edges)
    return path


@pytest.fixture
def make_driftwatch(make_app):
    def make(**settings):
        return make_app(**settings).extensions["driftwatch"]

    return make


def finished(driftwatch, run=RUN):
    wait_until(lambda: not driftwatch.store.runs.get(run).busy and not driftwatch.store.jobs.active(run))
    return driftwatch.store.runs.get(run)


def begun_from(driftwatch, root_file, tmp_path):
    """A program that reads the ROOT file slowly, once some chambers of it are stored."""
    arguments = [driftwatch.settings.mongodb_uri, str(tmp_path), str(root_file), str(RUN)]
    program = subprocess.Popen([sys.executable, "-c", SLOWLY, *arguments], cwd=ROOT, stdin=subprocess.PIPE)
    wait_until(lambda: driftwatch.store.items.stored_places(RUN))
    return program


@pytest.mark.parametrize("how", [signal.SIGKILL, "stopped"])
def test_an_interrupted_fetch_of_a_root_file_is_left_incomplete_and_goes_on_with_the_file_alone(
    make_driftwatch, root_file, tmp_path, how
):
    driftwatch = make_driftwatch()  # without DQM_URL, that is the demonstration
    program = begun_from(driftwatch, root_file, tmp_path)
    if how is signal.SIGKILL:
        os.kill(program.pid, how)
    program.communicate()
    driftwatch.start()
    if how is signal.SIGKILL:
        driftwatch.reconcile_runs()
    else:
        assert finished(driftwatch).state is RunState.FAILED
        driftwatch.ask_for_run(RUN, by="ann")  # what is there is scored
    run = finished(driftwatch)
    assert (run.state, run.origin) == (RunState.FAILED, Origin(SourceKind.ROOT, root_file.name))
    assert 0 < run.done < 250
    assert run.why == (
        f"Fetching it from the ROOT file {root_file.name} was interrupted. To go on, give the file again: "
        f"flask fetch --root {root_file.name} {RUN}; or delete the run first."
    )
    assert run.summary["unscored"] == 0
    with pytest.raises(OtherSource, match=f"the ROOT file {root_file.name} and is not mixed with the demonstration"):
        driftwatch.ask_for_run(RUN, by="ann")
    driftwatch.fetch_here(RUN, RootFile(root_file), by="ann")
    run = finished(driftwatch)
    assert (run.state, run.done, run.missing, run.why, run.simulated) == (RunState.FINISHED, 250, 0, "", False)
    assert {item.source for item in driftwatch.store.items.of_run(RUN)} == {root_file.name}


def test_a_run_of_the_demonstration_is_not_continued_from_a_file_nor_the_other_way_round(make_driftwatch, root_file):
    driftwatch = make_driftwatch()
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert (run.origin, run.simulated) == (DEMONSTRATION, True)
    with pytest.raises(OtherSource, match="comes from the demonstration server and is not mixed with the ROOT file"):
        driftwatch.fetch_here(RUN, RootFile(root_file), by="ann")
    assert driftwatch.store.runs.get(RUN) == run


def test_a_run_of_one_server_is_not_continued_from_another(make_driftwatch, demo):
    half = {RUN: {chamber: [[5] * chamber.columns] * 12 for chamber in all_chambers()[:100]}}
    with DemoServer(DemoOptions(runs=half)) as server:
        first = make_driftwatch(dqm_url=server.url)
        first.start()
        first.ask_for_run(RUN, by="ann")
        assert finished(first).done == 100
        second = make_driftwatch(mongodb_uri=first.settings.mongodb_uri, dqm_url=demo.url)
        with pytest.raises(OtherSource, match=f"DQM server {server.url} and .* with the DQM server {demo.url}"):
            second.ask_for_run(RUN, by="ann")
        assert not finished(first).simulated


def test_a_demonstration_server_that_dqm_url_names_says_that_its_runs_are_simulated(driftwatch, demo):
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert (run.origin, run.simulated) == (Origin(SourceKind.DQM, demo.url), True)
    assert all(item.simulated for item in driftwatch.store.items.of_run(RUN))


@pytest.fixture
def both(driftwatch, root_file):
    """A simulated run, a chamber of it labelled; and a real one."""
    driftwatch.start()
    driftwatch.ask_for_run(302634, by="ann")
    finished(driftwatch, 302634)
    say(driftwatch, 302634)
    driftwatch.fetch_here(RUN, RootFile(root_file), by="ann")
    finished(driftwatch)
    return driftwatch


def say(driftwatch, run):
    item = driftwatch.store.items.look(run, all_chambers()[7])
    driftwatch.labelling.submit("ann", run, item.place, [3], f"label-of-{run}-{item.seq}", Seen.of(item))


def test_simulated_runs_stand_in_no_list_picture_or_statistic_with_real_ones(both):
    store, model = both.store, both.model
    assert store.runs.set_aside() == [302634]
    assert {item.run for item in store.lists.find(ItemQuery(model), 0, 500)} == {RUN}
    assert store.lists.count(ItemQuery(model)) + store.lists.count(ItemQuery(model, run=302634)) > 400
    assert {run.number for run in store.runs.with_drift(1, 999_999)} <= {RUN}
    assert [row[0] for row in store.runs.summaries(["bad_items"], 1, 999_999)] == [RUN]
    assert [row[0] for row in store.runs.summaries(["bad_items"], 302634, 302634)] == [302634]  # alone, it is not mixed
    assert [row[0] for row in store.items.history(all_chambers()[0], 1, 999_999)] == [RUN]
    assert store.lists.labelled_scores(model, {}, 100) == []
    assert len(store.lists.labelled_scores(model, {"run": 302634}, 100)) == 1
    assert store.runs.near(RUN, model, 5) == store.runs.near(302634, model, 5) == []
    assert store.items.of_place(all_chambers()[0], RUN, 5) == store.items.of_place(all_chambers()[0], 302634, 5) == []
    assert store.queue.take(Holder("bob"), QueueFilter(model), Order.RANK, {}).run == RUN
    assert store.queue.take(Holder("bob"), QueueFilter(model, run=302634), Order.RANK, {}).run == 302634
    assert store.runs.newest().number == RUN
    assert [run.number for run in store.runs.find(together=True)] == [RUN]
    assert [run.number for run in store.runs.find()] == [RUN, 302634]


def test_where_there_is_nothing_but_a_demonstration_all_works_on_it(driftwatch):
    driftwatch.start()
    driftwatch.ask_for_run(302634, by="ann")
    finished(driftwatch, 302634)
    say(driftwatch, 302634)
    assert driftwatch.store.runs.set_aside() == []
    assert driftwatch.store.lists.find(ItemQuery(driftwatch.model))
    assert len(labels_of(driftwatch.store, Choice())[0]) == 1


def test_labels_of_simulated_runs_are_left_out_of_training_where_there_are_others(both):
    assert len(labels_of(both.store, Choice())[0]) == 1
    say(both, RUN)
    labels, left_out = labels_of(both.store, Choice())
    assert [one.run for one in labels] == [RUN]
    assert left_out[SIMULATED_RUN] == 1


def test_labels_of_a_simulated_run_do_not_come_onto_the_real_one_that_takes_its_number(make_driftwatch, root_file):
    driftwatch = make_driftwatch()
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    finished(driftwatch)
    say(driftwatch, RUN)
    driftwatch.delete_run(RUN, by="ann")
    wait_until(lambda: not driftwatch.store.jobs.active(RUN))
    driftwatch.fetch_here(RUN, RootFile(root_file), by="ann")
    finished(driftwatch)
    assert not driftwatch.store.items.look(RUN, all_chambers()[7]).labelled
    assert driftwatch.store.labels.of_run(RUN) == {}
    say(driftwatch, RUN)
    driftwatch.delete_run(RUN, by="ann")
    wait_until(lambda: not driftwatch.store.jobs.active(RUN))
    with pytest.raises(Conflict, match="There are labels of the real run"):
        driftwatch.ask_for_run(RUN, by="ann")


def test_a_database_of_the_time_before_tells_by_the_names_of_sources_what_is_simulated(make_driftwatch):
    before = make_driftwatch().store
    names = {
        1: "http://127.0.0.1:40123/dqm/online",
        2: "https://cmsweb.cern.ch/dqm/online",
        3: "DQM_V0001_DT_R000302635.root",
        4: "training.json",
        5: "DQM_V0001_DT_R000302635.root",
    }
    place = all_chambers()[0]
    for run, name in names.items():
        before.runs._collection.insert_one({"_id": run, "state": "finished", "done": 1, "total": 250, "source": name})
        came = [(place, simulate_run(RUN)[place].occupancy)]
        before.items.store(run, came, names[1] if run == 5 else name)
        label = {"run": run, "subsystem": "dt", "wheel": 0, "station": 1, "sector": 1, "seq": 1, "key": str(run)}
        before.labels._collection.insert_one({**label, "projected": True})
    database = before.runs._collection.database
    database["upgrades"].delete_many({})
    database["items"].update_many({}, {"$unset": {"simulated": ""}})
    database["runs"].drop_index("simulated")
    database["labels"].drop_index("simulated_1")

    store = make_driftwatch(mongodb_uri=before._connection._uri).store
    kinds = {run: store.runs.get(run).source_kind for run in names}
    assert kinds == {1: "demonstration", 2: "dqm", 3: "root", 4: "import", 5: "root"}
    assert store.runs.simulated() == store.labels.simulated_runs() == [1, 5]  # of the last, a part is
    assert [run for run in names if store.items.look(run, place).simulated] == [1, 5]
    assert store.runs.set_aside() == [1, 5]
