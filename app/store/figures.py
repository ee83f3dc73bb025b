"""Precomputed figures and pictures, stored for pages: the newest of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection


@dataclass(frozen=True)
class StoredFigures:
    """The result for a model, or for two models side by side.

    Attributes:
        figures: JSON, as written by the subsystem's evaluation or comparison.
        pictures: name → SVG.
    """

    figures: str
    pictures: Mapping[str, str]
    at: datetime
    by: str


class Figures:
    """The figures in one collection, by the id of their subject."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def keep(self, of: Any, figures: str, pictures: Mapping[str, str], by: str) -> None:
        """Store a result, replacing the previous one."""
        kept = {"figures": figures, "pictures": dict(pictures), "at": datetime.now(UTC), "by": by}
        self._collection.replace_one({"_id": of}, kept, upsert=True)

    def get(self, of: Any) -> StoredFigures | None:
        """The stored result; None if there is none."""
        kept = self._collection.find_one({"_id": of}, {"_id": 0})
        return StoredFigures(**kept) if kept else None

    def known(self) -> list[Any]:
        """The ids of all stored results."""
        return self._collection.distinct("_id")
