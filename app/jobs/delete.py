"""Delete a run: its items, their past scores and influences, then the run itself.

The audit trail keeps what people did.
"""

from __future__ import annotations

from app.domain.jobs import Job
from app.jobs.runner import Work
from app.store import Store

KIND = "delete"
LANE = "delete"  # one at a time: each takes only a moment, and every lane costs a thread


class Deleting:
    """The handler of delete jobs, which run once no other job works on the run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, job: Job, work: Work) -> None:
        self._store.items.remove_run(job.run)
        self._store.past_scores.remove_run(job.run)
        self._store.influences.remove_run(job.run)
        self._store.runs.remove(job.run)

    def failed(self, job: Job, why: str) -> None:
        """The run stays marked for deletion, and `Driftwatch.reconcile` queues the job again."""
