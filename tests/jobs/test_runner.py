import threading

from waiting import PATIENCE, wait_until

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
