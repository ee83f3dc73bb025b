"""Drift: how far runs are from their model's training data, measured when a run is scored, or afterwards.

A job creates a model's reference once there are runs scored by the active model. It then measures the runs scored
earlier, from their stored scores and activations, without rescoring them. A killed job resumes where it stopped,
because it skips runs that are already measured.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cachetools import LRUCache

from app.domain.jobs import Job, JobState
from app.jobs.runner import Work
from app.ml import backend
from app.registry import Registry
from app.store import Store

KIND = "drift"
LANE = "drift"
MOST_REFERENCES = 3  # cached references: of the active model, and of earlier ones during a re-evaluation


class Measuring:
    """Measures single runs, for any job that scores them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._references: LRUCache[str, Any] = LRUCache(MOST_REFERENCES)
        self._lock = threading.Lock()

    def measure(self, run: int, model: str) -> dict[str, Any] | None:
        """Store each item's distance; return the run's drift, or None without a reference."""
        reference = self._reference(model)
        if reference is None:
            return None
        scored = self._store.items.embeddings(run, model)
        drift, unlike = self._drift.measure(reference, scored)
        places = (item.place for item, _ in scored)
        self._store.items.keep_unlike(run, model, zip(places, unlike, strict=True))
        return {"model": model, **drift}

    def _reference(self, model: str) -> Any | None:
        with self._lock:
            known = self._references.get(model)
        # Without a document, it may be made later.
        if known is None and (document := self._store.references.get(model)) is not None:
            known = self._drift.of_document(document)
            with self._lock:
                self._references[model] = known
        return known

    @property
    def _drift(self) -> Any:
        return self._store.subsystem.learning().drift


class Drifting:
    """The handler of drift jobs, each for one model. The first one in a process imports TensorFlow."""

    def __init__(self, store: Store, models: Registry, measuring: Measuring) -> None:
        self._store, self._models, self._measuring = store, models, measuring

    def __call__(self, job: Job, work: Work) -> None:
        model, runs = job.args["model"], self._store.runs
        drift = self._store.subsystem.learning().drift
        if not self._store.references.has(model):
            reference = drift.make_reference(self._models.scorer(model), stop=lambda: work.over)
            if reference is None:
                return
            self._store.references.keep(model, drift.to_document(reference))
        while not work.over and (run := runs.next_to_measure(model)) is not None:
            runs.keep_drift(run, self._measuring.measure(run, model))

    def failed(self, job: Job, why: str) -> None:
        """Nothing to do: the job stores the reason, and the page shows it."""


class Drifts:
    """The requests that can be made.

    Args:
        wake: makes the background look for jobs.
    """

    def __init__(self, store: Store, models: Registry, wake: Callable[[], None]) -> None:
        self._store, self._models, self._wake = store, models, wake

    def ask(self, by: str) -> Job | None:
        """Measure the unmeasured runs scored by the active model; None if there are none."""
        model = self._models.active
        if self._store.runs.next_to_measure(model) is None:
            return None
        job = self._store.jobs.ask(KIND, None, LANE, by, model, model=model)
        self._wake()
        return job

    def reconcile(self) -> None:
        """The same, but only if no other job is running and the last attempt did not fail.

        If there is no reference yet, wait until this process has scored a run: creating one imports TensorFlow, which a
        process that only serves pages should not do.
        """
        if self._store.subsystem.learning().drift is None:
            return
        is_ready = backend.is_imported() or self._store.references.has(self._models.active)
        if is_ready and not self.failure() and not self._store.jobs.active():
            self.ask(by="drift")

    def under_way(self) -> bool:
        """Whether runs of the active model are being measured, or queued for it."""
        last = self._store.jobs.last(KIND, None, self._models.active)
        return last is not None and last.active

    def failure(self) -> str:
        """Why the last attempt failed; empty if it succeeded."""
        last = self._store.jobs.last(KIND, None, self._models.active)
        return last.why if last and last.state is JobState.FAILED else ""
