"""Thresholds that an expert set for a model after its card was written: who, when, why. Only ever added.

A model's card is never changed; the newest threshold of a use stands in place of the card's. Not for what a threshold
means: see `app.subsystems.dt.learning.evaluation`.
"""

from __future__ import annotations

from dataclasses import asdict

from pymongo import DESCENDING, IndexModel
from pymongo.collection import Collection

from app.domain.thresholds import SetThreshold


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
