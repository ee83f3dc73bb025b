"""Thresholds set by experts after a model's card was written: who, when, why. They are only ever added.

A model's card never changes; the newest threshold of a use replaces that of the card. Not for what a threshold means:
see `app.subsystems.dt.learning.evaluation`.
"""

from __future__ import annotations

from dataclasses import asdict

from pymongo import DESCENDING, IndexModel

from app.domain.thresholds import SetThreshold
from app.store.collections import Collections


class Thresholds:
    """The thresholds set for all models."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["model_thresholds"]

    def make_indexes(self) -> None:
        self._collection.create_indexes([IndexModel([("model", 1), ("at", DESCENDING), ("_id", DESCENDING)])])

    def add(self, threshold: SetThreshold) -> None:
        """Store a threshold; it applies from now on."""
        self._collection.insert_one(asdict(threshold))

    def of(self, model: str) -> list[SetThreshold]:
        """All thresholds set for a model, newest first."""
        order = [("at", DESCENDING), ("_id", DESCENDING)]
        return [SetThreshold(**d) for d in self._collection.find({"model": model}, {"_id": 0}).sort(order)]

    def models(self) -> set[str]:
        """The models for which any was ever set."""
        return set(self._collection.distinct("model"))

    def standing(self, model: str) -> dict[str, SetThreshold]:
        """use → the newest one."""
        return {one.use: one for one in reversed(self.of(model))}
