"""Takes jobs from the store and executes them in threads of this process.

Any number of processes may have a runner; the store's leases ensure that each job is done by one. A killed process
loses its leases, and another one (or the same, restarted) resumes its jobs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from pymongo.errors import ConnectionFailure, PyMongoError

from app.domain.jobs import Job, JobState
from app.errors import DiskFull, DriftwatchError
from app.store import Store
from app.store.connecting import unavailable
from app.store.jobs import LEASE_SECONDS

log = logging.getLogger(__name__)

TICK_SECONDS = 1
THREADS = 4  # fetching takes one (its lane allows no second); deletions need not wait for it
MOST_ATTEMPTS = 5  # a job that kills its process this often is abandoned
SAFE_LEASE_SECONDS = LEASE_SECONDS * 2 / 3  # after this, do not trust that the lease is still ours


@dataclass(eq=False)
class Work:
    """A handler's view of its job: once `over` is true it should save its work and return."""

    stop: threading.Event = field(default_factory=threading.Event)
    renewed: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """The job is cancelled, the process is stopping, or the lease may have been lost."""
        return self.stop.is_set() or time.monotonic() - self.renewed > SAFE_LEASE_SECONDS


class Handler(Protocol):
    """Does one kind of job. Called again after a crash: must resume from what is stored."""

    def __call__(self, job: Job, work: Work) -> None: ...

    def failed(self, job: Job, why: str) -> None:
        """Record that the job was abandoned."""


class BySubsystem:
    """Does one kind of job with the handler of its subsystem."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def __call__(self, job: Job, work: Work) -> None:
        self._handlers[job.subsystem](job, work)

    def failed(self, job: Job, why: str) -> None:
        self._handlers[job.subsystem].failed(job, why)


class _Scheduler(BackgroundScheduler):
    """A pool whose threads survive a shutdown while it hands out a job."""

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Forget a job, even if the shutdown forgot it first."""
        with contextlib.suppress(JobLookupError):
            super().remove_job(job_id, jobstore)


class Runner:
    """Claims and executes jobs until it is stopped."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], only: Collection[str] | None = None) -> None:
        """Make a runner for all jobs, or only for those with the given ids."""
        self.owner = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._store, self._handlers, self._only = store, handlers, only
        self._working: dict[str, tuple[Job, Work]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._pools = {"default": ThreadPoolExecutor(2), "work": ThreadPoolExecutor(THREADS)}
        defaults = {"misfire_grace_time": None, "coalesce": True}
        self._scheduler = _Scheduler(executors=self._pools, job_defaults=defaults, timezone=UTC)
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # warns when a tick takes more than a second

    def also(self, only: Collection[str]) -> None:
        """Do these jobs too, unless the runner is for all jobs anyway."""
        if self._only is not None:
            self._only = {*self._only, *only}

    def start(self) -> None:
        self._expire_dead_neighbours()
        self._scheduler.start()
        self.every(TICK_SECONDS, self._tick)

    def every(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function now, and then at an interval in seconds."""
        self._scheduler.add_job(function, "interval", seconds=seconds, next_run_time=datetime.now(UTC))

    def wake(self) -> None:
        """Look for jobs now, not at the next tick."""
        if self._scheduler.running:
            self._scheduler.add_job(self._tick)

    def do(self, job: Job) -> None:
        """Do a job that this runner already owns, in a thread."""
        work = Work()
        with self._lock:
            if self._stopping:
                return
            self._working[job.id] = (job, work)
        self._scheduler.add_job(self._run, args=(job, work), executor="work")

    def stop(self) -> None:
        """Tell all jobs to save their work, wait for them, and release them for others to take."""
        with self._lock:
            self._stopping = True
            working = list(self._working.values())
        for _, work in working:
            work.stop.set()
        if self._scheduler.running:
            # Waiting here would hold a lock needed by jobs that add further ones: a deadlock.
            self._scheduler.shutdown(wait=False)
            for pool in self._pools.values():
                pool.shutdown()

    def _expire_dead_neighbours(self) -> None:
        """Release the jobs of programs killed on this machine at once, before their leases expire."""
        for owner in self._store.jobs.owners():
            node, pid, _ = owner.rsplit(":", 2)
            if node == platform.node() and not Path(f"/proc/{pid}").exists():
                self._store.jobs.expire(owner)
        self._store.jobs.requeue_lost()

    def _tick(self) -> None:
        if self._stopping:
            return
        try:
            self._renew()
            self._store.jobs.requeue_lost()
            while len(self._working) < THREADS and (job := self._store.jobs.claim(self.owner, self._only)):
                self.do(job)
        except (PyMongoError, DriftwatchError) as error:
            why = unavailable(error) if isinstance(error, PyMongoError) else error
            log.warning("the job queue cannot be reached: %s", why)
            self._revive()

    def _revive(self) -> None:
        try:
            self._store.revive()
        except DriftwatchError as error:
            log.warning("%s", error)

    def _renew(self) -> None:
        for job, work in list(self._working.values()):
            now = time.monotonic()
            renewed = self._store.jobs.renew(job)
            if renewed is None or renewed.cancel:
                work.stop.set()
            else:
                work.renewed = now

    def _run(self, job: Job, work: Work) -> None:
        try:
            self._do(job, work)
        except PyMongoError as error:
            # Nothing can be written now. The lease expires, and the job is taken again.
            log.warning("%s: %s (%s)", job, unavailable(error), error)
        finally:
            with self._lock:
                self._working.pop(job.id, None)
            if not self._stopping:
                self.wake()

    def _do(self, job: Job, work: Work) -> None:
        handler = self._handlers[job.kind]
        try:
            if job.attempt > MOST_ATTEMPTS:
                raise DriftwatchError(f"Abandoned: its program ended {MOST_ATTEMPTS} times while the job was running.")
            handler(job, work)
        except ConnectionFailure:
            raise
        except PyMongoError as error:
            log.warning("%s failed: %s", job, error)
            self._fail(handler, job, str(unavailable(error)))
        except DriftwatchError as error:
            log.warning("%s failed: %s", job, error)
            self._fail(handler, job, str(error))
        except Exception as error:  # border: no error may end the runner
            log.exception("%s failed unexpectedly", job)
            full = DiskFull.of(error) if isinstance(error, OSError) else None
            self._fail(handler, job, str(full or f"Unexpected error: {type(error).__name__}: {error}"))
        else:
            self._store.jobs.end(job, self._outcome(job, work))

    def _outcome(self, job: Job, work: Work) -> JobState:
        if not work.stop.is_set():
            return JobState.DONE
        if job.local:  # no other process could do it
            return JobState.CANCELLED
        return JobState.CANCELLED if self._store.jobs.get(job.id).cancel else JobState.QUEUED

    def _fail(self, handler: Handler, job: Job, why: str) -> None:
        handler.failed(job, why)
        self._store.jobs.end(job, JobState.FAILED, why)
