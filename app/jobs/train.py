"""Training from labels: a separate process creates a candidate, which is added to the registry when complete.

Until then only the progress is stored. A killed job starts over, unless its candidate was already added.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.domain.jobs import Job
from app.domain.models import Model
from app.errors import NotFound
from app.jobs.runner import Work
from app.ml.models import load_card
from app.ml.worker_process import Told, done_apart
from app.registry import Registry
from app.store import Store
from app.subsystems.learning import Found, Learning, Order, Plan, require_offered
from config import Settings

KIND = "train"
LANE = "train"  # one at a time: each takes two processors for minutes

log = logging.getLogger(__name__)


class Training:
    """Creates candidates; the handler of training jobs."""

    def __init__(self, store: Store, models: Registry, settings: Settings) -> None:
        self._store, self._models, self._settings = store, models, settings
        self._parent = settings.data_dir / "training"

    def __call__(self, job: Job, work: Work) -> None:
        sha256 = job.progress.get("sha256")
        if sha256 and (made := self._store.models.with_sha256(sha256)):
            self._note_model(job, made)
            return
        losses: list[list[float]] = []
        self._store.jobs.note(job, losses=losses, words="collecting the labels")

        def told(what: Told) -> None:
            if epoch := what.get("epoch"):
                losses.append([epoch["number"], epoch["loss"], epoch["validation_loss"]])
                self._store.jobs.note(job, losses=losses, epochs=epoch["of"])
            else:
                log.info("%s: %s", job, what["words"])
                self._store.jobs.note(job, words=what["words"])

        folder = self._parent / job.id
        shutil.rmtree(self._parent, ignore_errors=True)  # including leftovers of a killed process
        try:
            order = self.order(self._learning.plan_of(job.args), folder)
            self._store.jobs.note(job, labels=order.summary)
            found = done_apart(order.task, told, lambda: work.over)
            if found is None or work.over:
                return
            self._store.jobs.note(job, sha256=load_card(order.folder).sha256)
            self._note_model(job, self.add(order, self._learning.found(found), job.by))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def failed(self, job: Job, why: str) -> None:
        """Nothing to do: the job stores the reason."""

    def require_enough(self, plan: Plan) -> None:
        """Refuse a plan with too few labels, as far as this is known without reading histograms.

        Raises:
            TooFewLabels: says what is missing.
            Conflict: models of this subsystem cannot be trained.
        """
        require_offered(self._learning, "train")
        self._learning.require_enough(self._store, plan)

    def order(self, plan: Plan, folder: Path) -> Order:
        """Everything needed to carry out a plan, as of now.

        Args:
            folder: where the model's folder will be created.

        Raises:
            TooFewLabels: says what is missing.
        """
        made = folder / self._models.free_name(plan.architecture)
        active = self._models.folder(self._models.active)
        return self._learning.order(self._store, plan, made, active, self._settings)

    def add(self, order: Order, found: Found, by: str) -> Model:
        """Store the result as a candidate, refused if it forgot too much."""
        model = self._models.add_candidate(order.folder, found, by)
        self._store.events.record("model trained", None, by, model=model.name)
        return model

    def here(self, plan: Plan, by: str, report: Callable[[str], None]) -> Model:
        """Create and store a candidate now, in this process.

        Raises:
            TooFewLabels: says what is missing.
            Conflict: models of this subsystem cannot be trained.
        """
        require_offered(self._learning, "train")
        with tempfile.TemporaryDirectory() as folder:
            order = self.order(plan, Path(folder))
            for sentence in order.notes:
                report(sentence)
            return self.add(order, self._learning.make(order, report), by)

    @property
    def _learning(self) -> Learning:
        return self._store.subsystem.learning()

    def _note_model(self, job: Job, model: Model) -> None:
        self._store.jobs.note(job, model=model.name)


def training_job(store: Store, job_id: str) -> Job:
    """Return a training by its id.

    Raises:
        NotFound: the subsystem has no such training.
    """
    job = store.jobs.get(job_id)
    if job.kind != KIND or job.subsystem != store.subsystem.name:
        raise NotFound(f"There is no training {job_id!r}.")
    return job
