import os
import signal
import subprocess
import sys
import threading

import pytest
from pymongo import MongoClient, uri_parser
from waiting import steady, wait_until

from app.domain.items import ItemState
from app.domain.labels import Seen
from app.domain.runs import RunState
from app.errors import Conflict, NotFound, Reason
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.simulate import simulate_run
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer, Fault, FaultKind
from config import ROOT

RUN = 302640


def finished(driftwatch, run=RUN):
    wait_until(lambda: not driftwatch.store.runs.get(run).busy and not driftwatch.store.jobs.active(run))
    return driftwatch.store.runs.get(run)


@pytest.fixture
def make_driftwatch(make_app):
    made = []

    def make(**settings):
        made.append(make_app(**settings).extensions["driftwatch"])
        return made[-1]

    yield make
    for driftwatch in made:
        driftwatch.close()


def test_a_run_arrives_whole_and_every_layer_gets_a_verdict(driftwatch):
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert (run.state, run.done, run.missing, run.why, run.requested_by) == (RunState.FINISHED, 250, 0, "", "ann")
    assert run.model == driftwatch.model
    items = driftwatch.store.items.of_run(RUN)
    assert [item.place for item in items] == list(all_chambers())
    simulated = simulate_run(RUN)
    for item in items[::25]:
        stored = driftwatch.store.items.get(RUN, item.place).histogram.counts
        assert stored.tolist() == simulated[item.place].occupancy.counts.tolist()
    for item in items:
        existing = {layer.number for layer in item.place.layers}
        for layer, (score, verdict) in enumerate(zip(item.judgement.scores, item.judgement.verdicts, strict=True), 1):
            assert (verdict == "absent") == (layer not in existing)
            assert (score is None) == (verdict in ("absent", "unjudged"))
        assert item.model == run.model
    assert run.summary["bad_items"] == sum(item.judgement.bad > 0 for item in items)


def test_asked_for_many_times_at_once_a_run_is_fetched_once(driftwatch, demo):
    before = demo.requests
    driftwatch.start()
    threads = [threading.Thread(target=driftwatch.ask_for_run, args=(RUN, "ann")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finished(driftwatch)
    driftwatch.ask_for_run(RUN, by="bob")
    run = finished(driftwatch)
    assert demo.requests - before == 250
    assert run.requested_by == "ann"


def test_two_processes_on_one_database_share_the_work_and_fetch_nothing_twice(make_app, demo, driftwatch):
    other = make_app(mongodb_uri=driftwatch.settings.mongodb_uri, dqm_url=demo.url).extensions["driftwatch"]
    before = demo.requests
    runs = range(RUN, RUN + 4)
    for run in runs:
        driftwatch.ask_for_run(run, by="ann")
    driftwatch.start()
    other.start()
    for run in runs:
        assert finished(driftwatch, run).state is RunState.FINISHED
    other.close()
    assert demo.requests - before == 4 * 250
    assert demo.most_at_once <= 16


def test_what_cannot_be_used_is_missing_with_its_reason_and_asking_again_fetches_only_that(make_driftwatch):
    chambers = all_chambers()
    expected = {chambers[3]: Reason.NOT_JSON, chambers[100]: Reason.WRONG_SHAPE, chambers[249]: Reason.ABSENT}
    kinds = (FaultKind.NOT_JSON, FaultKind.MISSING_ROW, FaultKind.ABSENT)
    faults = [Fault(kind, frozenset({chamber})) for kind, chamber in zip(kinds, expected, strict=True)]
    with DemoServer(DemoOptions(faults=faults)) as server:
        driftwatch = make_driftwatch(dqm_url=server.url, dqm_retries=1, dqm_backoff=0)
        driftwatch.start()
        driftwatch.ask_for_run(RUN, by="ann")
        run = finished(driftwatch)
        assert (run.state, run.done, run.missing) == (RunState.FINISHED, 247, 3)
        assert run.reasons == {"not_json": 1, "wrong_shape": 1, "absent": 1}
        missing = {i.place: i.missing for i in driftwatch.store.items.of_run(RUN) if i.state is ItemState.MISSING}
        assert missing == expected
        before = server.requests
        driftwatch.ask_for_run(RUN, by="ann")
        finished(driftwatch)
        assert server.requests - before == 4  # one of them is tried twice


def test_a_run_that_the_server_does_not_have_is_not_found_and_leaves_no_chambers(driftwatch):
    driftwatch.start()
    driftwatch.ask_for_run(1, by="ann")
    run = finished(driftwatch, 1)
    assert (run.state, run.done, run.missing) == (RunState.NOT_FOUND, 0, 0)
    assert "no histograms of run 1" in run.why
    assert driftwatch.store.items.of_run(1) == []


def test_a_server_that_is_away_stops_the_run_with_one_reason_and_it_can_be_asked_for_again(make_driftwatch, demo):
    with DemoServer() as gone:
        url = gone.url
    driftwatch = make_driftwatch(dqm_url=url, dqm_retries=1, dqm_backoff=0)
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert (run.state, run.done) == (RunState.FAILED, 0)
    assert url in run.why
    driftwatch.close()
    again = make_driftwatch(mongodb_uri=driftwatch.settings.mongodb_uri, dqm_url=demo.url)
    again.start()
    again.ask_for_run(RUN, by="ann")
    assert finished(again).state is RunState.FINISHED


def test_a_server_that_is_away_when_the_missing_are_asked_for_again_takes_nothing_from_the_run(make_driftwatch):
    faults = (Fault(FaultKind.ABSENT, frozenset(all_chambers()[:3])),)
    with DemoServer(DemoOptions(faults=faults)) as server:
        driftwatch = make_driftwatch(dqm_url=server.url, dqm_retries=0)
        driftwatch.start()
        driftwatch.ask_for_run(RUN, by="ann")
        assert finished(driftwatch).missing == 3
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert (run.state, run.done, run.missing) == (RunState.FINISHED, 247, 3)
    assert server.url in run.why


def test_stopping_in_the_midst_gives_the_job_back_and_the_next_process_goes_on(make_driftwatch):
    with DemoServer(DemoOptions(latency=0.05)) as server:
        first = make_driftwatch(dqm_url=server.url)
        first.start()
        first.ask_for_run(RUN, by="ann")
        wait_until(lambda: first.store.runs.get(RUN).done >= 50)
        uri = first.settings.mongodb_uri
        first.close()
        second = make_driftwatch(mongodb_uri=uri, dqm_url=server.url)
        stored = len(second.store.items.stored_places(RUN))
        before = server.requests
        second.start()
        assert finished(second).done == 250
        assert server.requests - before == 250 - stored


def at_work(driftwatch):
    """What the database is writing into this application's collections."""
    name = f"{uri_parser.parse_uri(driftwatch.settings.mongodb_uri)['database']}."
    with MongoClient(driftwatch.settings.mongodb_uri) as client:
        return [
            one
            for one in client.admin.aggregate([{"$currentOp": {"localOps": True}}])
            if one.get("ns", "").startswith(name) and one.get("op") not in ("getmore", "none")
        ]


def test_a_process_killed_at_any_moment_loses_nothing_and_does_nothing_twice(make_driftwatch):
    script = (
        "import time; from config import Settings; from app.driftwatch import Driftwatch\n"
        "d = Driftwatch(Settings.from_environment()); d.reconcile(); d.start()\n"
        "print('up', flush=True); time.sleep(600)"
    )
    with DemoServer(DemoOptions(latency=0.03)) as server:
        driftwatch = make_driftwatch(dqm_url=server.url)
        driftwatch.ask_for_run(RUN, by="ann")
        environment = {**os.environ, "MONGODB_URI": driftwatch.settings.mongodb_uri, "DQM_URL": server.url}
        for stored in (0, 60, 150):  # killed with at least so many chambers stored
            with subprocess.Popen(
                [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
            ) as process:
                try:
                    assert process.stdout.readline() == "up\n"
                    wait_until(lambda at_least=stored: len(driftwatch.store.items.stored_places(RUN)) >= at_least)
                finally:
                    process.send_signal(signal.SIGKILL)
        wait_until(lambda: not at_work(driftwatch))  # the database may still do what the killed process sent
        # So may the server with what it had asked for: its requests count only once they are read from their sockets.
        before, stored = steady(lambda: server.requests), len(driftwatch.store.items.stored_places(RUN))
        driftwatch.start()
        run = finished(driftwatch)
    assert (run.state, run.done, run.missing) == (RunState.FINISHED, 250, 0)
    assert server.requests - before == 250 - stored
    items = driftwatch.store.items.of_run(RUN)
    assert len(items) == 250
    assert all(item.judgement for item in items)


def test_delete_wins_over_a_running_job_and_leaves_nothing(make_driftwatch):
    with DemoServer(DemoOptions(latency=0.05)) as server:
        driftwatch = make_driftwatch(dqm_url=server.url)
        driftwatch.start()
        driftwatch.ask_for_run(RUN, by="ann")
        wait_until(lambda: driftwatch.store.runs.get(RUN).done >= 50)
        driftwatch.delete_run(RUN, by="ann")
        with pytest.raises(Conflict, match=f"Run {RUN} is being deleted"):
            driftwatch.ask_for_run(RUN, by="bob")
        wait_until(lambda: not driftwatch.store.jobs.active(RUN))
        with pytest.raises(NotFound):
            driftwatch.store.runs.get(RUN)
        assert driftwatch.store.items.of_run(RUN) == []


def test_deleting_what_is_not_loaded_is_not_found(driftwatch):
    with pytest.raises(NotFound, match="Run 5 is not loaded"):
        driftwatch.delete_run(5, by="ann")


def test_what_a_killed_program_left_between_wish_and_job_is_taken_up(driftwatch):
    driftwatch.store.runs.request(RUN, "ann", 250)
    driftwatch.store.runs.request(RUN + 1, "ann", 250)
    driftwatch.store.runs.mark_deleting(RUN + 1)
    driftwatch.store.items.store(RUN + 2, [(c, s.occupancy) for c, s in list(simulate_run(RUN).items())[:3]], "test")
    driftwatch.reconcile()
    assert {(job.kind, job.run) for job in driftwatch.store.jobs.active()} == {("fetch", RUN), ("delete", RUN + 1)}
    assert driftwatch.store.items.of_run(RUN + 2) == []


def test_polling_asks_for_new_runs_but_not_for_those_that_somebody_deleted(driftwatch):
    driftwatch.poll()
    first = {run.number for run in driftwatch.store.runs.find(limit=100)}
    assert first
    driftwatch.start()
    unwanted = max(first)
    driftwatch.delete_run(unwanted, by="ann")
    wait_until(lambda: unwanted not in {run.number for run in driftwatch.store.runs.find(limit=100)})
    driftwatch.poll()
    assert unwanted not in {run.number for run in driftwatch.store.runs.find(limit=100)}


def test_labels_come_back_with_their_run_when_it_was_deleted_and_is_fetched_again(driftwatch):
    place = all_chambers()[7]
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    finished(driftwatch)
    item = driftwatch.store.items.look(RUN, place)
    driftwatch.labelling.submit("ann", RUN, place, [3], "label-of-ann", Seen.of(item))
    said = driftwatch.store.items.look(RUN, place)
    driftwatch.labelling.problems.add("eve", all_chambers()[8], [1], "dead", since=RUN)
    driftwatch.delete_run(RUN, by="ann")
    wait_until(lambda: not driftwatch.store.jobs.active(RUN))
    driftwatch.ask_for_run(RUN, by="ann")
    finished(driftwatch)
    again = driftwatch.store.items.look(RUN, place)
    assert (again.evaluation, again.labelled, again.waiting) == (said.evaluation, True, False)
    assert again.contamination == pytest.approx(said.contamination)
    assert driftwatch.store.items.look(RUN, all_chambers()[8]).known


def test_a_run_names_the_model_that_scored_it_even_if_another_came_into_use_meanwhile(driftwatch, monkeypatch):
    scorer = driftwatch.models.scorer

    def somebody_activates_another(name, bad_from=None):
        driftwatch.activate("row-cnn-1", by="eve")
        return scorer(name, bad_from)

    before = driftwatch.model
    monkeypatch.setattr(driftwatch.models, "scorer", somebody_activates_another)
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    run = finished(driftwatch)
    assert (before, run.model, driftwatch.model) == ("chamber-scan-1", "chamber-scan-1", "row-cnn-1")
    assert {item.model for item in driftwatch.store.items.of_run(RUN)} == {"chamber-scan-1"}
    assert not driftwatch.is_complete(run)
    driftwatch.ask_for_run(RUN, by="ann")
    assert finished(driftwatch).model == "row-cnn-1"
