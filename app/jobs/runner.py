"""Takes jobs from the store and runs them in threads of this process.

Any number of processes may have a runner; the store's leases ensure that each job is run by only one. A process that is
killed loses its leases, and another one (or the same one, restarted) resumes its jobs.

No thread depends on one that may be busy: leases are renewed in one thread, jobs are polled in another, and each
periodic function and each job has its own. Their number is bounded by the lanes, each of which runs one job at a time.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pymongo.errors import ConnectionFailure, PyMongoError

from app.domain.jobs import Job, JobState
from app.errors import DiskFull, DriftwatchError
from app.store import Store
from app.store.connecting import unavailable, unhurried
from app.store.connection import until
from app.store.jobs import LEASE_SECONDS

log = logging.getLogger(__name__)

TICK_SECONDS = 1
MOST_ATTEMPTS = 5  # give up a job that has killed its process, or lost the database, this often
SAFE_LEASE_SECONDS = LEASE_SECONDS * 2 / 3  # after this, assume that the lease may be lost


@dataclass(eq=False)
class Work:
    """A handler's view of its job: when `over` is true it should clean up and return."""

    stop: threading.Event = field(default_factory=threading.Event)
    renewed: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether the job was cancelled, the process is stopping, or the lease may be lost."""
        return self.stop.is_set() or time.monotonic() - self.renewed > SAFE_LEASE_SECONDS


class Handler(Protocol):
    """Runs one kind of job. It is called again after a crash and must resume from what is stored."""

    def __call__(self, job: Job, work: Work) -> None: ...

    def failed(self, job: Job, why: str) -> None:
        """Report that the job was given up."""


class BySubsystem:
    """Runs one kind of job with the handler of its subsystem."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def __call__(self, job: Job, work: Work) -> None:
        self._handlers[job.subsystem](job, work)

    def failed(self, job: Job, why: str) -> None:
        self._handlers[job.subsystem].failed(job, why)


class Runner:
    """Claims and runs jobs until it is stopped."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], only: Collection[str] | None = None) -> None:
        """Create a runner for all jobs, or only for those with the given ids."""
        self.owner = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._store, self._handlers, self._only = store, handlers, only
        self._working: dict[str, tuple[Job, Work, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._woken, self._stopping, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._looking: threading.Thread | None = None

    def also(self, only: Collection[str]) -> None:
        """Run these jobs too, unless the runner takes all jobs anyway."""
        if self._only is not None:
            self._only = {*self._only, *only}

    def start(self) -> None:
        self._expire_dead_neighbours()
        _begin(self._keep_leases)
        self._looking = _begin(self._look_for_jobs)

    def every(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function now and again this many seconds after each return; stopping does not wait for it."""

        def call_regularly() -> None:
            while not self._stopping.is_set():
                try:
                    with unhurried(), until(self._stopping):
                        function()
                except (PyMongoError, DriftwatchError) as error:
                    self._tell(error, function.__qualname__)
                except Exception:  # boundary: the next call may succeed
                    log.exception("%s failed unexpectedly", function.__qualname__)
                self._stopping.wait(seconds)

        _begin(call_regularly)

    def wake(self) -> None:
        """Look for jobs now rather than at the next tick."""
        self._woken.set()

    def do(self, job: Job) -> None:
        """Run a job that this runner already owns, in a thread."""
        work = Work()
        thread = threading.Thread(target=self._run, args=(job, work), name=str(job))
        with self._lock:
            if self._stopping.is_set():
                return
            self._working[job.id] = (job, work, thread)
            thread.start()

    def stop(self) -> None:
        """Tell all jobs to stop, wait for them, and release them for other runners."""
        with self._lock:
            self._stopping.set()
            working = list(self._working.values())
        self._woken.set()
        for _, work, _ in working:
            work.stop.set()
        for _, _, thread in working:
            thread.join()
        if self._looking:  # takes one operation at most; it must not reopen the closed database
            self._looking.join()
        self._ended.set()

    def _expire_dead_neighbours(self) -> None:
        """Free the jobs of processes killed on this machine, rather than wait for their leases to expire."""
        for owner in self._store.jobs.owners():
            node, pid, _ = owner.rsplit(":", 2)
            if node == platform.node() and not Path(f"/proc/{pid}").exists():
                self._store.jobs.expire(owner)
        self._store.jobs.requeue_lost()

    def _look_for_jobs(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            self._claim_all()
            self._woken.wait(TICK_SECONDS)

    def _claim_all(self) -> None:
        try:
            if not self._store.jobs.are_unfinished():
                return
            self._store.jobs.requeue_lost()
            while not self._stopping.is_set() and (job := self._store.jobs.claim(self.owner, self._only)):
                self.do(job)
        except (PyMongoError, DriftwatchError) as error:
            self._tell(error, "the job queue is out of reach")
            self._revive()

    def _revive(self) -> None:
        try:
            self._store.revive()
        except DriftwatchError as error:
            log.warning("%s", error)

    def _keep_leases(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            try:
                self._renew()
            except (PyMongoError, DriftwatchError) as error:
                self._tell(error, "leases are not renewed")

    def _renew(self) -> None:
        with self._lock:
            working = [(job, work) for job, work, _ in self._working.values()]
        if not working:
            return
        now = time.monotonic()
        kept = self._store.jobs.renew([job for job, _ in working])
        for job, work in working:
            if job.id not in kept or kept[job.id].cancel:
                work.stop.set()
            else:
                work.renewed = now

    def _run(self, job: Job, work: Work) -> None:
        try:
            with unhurried():
                self._do(job, work)
        except PyMongoError as error:
            # Nothing can be written now. The lease will expire, and the job will be retried.
            log.warning("%s: %s (%s)", job, unavailable(error), error)
        finally:
            with self._lock:
                if self._working[job.id][1] is work:  # otherwise its lease expired and it was taken up again
                    del self._working[job.id]
            self.wake()

    def _tell(self, error: PyMongoError | DriftwatchError, what: str) -> None:
        level = logging.DEBUG if self._stopping.is_set() else logging.WARNING  # errors are expected while stopping
        log.log(level, "%s: %s", what, unavailable(error) if isinstance(error, PyMongoError) else error)

    def _do(self, job: Job, work: Work) -> None:
        handler = self._handlers[job.kind]
        try:
            if job.attempt > MOST_ATTEMPTS:
                raise DriftwatchError(
                    f"Given up: {MOST_ATTEMPTS} times its program was ended, or the database did not answer, while it "
                    "was under way."
                )
            handler(job, work)
        except PyMongoError as error:
            if isinstance(error, ConnectionFailure) or error.timeout:
                raise
            log.warning("%s failed: %s", job, error)
            self._fail(handler, job, str(unavailable(error)))
        except DriftwatchError as error:
            log.warning("%s failed: %s", job, error)
            self._fail(handler, job, str(error))
        except Exception as error:  # boundary: no error may end the runner
            log.exception("%s failed unexpectedly", job)
            full = DiskFull.of(error) if isinstance(error, OSError) else None
            self._fail(handler, job, str(full or f"Unexpected error: {type(error).__name__}: {error}"))
        else:
            self._store.jobs.end(job, self._outcome(job, work))

    def _outcome(self, job: Job, work: Work) -> JobState:
        if not work.over:
            return JobState.DONE
        if job.local:  # no other process could run it
            return JobState.CANCELLED
        return JobState.CANCELLED if self._store.jobs.get(job.id).cancel else JobState.QUEUED

    def _fail(self, handler: Handler, job: Job, why: str) -> None:
        handler.failed(job, why)
        self._store.jobs.end(job, JobState.FAILED, why)


def _begin(function: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)  # the process exits without waiting for it
    thread.start()
    return thread
