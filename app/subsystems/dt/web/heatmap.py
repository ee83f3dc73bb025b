"""The heat map of an occupancy: cell colours and colour scale. For the HTML see `layer_svg`.

Layers are arranged as in the DQM: layer 1 at the bottom, layer 12 at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import log1p, log10

import numpy as np

from app.subsystems.dt.geometry import LAYERS, superlayer_of
from app.subsystems.dt.histogram import Occupancy
from app.web.shared.colours import colour, is_dark
from app.web.shared.ticks import ticks

_PERCENTILE = 99  # quantile of the counts: a hot cell above it must not darken all others
_ROOM = 1.5  # times that quantile: range of ordinary cells, given Poisson fluctuations and a steep profile
_LEGEND_STEPS = 64
_TICKS = 5  # approximate number of ticks on the scale
_COLUMN_STEP = 10  # cells between ticks on the x axis
_DIGIT_PIXELS = 7.5  # width of a digit in a cell that shows its count


class ScaleKind(StrEnum):
    LINEAR = "linear"
    LOG = "log"


@dataclass(frozen=True)
class Scale:
    """Maps counts to colours.

    Attributes:
        kind: linear, or logarithmic in 1 + count.
        top: the count with the brightest colour; higher ones are marked.
        greatest: the highest count in the picture.
    """

    kind: ScaleKind
    top: int
    greatest: int

    @classmethod
    def of(cls, counts: np.ndarray, kind: ScaleKind) -> Scale:
        """The scale for these counts (existing cells only), robust against a single hot cell.

        >>> Scale.of(np.array([10] * 499 + [7000]), ScaleKind.LINEAR).top
        15
        >>> Scale.of(np.array([], dtype=int), ScaleKind.LINEAR).top
        1
        """
        greatest = int(counts.max(initial=0))
        robust = int(np.ceil(_ROOM * np.percentile(counts, _PERCENTILE))) if counts.size else 0
        return cls(kind, max(1, min(greatest, robust or greatest)), greatest)

    def fraction(self, count: float) -> float:
        """The position of a count on the scale: 0…1, above 1 if over range."""
        return log1p(count) / log1p(self.top) if self.kind is ScaleKind.LOG else count / self.top

    @property
    def over(self) -> bool:
        """Whether any cell is beyond the scale."""
        return self.greatest > self.top

    @property
    def ticks(self) -> list[tuple[int, float]]:
        """(count, fraction) of the ticks, from 0 to the top.

        >>> [count for count, _ in Scale(ScaleKind.LINEAR, 87, 87).ticks]
        [0, 20, 40, 60, 87]
        >>> [count for count, _ in Scale(ScaleKind.LOG, 4300, 4300).ticks]
        [0, 10, 100, 1000, 4300]
        """
        if self.kind is ScaleKind.LOG:
            between = [10**exponent for exponent in range(int(log10(self.top)) + 1)]
        else:
            between = [int(n) for n in ticks(self.top, _TICKS, whole=True)[1:-1]]
        room = 0.1  # of the scale: closer ticks would overlap
        kept = [n for n in between if room <= self.fraction(n) <= 1 - room]
        return [(n, self.fraction(n)) for n in (0, *kept, self.top)]

    @property
    def legend(self) -> list[str]:
        """The colours of the scale from its lower end, in equal steps."""
        return [colour(i / (_LEGEND_STEPS - 1)) for i in range(_LEGEND_STEPS)]


@dataclass(frozen=True, slots=True)
class Cell:
    """One bin of one layer.

    Attributes:
        number: from 1, as the histogram's x bins.
        count: as served; usually −1 if there is no cell.
        exists: whether it is a cell of the read-out.
        fill: its colour; empty if there is no cell.
        dark: whether text on it must be light.
        over: whether its count is above the scale.
    """

    number: int
    count: int
    exists: bool
    fill: str = ""
    dark: bool = False
    over: bool = False


@dataclass(frozen=True)
class Row:
    """One layer: `cells` is empty if the chamber lacks it."""

    layer: int
    cells: Sequence[Cell]

    @property
    def superlayer(self) -> int:
        return superlayer_of(self.layer)

    @property
    def measures(self) -> str:
        return "theta" if self.superlayer == 2 else "phi"

    @property
    def in_superlayer(self) -> int:
        """1–4, from the bottom."""
        return (self.layer - 1) % 4 + 1


@dataclass(frozen=True, eq=False)
class Heatmap:
    """The picture of one chamber."""

    occupancy: Occupancy
    kind: ScaleKind = ScaleKind.LINEAR

    @cached_property
    def scale(self) -> Scale:
        return Scale.of(self.occupancy.counts[self.occupancy.cells], self.kind)

    @property
    def columns(self) -> int:
        return self.occupancy.chamber.columns

    @cached_property
    def rows(self) -> list[Row]:
        """From top to bottom: layer 12 first."""
        exists = self.occupancy.cells.tolist()
        counts = self.occupancy.counts.tolist()
        present = {layer.number for layer in self.occupancy.chamber.layers}
        return [
            Row(layer, self._cells(counts[layer - 1], exists[layer - 1]) if layer in present else ())
            for layer in range(LAYERS, 0, -1)
        ]

    @property
    def column_ticks(self) -> list[int]:
        """The cells numbered below the picture: 1, 10, 20, …"""
        return [1, *range(_COLUMN_STEP, self.columns + 1, _COLUMN_STEP)]

    @property
    def width_with_values(self) -> int:
        """Width in pixels with a count in each cell."""
        return round(self.columns * (_DIGIT_PIXELS * max(2, len(str(self.scale.greatest))) + 6))

    def csv(self) -> list[tuple[int, int, int]]:
        """(layer, cell, count) of every cell that exists, layer 1 first."""
        rows, columns = np.nonzero(self.occupancy.cells)
        counts = self.occupancy.counts[rows, columns]
        return list(zip((rows + 1).tolist(), (columns + 1).tolist(), counts.tolist(), strict=True))

    def _cells(self, counts: list[int], exists: list[bool]) -> list[Cell]:
        return [
            self._cell(number, count, there)
            for number, (count, there) in enumerate(zip(counts, exists, strict=True), start=1)
        ]

    def _cell(self, number: int, count: int, exists: bool) -> Cell:
        if not exists:
            return Cell(number, count, exists=False)
        fraction = self.scale.fraction(count)
        return Cell(number, count, True, colour(fraction), is_dark(fraction), over=count > self.scale.top)
