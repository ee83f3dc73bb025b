import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure, PyMongoError
from waiting import PATIENCE, wait_until

from app.domain.jobs import JobState
from app.jobs import compare, delete, drift, evaluate, explain, fetch, reevaluate, train
from app.jobs.runner import Runner
from app.store import Store, connecting
from app.store.jobs import Jobs
from config import ROOT


@contextmanager
def running(runner, *hanging):
    """A runner at work until the block is left; the events are set then, for what hangs until they are."""
    runner.start()
    try:
        yield runner
    finally:
        for event in hanging:
            event.set()
        runner.stop()


def has_ended(store, job):
    return lambda: not store.jobs.get(job.id).active


def test_stopping_waits_for_its_jobs_and_none_that_adds_another_meanwhile_holds_it_up(driftwatch):
    done = []

    class Handler:
        def __call__(self, job, work):
            wait_until(lambda: runner._stopping.is_set())
            runner.every(60, lambda: None)
            runner.do(job)
            done.append(job.kind)

    runner = Runner(driftwatch.store, {"slow": Handler()})
    driftwatch.store.jobs.ask("slow", None, "slow", "tests")
    runner.start()
    wait_until(lambda: runner._working)
    stopping = threading.Thread(target=runner.stop, daemon=True)
    stopping.start()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert done == ["slow"]


def test_leases_are_renewed_while_all_that_is_done_regularly_hangs(driftwatch):
    store, hanging, reached = driftwatch.store, threading.Event(), threading.Semaphore(0)

    def leased_until(job):
        return store.jobs._collection.find_one({"_id": ObjectId(job.id)})["leased_until"]

    def handler(job, work):
        begun = leased_until(job)
        wait_until(lambda: leased_until(job) > begun)

    def hang():
        reached.release()
        hanging.wait()

    runner = Runner(store, {"slow": handler})
    with running(runner, hanging):
        for _ in range(5):  # polls, imports that are written
            runner.every(1, hang)
        for _ in range(5):
            assert reached.acquire(timeout=PATIENCE)
        job = store.jobs.ask("slow", None, "slow", "tests")
        wait_until(has_ended(store, job))
    assert store.jobs.get(job.id).state is JobState.DONE


def test_fetching_waits_for_no_other_lane(driftwatch):
    store, hanging = driftwatch.store, threading.Event()
    others = [each for each in (compare, delete, drift, evaluate, explain, reevaluate, train)]
    handlers = {each.KIND: lambda job, work: hanging.wait() for each in others}
    runner = Runner(store, handlers | {fetch.KIND: lambda job, work: None})
    with running(runner, hanging):
        for each in others:
            store.jobs.ask(each.KIND, None, each.LANE, "tests")
        lanes = {each.LANE for each in others}
        wait_until(lambda: len(store.jobs._collection.distinct("lane", {"state": "running"})) == len(lanes))
        job = store.jobs.ask(fetch.KIND, 1, fetch.LANE, "tests")
        runner.wake()
        wait_until(has_ended(store, job))
        assert sum(job.state is JobState.RUNNING for job in store.jobs.active()) == len(lanes)


def test_a_job_that_was_put_down_since_its_lease_was_not_renewed_is_taken_up_again(driftwatch):
    store, times = driftwatch.store, []

    def handler(job, work):
        times.append(job)
        if len(times) == 1:
            work.renewed -= 1_000
            assert work.over

    with running(Runner(store, {"slow": handler})):
        job = store.jobs.ask("slow", None, "slow", "tests")
        wait_until(has_ended(store, job))
    assert store.jobs.get(job.id).state is JobState.DONE
    assert len(times) == 2


@pytest.fixture
def hurried(make_app, monkeypatch):
    """An application whose requests may wait a second for an operation."""
    monkeypatch.setattr(connecting, "OPERATION_MS", 1_000)
    return make_app().extensions["driftwatch"]


def test_a_query_that_is_slower_than_a_page_may_wait_for_is_no_trouble_to_a_job(hurried):
    collection, found = hurried.store.jobs._collection, []
    slow = {"$where": "sleep(2000) || true"}  # a document takes two seconds

    def handler(job, work):
        found.append(collection.find_one(slow))

    def regular():
        if collection.find_one(slow):
            found.append("regularly")

    runner = Runner(hurried.store, {"slow": handler})
    with running(runner):
        job = hurried.store.jobs.ask("slow", None, "slow", "tests")
        runner.every(60, regular)
        wait_until(lambda: len(found) == 2)
        wait_until(has_ended(hurried.store, job))
    assert hurried.store.jobs.get(job.id).state is JobState.DONE
    with pytest.raises(PyMongoError) as refused:  # while somebody waits for a page
        collection.find_one(slow)
    assert refused.value.timeout


def test_a_query_that_takes_too_long_all_the_same_is_tried_again(driftwatch):
    store, times, given_up = driftwatch.store, [], []

    class Handler:
        def __call__(self, job, work):
            times.append(job)
            if len(times) == 1:
                raise ExecutionTimeout("operation exceeded time limit", 50)

        def failed(self, job, why):
            given_up.append(why)

    runner = Runner(store, {"slow": Handler()})
    with running(runner):
        job = store.jobs.ask("slow", None, "slow", "tests")
        wait_until(lambda: times and not runner._working)
        assert store.jobs.get(job.id).active
        store.jobs.expire(runner.owner)  # rather than wait until the lease runs out
        wait_until(has_ended(store, job))
    assert store.jobs.get(job.id).state is JobState.DONE
    assert (len(times), given_up) == (2, [])


def test_nothing_looks_for_jobs_once_the_runner_has_stopped_so_that_nobody_revives_what_is_closed_then(
    driftwatch, monkeypatch
):
    runner, looking, over = Runner(driftwatch.store, {}), threading.Event(), []

    def until_it_stops(jobs):
        looking.set()
        assert runner._stopping.wait(PATIENCE)
        raise AutoReconnect("the server is away")

    monkeypatch.setattr(Store, "revive", lambda store: over.append("looked"))
    runner.start()
    monkeypatch.setattr(Jobs, "are_unfinished", until_it_stops)
    runner.wake()
    assert looking.wait(PATIENCE)
    runner.stop()
    over.append("stopped")
    wait_until(lambda: len(over) == 2)
    assert over == ["looked", "stopped"]


ENDS_WHILE_A_POLL_HANGS = """
import threading
from app.jobs.runner import Runner
polled = threading.Event()
def poll():
    polled.set()
    threading.Event().wait()
runner = Runner(None, {})
runner.every(60, poll)
polled.wait()
runner.stop()
print("stopped")
"""


def test_a_program_ends_while_a_poll_hangs():
    ended = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_A_POLL_HANGS], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stopped\n", "")


def test_what_still_hangs_when_the_program_ends_does_not_connect_to_the_database_again(driftwatch, caplog):
    store, hanging, tried = driftwatch.store, threading.Event(), []

    def poll():
        hanging.wait()
        try:
            store.ping()
        except Exception as error:
            tried.append(str(error))
            raise

    driftwatch.start()
    driftwatch.runner.every(60, poll)
    driftwatch.close()
    hanging.set()
    wait_until(lambda: tried)
    assert tried[0].startswith("Driftwatch is ending")
    assert "poll" not in caplog.text


class Refused:
    """A handler that the database refuses something, and in the end, maybe, everything."""

    def __init__(self, then=None):
        self.then = then

    def __call__(self, job, work):
        raise OperationFailure("x", 14031, {"errmsg": "No space left on device"})

    def failed(self, job, why):
        if self.then:
            raise self.then


def test_a_job_that_the_database_refuses_something_fails_with_what_to_correct(driftwatch):
    runner = Runner(driftwatch.store, {"refused": Refused()})
    job = driftwatch.store.jobs.ask("refused", None, "refused", "tests")
    runner.start()
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    runner.stop()
    assert driftwatch.store.jobs.get(job.id).state is JobState.FAILED
    assert driftwatch.store.jobs.get(job.id).why.startswith("The database's disk is full.")


def test_a_job_whose_failure_cannot_be_written_does_not_end_the_runner(driftwatch, caplog):
    runner = Runner(driftwatch.store, {"refused": Refused(AutoReconnect("x")), "other": lambda job, work: None})
    job = driftwatch.store.jobs.ask("refused", None, "refused", "tests")
    runner.start()
    wait_until(lambda: "does not answer (AutoReconnect)" in caplog.text)
    other = driftwatch.store.jobs.ask("other", None, "other", "tests")
    wait_until(lambda: driftwatch.store.jobs.get(other.id).state is JobState.DONE)
    runner.stop()
    assert driftwatch.store.jobs.get(job.id).active  # its lease runs out, and it is taken up again
