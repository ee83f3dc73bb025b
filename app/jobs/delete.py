"""Deleting a run: its items, their earlier scores, what explains them, then the run itself.

What people did stays in the record of events.
"""

from __future__ import annotations

from app.domain.jobs import Job
from app.jobs.runner import Work
from app.store import Store

KIND = "delete"
LANE = "delete"  # one at a time, each takes a moment: every lane has a thread


class Deleting:
    """The handler of delete jobs. It runs when no other job works on the run any more."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, job: Job, work: Work) -> None:
        self._store.items.remove_run(job.run)
        self._store.past_scores.remove_run(job.run)
        self._store.influences.remove_run(job.run)
        self._store.runs.remove(job.run)

    def failed(self, job: Job, why: str) -> None:
        """The run stays marked as being deleted, and `Driftwatch.reconcile` asks again."""
