"""Compare two models in the background: on the frozen sets, on all labels, and on the latest runs.

Nothing is stored until the result is complete; a killed job starts over.
"""

from __future__ import annotations

from app.domain.jobs import Job
from app.jobs.runner import Work
from app.registry import Registry
from app.store import Store

KIND = "compare"
LANE = "compare"  # one at a time: each takes all cores


def about(model: str, other: str) -> str:
    """The key that distinguishes such jobs."""
    return f"{model}|{other}"


class _Stopped(Exception):
    """The comparison was cancelled, or the process is stopping."""


class Comparing:
    """The handler of compare jobs. The first one of a process imports TensorFlow."""

    def __init__(self, store: Store, models: Registry) -> None:
        self._store, self._models = store, models

    def __call__(self, job: Job, work: Work) -> None:
        pair = (job.args["model"], job.args["other"])

        def report(step: str) -> None:
            if work.over:
                raise _Stopped
            self._store.jobs.note(job, step=step)

        learning = self._store.subsystem.learning()
        scorers = (self._models.scorer(pair[0]), self._models.scorer(pair[1]))
        try:
            figures, drawn = learning.compare(self._store, scorers, job.args["runs"], job.args["chambers"], report)
        except _Stopped:
            return
        self._store.comparisons.keep(pair, figures, drawn, job.by)

    def failed(self, job: Job, why: str) -> None:
        """Nothing to do: the job stores the reason, for its page."""
