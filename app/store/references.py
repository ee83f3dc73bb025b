"""Summaries of models' training data, for measuring drift: one document per model, made once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.store.collections import Collections


class References:
    """The references of all models of one subsystem, in its own format."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["references"]

    def keep(self, model: str, reference: Mapping[str, Any]) -> None:
        """Store the reference of a model, replacing the previous one."""
        self._collection.replace_one({"_id": model}, {**reference, "at": datetime.now(UTC)}, upsert=True)

    def get(self, model: str) -> Mapping[str, Any] | None:
        """The reference of a model; None if there is none yet."""
        return self._collection.find_one({"_id": model}, {"_id": 0, "at": 0})

    def has(self, model: str) -> bool:
        """Whether there is a reference of a model."""
        return self._collection.count_documents({"_id": model}, limit=1) == 1
