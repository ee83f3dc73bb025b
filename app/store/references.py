"""What a model was trained on, in short: one document a model, made once, for measuring how runs differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection


class References:
    """The references of all models of one subsystem, as it writes them."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def keep(self, model: str, reference: Mapping[str, Any]) -> None:
        """Keep the reference of a model, in place of what there was."""
        self._collection.replace_one({"_id": model}, {**reference, "at": datetime.now(UTC)}, upsert=True)

    def get(self, model: str) -> Mapping[str, Any] | None:
        """The reference of a model; None where it is not made yet."""
        return self._collection.find_one({"_id": model}, {"_id": 0, "at": 0})

    def has(self, model: str) -> bool:
        """Whether a model's reference is made."""
        return self._collection.count_documents({"_id": model}, limit=1) == 1
