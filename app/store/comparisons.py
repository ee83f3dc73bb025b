"""What comparing two models found, kept for their page: one for each pair, the newest. Not for the figures themselves:
see `app.ml.side_by_side`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pymongo.collection import Collection

from app.store.models import KeptFigures


class Comparisons:
    """The comparisons of all pairs of models."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def keep(self, pair: tuple[str, str], figures: str, pictures: Mapping[str, str], by: str) -> None:
        """Keep what was found of a pair, in place of what was kept before."""
        kept = {"figures": figures, "pictures": dict(pictures), "at": datetime.now(UTC), "by": by}
        self._collection.replace_one({"_id": _id(pair)}, kept, upsert=True)

    def get(self, pair: tuple[str, str]) -> KeptFigures | None:
        """What was found of a pair; None where it was not compared."""
        kept = self._collection.find_one({"_id": _id(pair)}, {"_id": 0})
        return KeptFigures(**kept) if kept else None


def _id(pair: tuple[str, str]) -> dict[str, str]:
    return {"model": pair[0], "other": pair[1]}
