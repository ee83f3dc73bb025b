"""Fetching a run: what is missing of it comes from a source, is stored as it arrives, and is scored in one batch.

Every step can be repeated: after a crash the job asks for what is not stored and scores what has no scores.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from app.errors import NotFound, OtherSource, Reason, SourceDown
from app.jobs.runner import Work
from app.jobs.score import Scoring
from app.sources import Source
from app.sources.origin import SourceKind
from app.store import Store
from app.store.jobs import Job
from app.store.runs import RunState

log = logging.getLogger(__name__)

KIND = "fetch"
LANE = "dqm"  # one run at a time: the server bears 16 requests at once, not 16 a run
BATCH = 25  # items written at once
BATCH_SECONDS = 0.4  # an item waits no longer than this to be written, while others arrive


class Fetching:
    """The handler of fetch jobs.

    Args:
        open_source: job → where its histograms come from; called when a job needs it. Raises OtherSource where the run
            came from elsewhere: nothing is fetched then, and what is there is scored.
        scoring: scores what arrived.
        project: run → what people said of its items before, put on those that arrived now.
    """

    def __init__(
        self, store: Store, open_source: Callable[[Job], Source], scoring: Scoring, project: Callable[[int], None]
    ) -> None:
        self._store, self._open_source, self._scoring, self._project = store, open_source, scoring, project

    def __call__(self, job: Job, work: Work) -> None:
        why = ""
        try:
            self._fetch(job, work)
        except SourceDown as error:
            why = str(error)
        except OtherSource:
            why = self._interrupted(job.run)
        if work.stop.is_set() and job.local:  # nobody else can read the file
            self._conclude(job.run, self._interrupted(job.run))
        if not work.over:
            self._project(job.run)
            self._store.runs.update(job.run, state=RunState.SCORING)
            self._scoring.score(job.run, work)
        if not work.over:
            self._conclude(job.run, why)

    def failed(self, job: Job, why: str) -> None:
        self._conclude(job.run, why)

    def _interrupted(self, run: int) -> str:
        try:
            origin = self._store.runs.get(run).origin
        except NotFound:  # it was deleted, and nobody asks
            return ""
        return origin.interrupted(run) if origin else ""

    def _fetch(self, job: Job, work: Work) -> None:
        run, places = job.run, self._store.subsystem.places()
        stored = self._store.items.stored_places(run)
        wanted = [place for place in places if place not in stored]
        origin = self._store.runs.get(run).origin
        if not wanted or (origin and origin.kind is SourceKind.IMPORT):  # the file has no more
            return
        source = self._open_source(job)
        started = datetime.now(UTC)
        counts = {"done": len(stored), "missing": 0, "total": len(places)}
        begun = {"state": RunState.FETCHING, "started_at": started, "rate": 0.0, "why": "", **source.origin.fields}
        if not self._store.runs.update(run, **begun, **counts):
            work.stop.set()
            return
        begun = written = time.monotonic()
        batch = []

        def write() -> None:
            if work.over:
                return
            self._store.items.store(run, batch, source.name, source.simulated)
            unusable = sum(isinstance(result, Exception) for _, result in batch)
            counts["missing"] += unusable
            counts["done"] += len(batch) - unusable
            arrived = counts["done"] + counts["missing"] - len(stored)
            rate = arrived / max(time.monotonic() - begun, 0.001)
            simulated = {"simulated": True} if source.simulated else {}
            if not self._store.runs.update(run, rate=rate, **counts, **simulated):
                work.stop.set()
            batch.clear()

        try:
            for result in source.fetch(run, wanted, work.stop):
                batch.append(result)
                if len(batch) >= BATCH or time.monotonic() - written > BATCH_SECONDS:
                    write()
                    written = time.monotonic()
        finally:
            if batch:
                write()

    def _conclude(self, run: int, why: str) -> None:
        facts = self._scoring.facts(run)
        done, missing = facts["done"], facts["missing"]
        # A server that is away when what was missing is asked for again takes nothing from what is there.
        state = RunState.FAILED if why and not self._scoring.is_whole(facts) else RunState.FINISHED
        if not why and not done and set(facts["reasons"]) == {Reason.ABSENT}:
            state, why = RunState.NOT_FOUND, f"The server has no histogram of run {run}."
            self._store.items.remove_missing(run)
            facts, missing = facts | {"missing": 0, "summary": {}, "reasons": {}}, 0
        self._store.runs.update(run, state=state, why=why, finished_at=datetime.now(UTC), **facts)
        log.info("run %d: %s, %d stored, %d missing %s", run, state, done, missing, why)
