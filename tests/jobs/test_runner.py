import threading

from pymongo.errors import AutoReconnect, OperationFailure
from waiting import PATIENCE, wait_until

from app.domain.jobs import JobState
from app.jobs.runner import Runner


def test_stopping_waits_for_its_jobs_and_none_that_adds_another_meanwhile_holds_it_up(driftwatch):
    done = []

    class Handler:
        def __call__(self, job, work):
            wait_until(lambda: not runner._scheduler.running)
            runner.every(60, lambda: None)
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
