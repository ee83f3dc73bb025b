"""The occupancy of one chamber: hits per cell and layer, checked against the chamber's geometry.

Nothing that fails these checks is ever stored. Not for fetching (`app.sources`) nor for the networks' input
(`preprocess`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import LAYERS, Chamber

NO_CELL = -1
LARGEST_COUNT = 2**31 - 1  # maximum of an int32; the DQM resets its online histograms long before


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Hits per cell of one chamber.

    Attributes:
        chamber: the chamber.
        counts: int32 (12, chamber.columns), read-only; row i is layer i + 1, column j is cell j + 1; −1 where the
            read-out map has no cell. Stray hits can leave 0 or more outside the map: kept as served, never judged.
    """

    chamber: Chamber
    counts: np.ndarray

    @classmethod
    def from_rows(cls, chamber: Chamber, rows: Sequence[Sequence[float]]) -> Occupancy:
        """Check rows from outside.

        Args:
            chamber: the chamber that the histogram should be of.
            rows: 12 rows of `chamber.columns` numbers, the first row layer 1.

        Raises:
            UnusableHistogram: wrong shape, or a value that is not finite, negative other than −1, not whole, or
                larger than an int32 holds. The detail names layer, cell and value.

        >>> chamber = Chamber(0, 4, 9)
        >>> Occupancy.from_rows(chamber, [[3] * 48])
        Traceback (most recent call last):
        ...
        app.errors.UnusableHistogram: wrong shape: 1 row, but W0 St4 Sec9 has 12 rows of 49 bins
        """
        if isinstance(rows, np.ndarray):
            rows = rows.tolist()
        _check_shape(chamber, rows)
        values = _numbers(rows)
        if not ((values >= NO_CELL) & (values <= LARGEST_COUNT) & (values == np.floor(values))).all():
            raise _not_counts(values)
        occupancy = cls(chamber, _read_only(values.astype(np.int32)))
        has_cells = np.any(occupancy.cells, axis=1)
        for layer in chamber.layers:
            if not has_cells[layer.number - 1]:
                raise UnusableHistogram(Reason.WRONG_SHAPE, f"layer {layer.number} has no cells, but {chamber} has it")
        return occupancy

    @cached_property
    def cells(self) -> np.ndarray:
        """bool (12, columns): the cells that are in the read-out map and in this histogram."""
        return _read_only(self.chamber.read_out & (self.counts >= 0))

    def row(self, layer: int) -> np.ndarray:
        """int32 (cells,): the counts of layer 1–12 on its existing cells, in order; empty where there is no layer."""
        return self.counts[layer - 1][self.cells[layer - 1]]

    @property
    def place(self) -> Chamber:
        """The chamber, as every subsystem's histogram has it."""
        return self.chamber

    @property
    def hits(self) -> int:
        """All hits on existing cells."""
        return int(self.counts[self.cells].sum(dtype=np.int64))

    def to_bytes(self) -> bytes:
        """The counts as little-endian int32, row by row, as stored."""
        return self.counts.astype("<i4").tobytes()

    @classmethod
    def from_bytes(cls, chamber: Chamber, data: bytes) -> Occupancy:
        """The inverse of `to_bytes`; the data were checked when first read."""
        counts = np.frombuffer(data, dtype="<i4").reshape(LAYERS, chamber.columns).astype(np.int32, copy=False)
        return cls(chamber, _read_only(counts))


def alike(occupancies: Sequence[Occupancy]) -> dict[tuple[bytes, int], list[int]]:
    """Groups occupancies with identical cells, to process them together: usually eleven kinds in a run.

    Returns:
        {(bytes of the bool (12, columns) that says which cells exist, columns): positions in the sequence}
    """
    as_wide: dict[int, list[int]] = {}
    for i, occupancy in enumerate(occupancies):
        as_wide.setdefault(occupancy.chamber.columns, []).append(i)
    found: dict[tuple[bytes, int], list[int]] = {}
    for columns, those in as_wide.items():
        exists = np.array([occupancies[i].counts for i in those]) >= 0
        exists &= np.array([occupancies[i].chamber.read_out for i in those])
        for i, cells in zip(those, exists, strict=True):
            found.setdefault((cells.tobytes(), columns), []).append(i)
    return found


def _check_shape(chamber: Chamber, rows: object) -> None:
    wanted = f"but {chamber} has {LAYERS} rows of {chamber.columns} bins"
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise UnusableHistogram(Reason.WRONG_SHAPE, f"{type(rows).__name__} in place of rows, {wanted}")
    if len(rows) != LAYERS:
        raise UnusableHistogram(Reason.WRONG_SHAPE, f"{len(rows)} row{'s' * (len(rows) != 1)}, {wanted}")
    for layer, row in enumerate(rows, start=1):
        if not isinstance(row, Sequence) or isinstance(row, str):
            raise UnusableHistogram(Reason.WRONG_SHAPE, f"row {layer} is {type(row).__name__}, {wanted}")
        if len(row) != chamber.columns:
            raise UnusableHistogram(Reason.WRONG_SHAPE, f"row {layer} has {len(row)} bins, {wanted}")


def _numbers(rows: Sequence[Sequence[float]]) -> np.ndarray:
    if not {*map(type, chain.from_iterable(rows))} <= {int, float}:
        _check_types(rows)
    try:
        return np.array(rows, dtype=np.float64)
    except OverflowError:
        raise UnusableHistogram(Reason.TOO_LARGE, "a count has more than 300 digits") from None


def _check_types(rows: Sequence[Sequence[float]]) -> None:
    for layer, row in enumerate(rows, start=1):
        for cell, value in enumerate(row, start=1):
            if type(value) is int or type(value) is float or isinstance(value, np.number):
                continue
            if not isinstance(value, str | bool | None):
                raise UnusableHistogram(Reason.WRONG_SHAPE, f"layer {layer}, cell {cell} is {type(value).__name__}")
            written = str(value)[:20]
            not_finite = isinstance(value, str) and written.lower().lstrip("+-") in {"nan", "inf", "infinity"}
            reason = Reason.NOT_FINITE if not_finite else Reason.WRONG_SHAPE
            raise UnusableHistogram(reason, f"layer {layer}, cell {cell} is {written!r}")


def _not_counts(values: np.ndarray) -> UnusableHistogram:
    """The error for values of which at least one cannot be a count."""
    reasons = {
        Reason.NOT_FINITE: ~np.isfinite(values),
        Reason.NEGATIVE: (values < 0) & (values != NO_CELL),
        Reason.TOO_LARGE: values > LARGEST_COUNT,
        Reason.NOT_WHOLE: values != np.floor(values),
    }
    reason, wrong = next((reason, wrong) for reason, wrong in reasons.items() if wrong.any())
    row, column = np.argwhere(wrong)[0]
    return UnusableHistogram(reason, f"layer {row + 1}, cell {column + 1} is {values[row, column]:g}")


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
