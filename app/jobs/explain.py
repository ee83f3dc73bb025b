"""Explaining scores: influences are computed for one item of a run, or for all, when first requested.

Existing influences are not recomputed, so a killed job resumes where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.influence import Method
from app.domain.jobs import Job
from app.domain.judgement import Verdict
from app.jobs.runner import Work
from app.registry import Registry
from app.store import Store
from app.store.influences import Explained

KIND = "explain"
LANE = "explain"  # one at a time: each takes all cores
BATCH = 25  # items explained and stored at once

_BAD = (Verdict.BAD, Verdict.EMPTY)


def about(place: Any | None, model: str, method: Method) -> str:
    """The key that distinguishes such jobs of a run."""
    return f"{place or 'all'}:{model}:{method}"


class Explaining:
    """The handler of explain jobs. The first one in a process imports TensorFlow."""

    def __init__(self, store: Store, models: Registry) -> None:
        self._store, self._models = store, models

    def __call__(self, job: Job, work: Work) -> None:
        model, method = job.args["model"], Method(job.args["method"])
        items = self._items(job.run, job.args["place"])
        missing = self._store.influences.missing(job.run, items, model, method)
        if not missing:
            return
        scorer, explainer = self._models.scorer(model), self._models.explainer(model)
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            histograms = [item.histogram for item in batch]
            influences, judgements = explainer.explain(histograms, method), scorer.judge(histograms)
            if work.over:
                return
            explained = zip(batch, influences, judgements, strict=True)
            self._store.influences.keep(
                [
                    Explained.of(item, model, method, influence, _bad(judgement.verdicts))
                    for item, influence, judgement in explained
                ]
            )

    def failed(self, job: Job, why: str) -> None:
        """Nothing to do: the job stores the reason, which the next requests report."""

    def _items(self, run: int, place: Mapping[str, int] | None) -> list[Any]:
        if place is None:
            return self._store.items.of_run(run, histograms=True)
        return [self._store.items.get(run, self._store.subsystem.place(**place))]


def _bad(verdicts: tuple[Verdict, ...]) -> list[int]:
    return [part for part, verdict in enumerate(verdicts, start=1) if verdict in _BAD]
