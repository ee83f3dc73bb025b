"""Score the stored items of a run, for all jobs that do so.

Earlier scores by the active model are reused, verdicts by another threshold are recomputed from the scores, and only
the rest is scored. All steps can be repeated. `fetch` and `reevaluate` decide which runs are scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.jobs.drift import Measuring
from app.jobs.runner import Work
from app.registry import Registry
from app.store import Store


class Scoring:
    """Scores runs with the active model.

    Args:
        models: gives the active model and its scorer, which is only created when there is something to score (it
            imports TensorFlow).
        measuring: measures how far a run is from its model's training data, if there is a reference.
    """

    def __init__(self, store: Store, models: Registry, measuring: Measuring) -> None:
        self._store, self._models, self._measuring = store, models, measuring

    def score(self, run: int, work: Work) -> bool:
        """Give every stored item of a run the scores of the active model, and verdicts by its threshold.

        Returns:
            Whether any scores had to be computed.
        """
        items, model = self._store.items, self._models.active
        threshold = self._models.bad_from(model)  # read once: the threshold may change while the run is scored
        items.restore_scores(run, model, threshold)
        items.apply_threshold(run, model, threshold)
        left = items.to_score(run, model)
        if not left:
            return False
        places, histograms = zip(*left, strict=True)
        judgements = self._models.scorer(model, threshold).judge(histograms)
        findings = self._store.subsystem.explain(histograms)
        if not work.over:
            items.keep_scores(run, zip(places, judgements, findings, strict=True), model)
        return True

    def is_whole(self, facts: Mapping[str, Any]) -> bool:
        """Whether a run is complete according to its `facts`: every item is scored, or known to be missing."""
        places, here = len(self._store.subsystem.places()), facts["done"] + facts["missing"]
        return bool(facts["done"]) and here >= places and not facts["summary"]["unscored"]

    def facts(self, run: int) -> dict[str, Any]:
        """The fields of `Run` derived from its items in their current state."""
        tally = self._store.items.tally(run)
        summary, models, thresholds = tally.counts, tally.models, tally.thresholds
        scored = summary["judged"] + summary["unjudged"]
        model = next(iter(models)) if len(models) == 1 else ""  # none if there are several: the run is not complete
        kept = self._store.past_scores.count_by_model(run)
        return {
            "done": scored + summary["unscored"],
            "missing": summary["missing"],
            "reasons": tally.reasons,
            "summary": summary,
            "model": model,
            "threshold": next(iter(thresholds)) if len(thresholds) == 1 else None,
            "kept": sorted(other for other, count in kept.items() if count >= scored),
            "drift": self._measuring.measure(run, model) if model else None,
        }
