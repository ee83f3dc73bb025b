"""Fetch a run: its missing items are read from a source, stored as they arrive, and scored in one batch.

Every step can be repeated: after a crash the job requests the items that are not stored and scores the unscored ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.jobs import Job
from app.domain.origin import SourceKind
from app.domain.runs import Run, RunState
from app.errors import NotFound, OtherSource, Reason, SourceDown
from app.jobs.runner import Work
from app.jobs.score import Scoring
from app.sources import Source
from app.store import Store

log = logging.getLogger(__name__)

KIND = "fetch"
LANE = "dqm"  # one run at a time: the server can take 16 requests at once, not 16 per run
BATCH = 25  # items written at once
SETTLED = timedelta(hours=1)  # unchanged for this long means no longer filling: a part counts every second
FIRST_WAIT = timedelta(minutes=10)  # before the first automatic retry; doubled each time
ASKED_FOR = timedelta(days=3)  # retry no longer than this: no run lasts so long
# Reasons for a missing item that may go away.
HEALING = frozenset({Reason.NO_ANSWER, Reason.SERVER_ERROR, Reason.DEADLINE, Reason.NOT_JSON, Reason.REFUSED})
BATCH_SECONDS = 0.4  # longest delay before arrived items are written


class Fetching:
    """The handler of fetch jobs.

    Args:
        open_source: job → the source of its histograms; called when a job needs it. Raises OtherSource if the run came
            from elsewhere; then nothing is fetched, and the stored items are scored.
        scoring: scores the items that arrived.
        project: run → project existing labels to the items that arrived.
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
        if work.over and job.local:  # no other process can read the file
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
        except NotFound:  # deleted and not requested again
            return ""
        return origin.interrupted(run) if origin else ""

    def _fetch(self, job: Job, work: Work) -> None:
        run, places = job.run, self._store.subsystem.places()
        stored = self._store.items.stored_places(run)
        known = self._store.runs.get(run)
        again = bool(job.args.get("again")) and bool(stored)
        wanted = places if again else [place for place in places if place not in stored]
        if not wanted or (known.origin and known.origin.kind is SourceKind.IMPORT):  # the file contains no more
            return
        source = self._open_source(job)
        started = datetime.now(UTC)
        counts = {"done": len(stored), "missing": 0, "total": len(places)}
        begun = {"state": RunState.FETCHING, "started_at": started, "rate": 0.0, "why": "", **source.origin.fields}
        if not self._store.runs.update(run, **begun, **counts):
            work.stop.set()
            return
        # Before fetching: if the run has ended by now, none of its histograms are from mid-run.
        may_grow = source.may_grow(run, work.stop)
        if again:
            settled = self._fetch_again(source, known, work)
            if not work.over:
                self._store.runs.update(run, unsettled=may_grow and not settled)
            return
        self._store.runs.update(run, unsettled=may_grow or (known.unsettled and bool(stored)))
        first_asked = written = time.monotonic()
        batch: list[tuple[Any, Any]] = []

        def write() -> None:
            if work.over:
                return
            self._store.items.store(run, batch, source.name, source.simulated)
            unusable = sum(isinstance(result, Exception) for _, result in batch)
            counts["missing"] += unusable
            counts["done"] += len(batch) - unusable
            arrived = counts["done"] + counts["missing"] - len(stored)
            rate = arrived / max(time.monotonic() - first_asked, 0.001)
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

    def _fetch_again(self, source: Source, known: Run, work: Work) -> bool:
        """Refetch a whole run and replace the stored histograms, unless the new ones have fewer hits.

        The server resets its histograms from time to time. If the total number of hits is lower than that of the stored
        histograms, these are kept.

        Returns:
            Whether nothing has changed since `SETTLED` ago.

        Raises:
            SourceDown: the stored items are kept.
        """
        items, run = self._store.items, known.number
        came = list(source.fetch(run, self._store.subsystem.places(), work.stop))
        if work.over:
            return False
        before = items.hits(run)
        both = [(place, one) for place, one in came if place in before and not isinstance(one, Exception)]
        changed = items.differing(run, both)
        fewer = sum(one.hits for _, one in both) < sum(before[place] for place, _ in both)
        new = [(place, one) for place, one in came if place not in before]
        items.store(run, [*new, *([] if fewer else changed)], source.name, source.simulated)
        if fewer:
            log.info("run %d: the server has fewer hits than before, which stay", run)
        return not changed and known.started_at is not None and datetime.now(UTC) - known.started_at >= SETTLED

    def _conclude(self, run: int, why: str) -> None:
        facts = self._scoring.facts(run)
        done, missing = facts["done"], facts["missing"]
        # A failed refetch never discards stored items.
        state = RunState.FAILED if why and not self._scoring.is_whole(facts) else RunState.FINISHED
        if not why and not done and set(facts["reasons"]) == {Reason.ABSENT}:
            state, why = RunState.NOT_FOUND, f"The server has no histograms of run {run}."
            self._store.items.remove_missing(run)
            facts, missing = facts | {"missing": 0, "summary": {}, "reasons": {}}, 0
        again = self._ask_again_at(run, state, facts["reasons"])
        self._store.runs.update(run, state=state, why=why, finished_at=datetime.now(UTC), ask_again_at=again, **facts)
        log.info("run %d: %s, %d stored, %d missing %s", run, state, done, missing, why)

    def _ask_again_at(self, run: int, state: RunState, reasons: Iterable[str]) -> datetime | None:
        """Time of the next automatic request for items that may become available; the wait doubles each time."""
        try:
            known = self._store.runs.get(run)
        except NotFound:
            return None
        now = datetime.now(UTC)
        may_come = state in (RunState.NOT_FOUND, RunState.FAILED) or known.unsettled or not HEALING.isdisjoint(reasons)
        if not may_come or not known.origin or not known.origin.is_server:
            return None
        waited = now - (known.first_asked_at or now)
        return now + max(FIRST_WAIT, waited) if waited < ASKED_FOR else None
