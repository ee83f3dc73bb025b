"""The defects of a chamber, and which of them make a layer bad.

A defect multiplies the expected hits of some cells by a factor; a single rule (`label`) derives the label from the
combined factors of all defects of a chamber, however they were drawn. Not for good chambers: see `profiles`; not for
drawing defects: see `faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np

from app.subsystems.dt.geometry import LAYERS, Chamber

# The rule. Between the two figures of a pair the label is a probability, linear in between.
BLOCK_CELLS = 6  # this many adjacent cells make a block; 2 to 5 are ambiguous, 1 is good
LOW_BLOCK = (0.4, 0.7)  # of the expected hits: a block is bad up to the first, good from the second
LOW_LAYER = (0.82, 0.9)  # of the siblings' rate, for a whole layer: likewise; 0.83 was seen at 3,450 V, a known fault
NOISY_BLOCK = (3.0, 2.0)  # times the expected hits: bad from the first, good up to the second
SCATTERED_DEAD = (0.15, 0.07)  # of the cells of a layer: likewise; 2 % a chamber can mean 3 of 47 in a layer
PATTERN_CELLS = 4  # dead cells in equal steps that make a pattern
# Fewer cells than a block, but dead at the same place in several layers of a superlayer: experts call each layer bad.
SHARED_CELLS = 3  # adjacent dead cells, or more
SHARED_LAYERS = 3  # of the superlayer's four, or all of them
SHARED_WITHIN = 1  # cells by which the places may differ, counted along the existing cells of a layer
DEAD_CELL = (0.2, 0.4)  # of the expected hits: a cell of a shared block is dead up to the first, alive from the second

_ALONE = np.array((0, 0.1, 0.15, 0.25, 0.4, 1))  # P(bad) of 1 to 6 adjacent cells; of 4, experts called real ones good


class DefectKind(StrEnum):
    """The kinds of defect. The values are stored in the figures of models; never reuse one."""

    DEAD_BLOCK = "dead_block"  # adjacent cells without hits, or with few
    DEAD_HALF = "dead_half"  # half of a superlayer, in all its layers
    DEAD_LAYER = "dead_layer"
    LOW_RATE = "low_rate"  # a whole layer or superlayer under a wrong voltage
    PERIODIC = "periodic"  # every 2nd, 4th or 8th cell dead
    SCATTERED = "scattered"  # many dead cells here and there
    NOISY_BLOCK = "noisy_block"
    DEAD_PAIR = "dead_pair"  # 2 to 5 adjacent dead cells, not shared: ambiguous
    SHARED_BLOCK = "shared_block"  # 3 to 5 adjacent dead cells, at the same place in 3 or 4 layers of a superlayer
    HOT_CELL = "hot_cell"  # one noisy cell: good
    DEAD_CELLS = "dead_cells"  # few, isolated: good
    LOW_STATISTICS = "low_statistics"  # the whole chamber: not the detector's fault


HARMLESS = frozenset({DefectKind.HOT_CELL, DefectKind.DEAD_CELLS, DefectKind.LOW_STATISTICS})  # never bad by themselves


@dataclass(frozen=True)
class Defect:
    """One defect of a chamber.

    Attributes:
        kind: its kind.
        layers: the layers 1–12 that share it.
        first_cell, last_cell: its extent, counted from 1 like the histogram's x bins; in each layer only the existing
            cells.
        factor: multiplies the expected hits: 0 dead, 0.7 voltage, 20 noisy.
        cells: the cells concerned, if not all from the first to the last.
    """

    kind: DefectKind
    layers: tuple[int, ...]
    first_cell: int
    last_cell: int
    factor: float
    cells: tuple[int, ...] = ()


def factors(chamber: Chamber, defects: Sequence[Defect]) -> np.ndarray:
    """The combined factor of the defects on the expected hits.

    Returns:
        float64 (12, columns): the product of their factors; 1 without defects or where no cell exists.
    """
    result = np.ones((LAYERS, chamber.columns))
    for defect in defects:
        rows = np.array(defect.layers)[:, None] - 1
        if defect.cells:
            result[rows, np.array(defect.cells) - 1] *= defect.factor
        else:
            result[rows[:, 0], defect.first_cell - 1 : defect.last_cell] *= defect.factor
    result[~chamber.read_out] = 1
    return result


def label(chamber: Chamber, defects: Sequence[Defect]) -> np.ndarray:
    """P(bad) of each layer by the rule above.

    LOW_STATISTICS does not count: few hits in the whole chamber are not a fault of a layer.

    Returns:
        float32 (12,): 0 good, 1 bad, in between ambiguous, NaN where the layer does not exist.

    >>> chamber = Chamber(wheel=0, station=1, sector=1)
    >>> label(chamber, [Defect(DefectKind.DEAD_BLOCK, (2, 3), 17, 32, 0.0)])
    array([0., 1., 1., 0., 0., 0., 0., 0., 0., 0., 0., 0.], dtype=float32)
    >>> pair = Defect(DefectKind.DEAD_PAIR, (1,), first_cell=17, last_cell=18, factor=0.0)
    >>> round(float(label(chamber, [pair])[0]), 3)
    0.1
    >>> label(chamber, [Defect(DefectKind.SHARED_BLOCK, (5, 6, 7, 8), 17, 19, 0.0)])
    array([0., 0., 0., 0., 1., 1., 1., 1., 0., 0., 0., 0.], dtype=float32)
    """
    lengths = _lengths(chamber)
    exists = lengths > 0
    counted = [defect for defect in defects if defect.kind is not DefectKind.LOW_STATISTICS]
    result = np.where(exists, np.float32(0), np.float32("nan"))
    if not counted:
        return result
    cells = factors(chamber, counted)
    bad = np.maximum(_adjacent(cells, LOW_BLOCK, np.maximum, np.min), _adjacent(cells, NOISY_BLOCK, np.minimum, np.max))
    inside = np.sort(np.where(chamber.read_out, cells, np.inf), axis=1)
    median = inside[np.arange(LAYERS), np.maximum(lengths - 1, 0) // 2]
    dead = (inside <= LOW_BLOCK[0]).sum(axis=1) / np.maximum(lengths, 1)
    bad = np.maximum.reduce([bad, _ramp(median, LOW_LAYER), _ramp(dead, SCATTERED_DEAD), _shared(chamber, cells)])
    for defect in counted:
        if defect.kind is DefectKind.PERIODIC and len(defect.cells) >= PATTERN_CELLS:
            bad[np.array(defect.layers) - 1] = 1
    result[exists] = bad[exists]
    return result


def _adjacent(
    cells: np.ndarray, limits: tuple[float, float], widest: np.ufunc, worst: Callable[..., np.ndarray]
) -> np.ndarray:
    """P(bad), (12,), of the worst sequence of 2 to 6 adjacent cells, each of which is at least as far off."""
    levels, run = [], cells
    for number in range(2, BLOCK_CELLS + 1):
        run = widest(run[:, :-1], cells[:, number - 1 :])
        levels.append(worst(run, axis=1))
    return (_ALONE[1:, None] * _ramp(np.stack(levels), limits)).max(axis=0)


def _shared(chamber: Chamber, cells: np.ndarray) -> np.ndarray:
    """P(bad), (12,), of the clearest block of dead cells shared by at least three layers of a superlayer."""
    existing = _in_order(chamber)
    factor = np.where(existing >= 0, np.take_along_axis(cells, np.maximum(existing, 0), axis=1), 1)
    dead = np.lib.stride_tricks.sliding_window_view(_ramp(factor, DEAD_CELL), SHARED_CELLS, axis=1).min(axis=-1)
    if not dead.any():
        return np.zeros(LAYERS)
    near = np.pad(dead, ((0, 0), (SHARED_WITHIN, SHARED_WITHIN)))
    near = np.lib.stride_tricks.sliding_window_view(near, 2 * SHARED_WITHIN + 1, axis=1).max(axis=-1)
    result = np.zeros(LAYERS)
    for row in range(LAYERS):
        siblings = [other for other in range(row // 4 * 4, row // 4 * 4 + 4) if other != row]
        others = np.sort(near[siblings], axis=0)[-(SHARED_LAYERS - 1)]
        result[row] = np.minimum(dead[row], others).max()
    return result


def _ramp(value: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """1 at and beyond the first limit, 0 at and beyond the second, linear in between."""
    bad, good = limits
    return ((value - good) / (bad - good)).clip(0, 1)


@cache
def _in_order(chamber: Chamber) -> np.ndarray:
    """int (12, columns): the columns of each layer's cells in their order, then −1."""
    order = np.argsort(~chamber.read_out, axis=1, kind="stable")
    return np.where(np.arange(chamber.columns) < _lengths(chamber)[:, None], order, -1)


@cache
def _lengths(chamber: Chamber) -> np.ndarray:
    return chamber.read_out.sum(axis=1)
