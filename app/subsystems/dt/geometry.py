"""Which drift-tube chambers exist, and which cells of each layer the read-out map has.

The 250 chambers share eleven layouts. Cells are numbered from 1, as the x bins of the DQM's histogram are; layers from
1 to 12, from the histogram's first row upward. Not for contents: see `histogram`.

Source: the CMSSW geometry and read-out map of the CMS muon barrel, checked against real histograms
(171,438 cells in 2,720 layers of 47 to 96 cells).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from app.errors import InvalidInput

WHEELS = (-2, -1, 0, 1, 2)
STATIONS = (1, 2, 3, 4)
LAYERS = 12  # rows of a histogram, including layers that the chamber lacks

# Cells of the four layers of a superlayer, and the first cell of each: every fourth layer begins at cell 2.
_FIRST_CELLS = (1, 1, 1, 2)
_PHI_STATION_1 = (49, 49, 49, 48)
_THETA = (57, 57, 57, 56)
_MOST_CELLS: dict[tuple[int, ...], int] = {_PHI_STATION_1: 50, _THETA: 58}
_THETA_CHIMNEY = (47, 48, 48, 47)  # shortened for the cryogenic chimney of the magnet
_CHIMNEY = {(-1, 3), (1, 4)}  # (wheel, sector), stations 1 to 3

# In station 4 the number of cells depends on the room in the yoke.
_PHI_STATION_4 = {4: 72, 13: 72, 8: 92, 12: 92, 9: 48, 11: 48, 10: 60, 14: 60}
_PHI_STATION_4_ELSEWHERE = 96


def sectors_of(station: int) -> range:
    """The sectors of a station: 1–12, and 1–14 in station 4 (13 belongs to sector 4, 14 to sector 10)."""
    return range(1, 15 if station == 4 else 13)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a chamber: `cells` drift cells in the read-out, the first at `first_cell`."""

    number: int  # 1–12
    first_cell: int
    cells: int

    @property
    def last_cell(self) -> int:
        return self.first_cell + self.cells - 1

    @property
    def superlayer(self) -> int:
        """1 and 3 measure phi, 2 measures theta."""
        return superlayer_of(self.number)


def superlayer_of(layer: int) -> int:
    """The superlayer 1–3 of a layer 1–12.

    >>> [superlayer_of(layer) for layer in (1, 4, 5, 8, 9, 12)]
    [1, 1, 2, 2, 3, 3]
    """
    return (layer - 1) // 4 + 1


@dataclass(frozen=True, order=True)
class Chamber:
    """One drift-tube chamber. Ordered by wheel, station, sector.

    Raises:
        InvalidInput: there is no such chamber.

    >>> Chamber(wheel=-1, station=1, sector=2).columns
    59
    >>> Chamber(0, 2, 13)
    Traceback (most recent call last):
    ...
    app.errors.InvalidInput: sector is 13, but must be a whole number from 1 to 12 in station 2.
    """

    wheel: int
    station: int
    sector: int

    def __post_init__(self) -> None:
        _require("wheel", self.wheel, range(-2, 3), "a whole number from -2 to 2")
        _require("station", self.station, range(1, 5), "a whole number from 1 to 4")
        sectors = sectors_of(self.station)
        _require("sector", self.sector, sectors, f"a whole number from 1 to {sectors[-1]} in station {self.station}")

    def __str__(self) -> str:
        return f"W{self.wheel} St{self.station} Sec{self.sector}"

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that exist: 12, or the 8 of superlayers 1 and 3 in station 4."""
        superlayers = (
            {1: self._phi, 3: self._phi} if self.station == 4 else {1: self._phi, 2: self._theta, 3: self._phi}
        )
        return tuple(
            Layer(4 * (superlayer - 1) + i, first, cells)
            for superlayer, counts in sorted(superlayers.items())
            for i, (first, cells) in enumerate(zip(_FIRST_CELLS, counts, strict=True), start=1)
        )

    @cached_property
    def columns(self) -> int:
        """x bins of the histogram: one or two more than the last cell of the longest layer.

        The booking rule is max(wires + first wire) over the layers of the *geometry*, which in two kinds of superlayer
        has one wire more than the read-out (phi in station 1: 50; theta: 58).
        """
        superlayers = {self._phi} if self.station == 4 else {self._phi, self._theta}
        return 1 + max(_MOST_CELLS.get(counts, max(counts)) for counts in superlayers)

    @cached_property
    def read_out(self) -> np.ndarray:
        """bool (12, columns), read-only: True where the read-out map has a cell."""
        mask = np.zeros((LAYERS, self.columns), dtype=bool)
        for layer in self.layers:
            mask[layer.number - 1, layer.first_cell - 1 : layer.last_cell] = True
        mask.setflags(write=False)
        return mask

    @property
    def _phi(self) -> tuple[int, ...]:
        if self.station == 1:
            return _PHI_STATION_1
        longest = {2: 60, 3: 72}.get(self.station) or _PHI_STATION_4.get(self.sector, _PHI_STATION_4_ELSEWHERE)
        return (longest - 1, longest, longest, longest - 1)

    @property
    def _theta(self) -> tuple[int, ...]:
        return _THETA_CHIMNEY if (self.wheel, self.sector) in _CHIMNEY else _THETA


@cache
def all_chambers() -> tuple[Chamber, ...]:
    """The 250 chambers, ordered by wheel, station, sector.

    >>> len(all_chambers()), sum(len(chamber.layers) for chamber in all_chambers())
    (250, 2720)
    """
    return tuple(Chamber(w, st, sec) for w in WHEELS for st in STATIONS for sec in sectors_of(st))


def _require(field: str, value: object, allowed: range, accepted: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise InvalidInput(field, value, accepted)
