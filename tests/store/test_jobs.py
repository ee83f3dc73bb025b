from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.jobs import JobState
from app.errors import NotFound


@pytest.fixture
def jobs(driftwatch):
    return driftwatch.store.jobs


def lease_runs_out(jobs, job):
    jobs._collection.update_one(
        {"_id": ObjectId(job.id)}, {"$set": {"leased_until": datetime.now(UTC) - timedelta(seconds=1)}}
    )


def test_asking_twice_is_one_job(jobs):
    first = jobs.ask("fetch", 1, "dqm", "ann")
    assert jobs.ask("fetch", 1, "dqm", "bob").id == first.id
    jobs.claim("here")
    assert jobs.ask("fetch", 1, "dqm", "bob").id == first.id


def test_after_a_job_has_ended_the_same_can_be_asked_for_again(jobs):
    first = jobs.ask("fetch", 1, "dqm", "ann")
    jobs.end(jobs.claim("here"), JobState.DONE)
    assert jobs.ask("fetch", 1, "dqm", "ann").id != first.id


def test_a_lane_does_one_job_at_a_time_in_the_order_asked_for(jobs):
    for run in (3, 1, 2):
        jobs.ask("fetch", run, "dqm", "ann")
    done = []
    while job := jobs.claim("here"):
        assert jobs.claim("there") is None
        done.append(job.run)
        jobs.end(job, JobState.DONE)
    assert done == [3, 1, 2]


def test_two_jobs_never_work_on_one_run_even_in_two_lanes(jobs):
    jobs.ask("fetch", 1, "dqm", "ann")
    jobs.ask("delete", 1, "delete:1", "ann")
    jobs.ask("delete", 2, "delete:2", "ann")
    first = jobs.claim("here")
    assert first.run == 1
    assert jobs.claim("here").run == 2
    assert jobs.claim("here") is None
    jobs.end(first, JobState.DONE)
    assert jobs.claim("here").run == 1


def test_a_lost_lease_puts_the_job_back_and_its_old_owner_can_do_nothing_more(jobs):
    jobs.ask("fetch", 1, "dqm", "ann")
    old = jobs.claim("old")
    lease_runs_out(jobs, old)
    assert jobs.requeue_lost() == 1
    new = jobs.claim("new")
    assert (new.id, new.attempt) == (old.id, 2)
    assert jobs.renew([old]) == {}
    jobs.end(old, JobState.DONE)
    assert jobs.get(new.id).state is JobState.RUNNING


def test_who_lost_a_job_and_took_it_again_cannot_end_it_by_what_was_left_of_the_first_time(jobs):
    jobs.ask("fetch", 1, "dqm", "ann")
    first = jobs.claim("here")
    lease_runs_out(jobs, first)
    jobs.requeue_lost()
    again = jobs.claim("here")
    jobs.end(first, JobState.DONE)
    assert set(jobs.renew([first, again])) == {again.id}
    assert jobs.renew([first]) == {}
    assert jobs.get(again.id).state is JobState.RUNNING


def test_a_renewed_lease_is_kept(jobs):
    jobs.ask("fetch", 1, "dqm", "ann")
    job = jobs.claim("here")
    assert jobs.renew([job])[job.id].state is JobState.RUNNING
    assert jobs.requeue_lost() == 0


def test_cancelling_ends_a_queued_job_and_tells_a_running_one(jobs):
    queued = jobs.ask("fetch", 1, "dqm", "ann")
    jobs.cancel("fetch", 1)
    assert jobs.get(queued.id).state is JobState.CANCELLED
    jobs.ask("fetch", 1, "dqm", "ann")
    running = jobs.claim("here")
    jobs.cancel("fetch", 1)
    assert jobs.renew([running])[running.id].cancel


def test_a_job_that_only_its_program_can_do_is_not_given_to_another(jobs):
    job = jobs.begin("fetch", 1, "local:1", "ann", "here", source="a file")
    assert jobs.begin("fetch", 1, "local:1", "ann", "there") is None
    lease_runs_out(jobs, job)
    jobs.requeue_lost()
    assert jobs.claim("there") is None
    assert jobs.get(job.id).state is JobState.FAILED


def test_a_runner_for_some_jobs_leaves_the_others(jobs):
    jobs.ask("fetch", 1, "dqm", "ann")
    wanted = jobs.ask("fetch", 2, "dqm", "ann")
    assert jobs.claim("here", only=[wanted.id]).run == 2
    assert jobs.claim("here", only=[]) is None


@pytest.mark.parametrize("job_id", ["", "x", "0" * 24])
def test_a_job_that_does_not_exist_is_not_found(jobs, job_id):
    with pytest.raises(NotFound, match="no job"):
        jobs.get(job_id)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["ask", "claim", "end", "lose", "requeue", "cancel"]), max_size=25), st.randoms())
def test_whatever_happens_a_lane_and_a_run_have_one_running_job_and_a_key_one_active(jobs, steps, random):
    jobs._collection.delete_many({})
    held = []
    for step in steps:
        if step == "ask":
            run, kind = random.randrange(3), random.choice(["fetch", "delete"])
            jobs.ask(kind, run, "dqm" if kind == "fetch" else f"delete:{run}", "ann")
        elif step == "claim":
            held.append(jobs.claim(f"owner {len(held)}"))
        elif step == "requeue":
            jobs.requeue_lost()
        elif step == "cancel":
            jobs.cancel("fetch", random.randrange(3))
        elif held and (job := random.choice(held)):
            if step == "end":
                jobs.end(job, random.choice([JobState.DONE, JobState.FAILED, JobState.QUEUED]))
            else:
                lease_runs_out(jobs, job)
        running = list(jobs._collection.find({"state": "running"}))
        active = list(jobs._collection.find({"active": True}))
        assert len({d["lane"] for d in running}) == len({d["run"] for d in running}) == len(running)
        assert len({d["key"] for d in active}) == len(active)
        assert all((d["state"] in ("queued", "running")) == d["active"] for d in jobs._collection.find())


def test_jobs_of_no_run_keep_only_their_lanes_from_each_other(jobs):
    for kind, about in (("train", "a"), ("train", "b"), ("drift", "")):
        jobs.ask(kind, None, kind, "ann", about)
    first, other = jobs.claim("here"), jobs.claim("here")
    assert (first.kind, first.run, other.kind) == ("train", None, "drift")
    assert jobs.claim("here") is None
    assert jobs.last("train", None, "a").id == first.id


def test_a_job_tells_how_far_it_is_and_can_be_stopped_by_itself(jobs):
    first, second = (jobs.ask("train", None, "train", "ann", about) for about in "ab")
    jobs.claim("here")
    jobs.note(first, epoch=3, loss=0.5)
    jobs.note(first, epoch=4)
    jobs.cancel_one(first.id)
    jobs.cancel_one(second.id)
    running, queued = jobs.get(first.id), jobs.get(second.id)
    assert running.progress == {"epoch": 4, "loss": 0.5}
    assert (running.state, running.cancel) == (JobState.RUNNING, True)
    assert queued.state is JobState.CANCELLED
    jobs.end(running, JobState.CANCELLED)
    jobs.cancel_one(first.id)
    assert not jobs.active()
