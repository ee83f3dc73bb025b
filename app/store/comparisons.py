"""What comparing two models found, kept for their page: one for each pair, the newest. Not for the figures themselves:
see `app.subsystems.dt.learning.side_by_side`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pymongo.collection import Collection

from app.store.figures import Figures, KeptFigures


class Comparisons:
    """The comparisons of all pairs of models."""

    def __init__(self, collection: Collection) -> None:
        self._kept = Figures(collection)

    def keep(self, pair: tuple[str, str], figures: str, pictures: Mapping[str, str], by: str) -> None:
        """Keep what was found of a pair, in place of what was kept before."""
        self._kept.keep(_id(pair), figures, pictures, by)

    def get(self, pair: tuple[str, str]) -> KeptFigures | None:
        """What was found of a pair; None where it was not compared."""
        return self._kept.get(_id(pair))


def _id(pair: tuple[str, str]) -> dict[str, str]:
    return {"model": pair[0], "other": pair[1]}
