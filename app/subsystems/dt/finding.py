"""A finding on one layer, and its wording. Findings are made by `findings`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.subsystems.dt.defects import BLOCK_CELLS


class FindingKind(StrEnum):
    """The kinds of finding. The values are stored and part of the API; never reuse one."""

    EMPTY = "empty"
    BLOCK = "block"
    LOW_RATE = "low_rate"
    PATTERN = "pattern"
    SCATTERED = "scattered"
    NOISY_BLOCK = "noisy_block"
    NOISY_CELL = "noisy_cell"


@dataclass(frozen=True)
class Finding:
    """One fault in one layer; `str(finding)` is its wording on pages.

    Attributes:
        kind: its kind.
        layer: 1–12.
        first_cell, last_cell: its extent, counted from 1 like the histogram's x bins.
        factor: observed hits over those expected from the siblings' rate, in the cells concerned.
        significance: sqrt(2 log(likelihood ratio)), corrected for the number of places searched: roughly in standard
            deviations.
        expected: expected hits in the cells concerned.
        period: of a PATTERN, in cells.
        cells: the cells concerned, if not all from the first to the last; for SCATTERED, those more likely dead than
            alive.
        superlayer: compared with the other superlayers, because all four layers are equally low, or empty.
        whole: the extent is the whole layer: EMPTY, LOW_RATE, SCATTERED, and a PATTERN from end to end.
        shared: for a BLOCK, the layers of the superlayer, including this one, with dead cells at the same place, if
            they are enough to make so few cells bad; otherwise empty.
    """

    kind: FindingKind
    layer: int
    first_cell: int
    last_cell: int
    factor: float
    significance: float
    expected: float
    period: int | None = None
    cells: tuple[int, ...] = ()
    superlayer: bool = False
    whole: bool = False
    shared: tuple[int, ...] = ()

    @property
    def makes_bad(self) -> bool:
        """Whether it makes a layer bad by the rule in `defects`, rather than good or ambiguous.

        A noisy cell does not, nor does a block of fewer than 6 cells that is not shared.
        """
        counts = self.last_cell - self.first_cell + 1 >= BLOCK_CELLS or bool(self.shared)
        return self.kind is not FindingKind.NOISY_CELL and (self.kind is not FindingKind.BLOCK or counts)

    def __str__(self) -> str:
        where = _cells(self.first_cell, self.last_cell)
        match self.kind:
            case FindingKind.EMPTY:
                return f"empty: no hits, {self.expected:.0f} expected"
            case FindingKind.BLOCK:
                shared = f" shared by layers {_listed(self.shared)}" if self.shared else ""
                return f"block{shared}: {where} at {self.factor:.2f} of the expected"
            case FindingKind.LOW_RATE:
                whose = "the other superlayers'" if self.superlayer else "its siblings'"
                return f"low rate: {self.factor:.2f} of {whose}"
            case FindingKind.PATTERN:
                part = "" if self.whole else f" from {self.first_cell} to {self.last_cell}"
                return f"every {_ordinal(self.period)} cell{part} {self._how_low}"
            case FindingKind.SCATTERED:
                share = len(self.cells) / (self.last_cell - self.first_cell + 1)
                return f"{share:.0%} of cells {self._how_low}, scattered".replace("%", " %", 1)
            case FindingKind.NOISY_BLOCK:
                return f"noisy: {where} at {_times(self.factor)} times the expected"
            case FindingKind.NOISY_CELL:
                return f"noisy {where}: {_times(self.factor)} times the expected"

    @property
    def _how_low(self) -> str:
        return "dead" if self.factor < 0.1 else f"at {self.factor:.2f} of the expected"


def _cells(first: int, last: int) -> str:
    return f"cell {first}" if first == last else f"cells {first}–{last}"


def _listed(layers: tuple[int, ...]) -> str:
    """Four layers as 5–8, three as 5, 6, 8."""
    whole = layers[-1] - layers[0] + 1 == len(layers)
    return f"{layers[0]}–{layers[-1]}" if whole else ", ".join(map(str, layers))


def _times(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 9.95 else f"{factor:.1f}"


def _ordinal(number: int | None) -> str:
    return "2nd" if number == 2 else f"{number}th"
