"""Thresholds that an expert set for a model after its card was written: who, when, why. Only ever added.

A model's card is never changed; the newest threshold of a use stands in place of the card's. Not for what a threshold
means: see `app.subsystems.dt.learning.evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from pymongo import DESCENDING, IndexModel
from pymongo.collection import Collection


@dataclass(frozen=True)
class SetThreshold:
    """One threshold as it was set.

    Attributes:
        use: "shifter" or "alarm".
        score: from which a layer is bad.
        before: what it stood at until then.
        false_alarms, found: what it means on simulated chambers, by the evaluation that was kept then; None without.
        false_alarms_by_hits: the first by hits a cell.
    """

    model: str
    use: str
    score: float
    before: float | None
    why: str
    by: str
    at: datetime
    false_alarms: float | None = None
    found: float | None = None
    false_alarms_by_hits: Mapping[str, float] = field(default_factory=dict)


class Thresholds:
    """The thresholds that were set, of all models."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def make_indexes(self) -> None:
        self._collection.create_indexes([IndexModel([("model", 1), ("at", DESCENDING), ("_id", DESCENDING)])])

    def add(self, threshold: SetThreshold) -> None:
        """Keep one; it stands from now on."""
        self._collection.insert_one(asdict(threshold))

    def of(self, model: str) -> list[SetThreshold]:
        """All that were set for a model, newest first."""
        order = [("at", DESCENDING), ("_id", DESCENDING)]
        return [SetThreshold(**d) for d in self._collection.find({"model": model}, {"_id": 0}).sort(order)]

    def models(self) -> set[str]:
        """The models of which any was ever set."""
        return set(self._collection.distinct("model"))

    def standing(self, model: str) -> dict[str, SetThreshold]:
        """use → the newest one."""
        return {one.use: one for one in reversed(self.of(model))}
