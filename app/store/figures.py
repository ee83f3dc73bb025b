"""Figures and pictures that were worked out once and are kept for pages: the newest of each thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection


@dataclass(frozen=True)
class KeptFigures:
    """What was found of a model, or of two side by side.

    Attributes:
        figures: JSON, as the subsystem's evaluation or comparison writes it.
        pictures: name → SVG.
    """

    figures: str
    pictures: Mapping[str, str]
    at: datetime
    by: str


class Figures:
    """Those of one collection, each under the id of what they are of."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def keep(self, of: Any, figures: str, pictures: Mapping[str, str], by: str) -> None:
        """Keep what was found, in place of what was kept before."""
        kept = {"figures": figures, "pictures": dict(pictures), "at": datetime.now(UTC), "by": by}
        self._collection.replace_one({"_id": of}, kept, upsert=True)

    def get(self, of: Any) -> KeptFigures | None:
        """What was found; None where nothing was kept."""
        kept = self._collection.find_one({"_id": of}, {"_id": 0})
        return KeptFigures(**kept) if kept else None

    def known(self) -> list[Any]:
        """The ids of all of which something was kept."""
        return self._collection.distinct("_id")
