"""The results of comparing two models, stored for their page: the newest for each pair.

Not for the figures themselves: see `app.subsystems.dt.learning.side_by_side`.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.store.collections import Collections
from app.store.figures import Figures, StoredFigures


class Comparisons:
    """The comparisons of all pairs of models."""

    def __init__(self, collections: Collections) -> None:
        self._kept = Figures(collections["model_comparisons"])

    def keep(self, pair: tuple[str, str], figures: str, pictures: Mapping[str, str], by: str) -> None:
        """Store the result for a pair, replacing the previous one."""
        self._kept.keep(_id(pair), figures, pictures, by)

    def get(self, pair: tuple[str, str]) -> StoredFigures | None:
        """The result for a pair; None if it was not compared."""
        return self._kept.get(_id(pair))


def _id(pair: tuple[str, str]) -> dict[str, str]:
    return {"model": pair[0], "other": pair[1]}
