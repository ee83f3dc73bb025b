"""Evaluating a model in the background, in a separate process; the result is stored for the model's page.

Until the result is complete, only the progress is stored. A killed job starts over.
"""

from __future__ import annotations

import logging

from app.domain.jobs import Job
from app.jobs import train
from app.jobs.runner import Work
from app.ml.models import REFERENCE
from app.ml.worker_process import Told, done_apart
from app.registry import Registry
from app.store import Store

KIND = "evaluate"
LANE = train.LANE  # never in parallel with a training: each takes two processors for minutes

log = logging.getLogger(__name__)


class Evaluations:
    """The handler of evaluation jobs, each for one model."""

    def __init__(self, store: Store, models: Registry) -> None:
        self._store, self._models = store, models

    def __call__(self, job: Job, work: Work) -> None:
        name = job.args["model"]
        there = {model.name for model in self._models.all()}
        names = [name, *({REFERENCE} & there - {name})]
        folders = tuple((self._models.folder(one), self._models.bad_from(one)) for one in names)
        task = self._store.subsystem.learning().evaluation(folders, job.args["chambers"])

        def told(what: Told) -> None:
            log.info("%s: %s", job, what["words"])
            self._store.jobs.note(job, words=what["words"])

        found = done_apart(task, told, lambda: work.over)
        if found is not None:
            self._store.models.keep_evaluation(name, found["figures"], found["pictures"], job.by)

    def failed(self, job: Job, why: str) -> None:
        """Nothing to do: the job stores the reason, for the model's page."""
