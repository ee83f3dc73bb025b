"""The map of influence on a chamber's scores: cell colours, colour scale and number format.

For the HTML see `layer_svg`; for the influence itself see `app.subsystems.dt.learning.saliency`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.store.influences import Explained
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.web.shared.colours import influence_colour
from app.web.shared.ticks import ticks

LEAST_TOP = 0.5  # logits: smaller ranges would exaggerate negligible values
_LEGEND_STEPS = 65  # odd, so that one of them is 0
_TICKS = 3  # approximate number of ticks on either side of 0
_ROOM = 0.15  # of the scale: closer ticks would overlap
_CHARACTER_PIXELS = 6.5
_SHORTEST = 5  # characters of an influence in a cell: +0.43


@dataclass(frozen=True)
class InfluenceScale:
    """Maps logits to colours, symmetric around 0.

    Attributes:
        top: the influence with the strongest orange; its negative has the strongest blue.
    """

    top: float

    @classmethod
    def of(cls, values: np.ndarray) -> InfluenceScale:
        """The scale that covers all values.

        >>> InfluenceScale.of(np.array([-2.5, 0.3])).top, InfluenceScale.of(np.array([0.01])).top
        (2.5, 0.5)
        """
        return cls(max(LEAST_TOP, float(np.abs(values).max(initial=0))))

    def fraction(self, value: float) -> float:
        """The position of an influence on the scale: −1…1."""
        return value / self.top

    @property
    def ticks(self) -> list[tuple[str, float]]:
        """(number, position from 0 to 1) of the ticks.

        >>> [words for words, _ in InfluenceScale(2.5).ticks]
        ['−2.5', '−1', '0', '+1', '+2.5']
        """
        between = [value for value in ticks(self.top, _TICKS)[1:] if self.fraction(value) <= 1 - 2 * _ROOM]
        values = [-self.top, *(-value for value in reversed(between)), 0.0, *between, self.top]
        return [(short_logits(value), (self.fraction(value) + 1) / 2) for value in values]

    @property
    def legend(self) -> list[str]:
        """The colours of the scale from its lower end, in equal steps."""
        return [influence_colour(2 * i / (_LEGEND_STEPS - 1) - 1) for i in range(_LEGEND_STEPS)]


@dataclass(frozen=True, slots=True)
class PushedCell:
    """One cell: `number` from 1, its influence in logits, its colour."""

    number: int
    value: float
    fill: str


@dataclass(frozen=True)
class PushedRow:
    """One existing layer of the chamber.

    Attributes:
        cells: the existing cells.
        through_cells, around: influence through its own cells, and through its surroundings, in logits.
        logit, expected: of the actual layer, and with the expected content in all its cells.
    """

    layer: int
    bad: bool
    cells: Sequence[PushedCell]
    through_cells: float
    around: float
    logit: float
    expected: float


@dataclass(frozen=True, eq=False)
class InfluenceMap:
    """The influence on one chamber's scores."""

    explained: Explained
    occupancy: Occupancy

    @cached_property
    def scale(self) -> InfluenceScale:
        return InfluenceScale.of(self.explained.influence.cells[self.occupancy.cells])

    @property
    def columns(self) -> int:
        return self.occupancy.chamber.columns

    @cached_property
    def rows(self) -> list[PushedRow]:
        """From top to bottom: layer 12 first."""
        influence = self.explained.influence
        present = [row for row in range(LAYERS - 1, -1, -1) if not np.isnan(influence.logit[row])]
        return [
            PushedRow(
                layer=row + 1,
                bad=row + 1 in self.explained.bad,
                cells=self._cells(row),
                through_cells=float(influence.cells[row].sum()),
                around=float(influence.around[row]),
                logit=float(influence.logit[row]),
                expected=float(influence.expected[row]),
            )
            for row in present
        ]

    @property
    def first_to_explain(self) -> int:
        """The layer with the highest logit, whose score most needs an explanation."""
        return max(self.rows, key=lambda row: row.logit).layer

    @property
    def width_with_values(self) -> int:
        """Width in pixels with a number in each cell."""
        return round(self.columns * (_CHARACTER_PIXELS * _SHORTEST + 4))

    def _cells(self, row: int) -> list[PushedCell]:
        columns = np.flatnonzero(self.occupancy.cells[row])
        values = self.explained.influence.cells[row, columns].tolist()
        return [
            PushedCell(column + 1, value, influence_colour(self.scale.fraction(value)))
            for column, value in zip(columns.tolist(), values, strict=True)
        ]


def logits(value: float) -> str:
    """A logit with its sign and two decimals.

    >>> logits(1.204), logits(-0.5), logits(-0.001)
    ('+1.20', '−0.50', '0')
    """
    written = f"{value:+.2f}".replace("-", "−")
    return "0" if written in ("+0.00", "−0.00") else written


def short_logits(value: float) -> str:
    """The same in at most five characters, for a cell or a scale.

    >>> short_logits(12.34), short_logits(-1.5), short_logits(-2.0), short_logits(0.43)
    ('+12', '−1.5', '−2', '+0.43')
    """
    if abs(value) < 0.995:
        written = logits(value)
        return written.rstrip("0") if "." in written else written
    written = f"{value:+.0f}" if abs(value) >= 9.95 else f"{value:+.1f}".removesuffix(".0")
    return written.replace("-", "−")
