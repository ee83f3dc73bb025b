"""Scan statistics that find what is wrong in a layer: which cells, and the gain in likelihood.

All of them compare the cells in question with the rest of the same layer, against a profile with a free scale, so the
rate of the whole layer plays no role. Every cell is either used or left out (`use`); cells explained before are left
out, so that the next search sees what remains. Not for words or thresholds: see `findings`.

Source: M. Kulldorff, A spatial scan statistic, Communications in Statistics 26 (1997) 1481.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from app.subsystems.dt.defects import PATTERN_CELLS

PERIODS = (1, 2, 4, 8)  # a block is a pattern of period 1
_SHORTEST = 1  # cells of a block: a single dead cell explains more than a block that includes it
_ODD_OUTSIDE = (0.78, 1.3)  # times the reference: what is left of a layer is low below, high above; either is rare, and
_OUTSIDE_COSTS = (3.0, 8.0)  # costs so much likelihood: low rates happen, high ones hardly
_LONGEST_NOISE = 0.75  # of a layer: noise all over it is not told from a rest that is dead
_CHUNK = 64  # rows at a time: their windows stay in the processor's cache
_EM_STEPS = 8  # of expectation and maximisation: from a sixth dead to what is there, to a per cent
_DEAD_AT_FIRST = (1 / 6, 0.1)  # where they start: share of the cells, and what these have of the rest's hits


@dataclass(frozen=True, eq=False)
class Windows:
    """All sets of cells of one layer that are searched: from first to last in steps of period; int (w,) each.

    Ordered by the number of cells: of equal ones, the shortest comes first.
    """

    period: np.ndarray
    first: np.ndarray  # counted from 0
    last: np.ndarray
    upper: np.ndarray  # indices into the sums of `_over_windows`, whose difference is the sum over the set
    lower: np.ndarray

    def __len__(self) -> int:
        return len(self.period)


def _fewest(period: int, length: int) -> int:
    """Minimum cells of a window: a pattern must span a third of its layer, or it could be chance."""
    return _SHORTEST if period == 1 else max(PATTERN_CELLS, length // 3 // period - 1)


@cache
def windows(length: int) -> Windows:
    """All windows of a layer of this length.

    >>> w = windows(48)
    >>> len(w), int((w.period == 1).sum())
    (1746, 1176)
    """
    found = [
        (period, first, last)
        for period in PERIODS
        for first in range(length)
        for last in range(first + period * (_fewest(period, length) - 1), length, period)
    ]
    found.sort(key=lambda window: ((window[2] - window[1]) // window[0], window[0]))
    period, first, last = np.array(found).T
    row = np.searchsorted(PERIODS, period) * (length + PERIODS[-1]) + PERIODS[-1]
    return Windows(period, first, last, row + last, row + first - period)


def best_windows(
    counts: np.ndarray, shape: np.ndarray, use: np.ndarray, reference: np.ndarray, limits: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The window of each layer whose cells differ most from all others.

    The gain is log(likelihood) with different rates inside and outside, relative to a single rate. Inside must be below
    the first limit times outside for a pattern, below the second or above the third for a block. A dead half of a layer
    and a noisy other half look the same, so an unusual rate outside costs likelihood.

    Args:
        counts: float64 (rows, length).
        shape: float64 (rows, length), expected hits up to the scale of each row.
        use: bool (rows, length), the cells that count.
        reference: float64 (rows,), the expected rate of the layer, over the shape; 0 if unknown.
        limits: factors for a low pattern, a low block, a noisy block.

    Returns:
        float64 (rows,) gain, at most 0 if no window qualifies; int (rows,) index into `windows(length)`.
    """
    looked = windows(counts.shape[1])
    gains, which = np.empty(len(counts)), np.empty(len(counts), int)
    for begin in range(0, len(counts), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        gains[part], which[part] = _best(
            np.where(use[part], counts[part], 0), np.where(use[part], shape[part], 0), reference[part], limits, looked
        )
    return gains, which


def _best(
    counts: np.ndarray, shape: np.ndarray, reference: np.ndarray, limits: tuple[float, float, float], looked: Windows
) -> tuple[np.ndarray, np.ndarray]:
    inside, should = (_over_windows(a, looked) for a in (counts, shape))
    hits, sums = counts.sum(axis=1), np.maximum(shape.sum(axis=1), 1e-9)
    lowest, low, high = limits
    # Multiplied out, no window needs a division: inside / should < low · outside / rest
    product = should * (hits[:, None] - inside)
    rest = np.maximum(sums[:, None] - should, 1e-9)
    inside_rest = inside * rest
    high_ones = (looked.period == 1) & (should < _LONGEST_NOISE * sums[:, None])
    chosen = (inside_rest < np.where(looked.period == 1, low, lowest) * product) | (
        (inside_rest > high * product) & high_ones
    )
    chosen &= should > 1e-6
    gains, best = np.zeros(len(counts)), np.zeros(len(counts), int)
    row, window = np.nonzero(chosen)
    if not row.size:
        return gains, best
    within, expected, beyond = inside[chosen], should[chosen], rest[chosen]
    outside = np.maximum(hits[row] - within, 0)
    rate = outside / beyond
    whole = hits * np.log(np.maximum(hits / sums, 1e-12))
    gain = within * np.log(np.maximum(within / expected, 1e-12)) + outside * np.log(np.maximum(rate, 1e-12))
    gain -= whole[row] + _cost_of_rest(rate, reference[row])
    for begin, end in _runs(row):
        i = begin + int(gain[begin:end].argmax())
        gains[row[begin]], best[row[begin]] = max(gain[i], 0), window[i]
    return gains, best


def _cost_of_rest(rate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The cost in likelihood of this rate for the rest of a layer."""
    odd = rate / np.maximum(reference, 1e-9)
    cost = np.where(odd < _ODD_OUTSIDE[0], _OUTSIDE_COSTS[0], np.where(odd > _ODD_OUTSIDE[1], _OUTSIDE_COSTS[1], 0))
    return np.where(reference > 0, cost, 0)


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each stretch of equal numbers."""
    borders = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
    return list(pairwise(borders))


def _over_windows(values: np.ndarray, looked: Windows) -> np.ndarray:
    """Sums of float64 (rows, length) over all windows: float64 (rows, w)."""
    rows, length = values.shape
    ahead = PERIODS[-1]
    sums = np.zeros((rows, len(PERIODS), ahead + length))
    for i, period in enumerate(PERIODS):
        padded = -(-length // period) * period
        folded = np.zeros((rows, padded))
        folded[:, :length] = values
        running = folded.reshape(rows, -1, period).cumsum(axis=1).reshape(rows, padded)
        sums[:, i, ahead:] = running[:, :length]
    flat = sums.reshape(rows, -1)
    return flat[:, looked.upper] - flat[:, looked.lower]


def dead_cells(
    counts: np.ndarray, shape: np.ndarray, use: np.ndarray, reference: np.ndarray, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """Low cells anywhere in a layer: a mixture of two Poisson rates, fitted to each layer.

    Args:
        counts, shape, use, reference: as in `best_windows`.
        most: a cell counts as dead up to this factor.

    Returns:
        float64 (rows,) gain in log(likelihood) over one rate for all; bool (rows, length), the cells more likely dead
        than alive.
    """
    counts, shape = np.where(use, counts, 0), np.where(use, shape, 0)
    one = counts.sum(axis=1) / np.maximum(shape.sum(axis=1), 1e-9)
    share, factor = (np.full(len(counts), start) for start in _DEAD_AT_FIRST)
    rate = one / (1 - share)
    dead = np.zeros(counts.shape)
    for _ in range(_EM_STEPS):
        dead, _ = _responsible(counts, shape, use, rate, factor, share)
        alive = use - dead
        rate = (counts * alive).sum(axis=1) / np.maximum((shape * alive).sum(axis=1), 1e-9)
        low = (counts * dead).sum(axis=1) / np.maximum((shape * dead).sum(axis=1), 1e-9)
        factor = (low / np.maximum(rate, 1e-9)).clip(0.01, most)
        share = (dead.sum(axis=1) / np.maximum(use.sum(axis=1), 1)).clip(1e-3, 0.5)
    dead, logs = _responsible(counts, shape, use, rate, factor, share)
    alone = np.where(use, counts * np.log(np.maximum(one, 1e-12))[:, None] - one[:, None] * shape, 0)
    return (logs - alone).sum(axis=1) - _cost_of_rest(rate, reference), use & (dead > 0.5)


def _responsible(
    counts: np.ndarray, shape: np.ndarray, use: np.ndarray, rate: np.ndarray, factor: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P(dead) of each cell, and its log(likelihood) up to terms common to both rates."""
    rate, factor, share = rate[:, None], factor[:, None], share[:, None]
    alive = counts * np.log(np.maximum(rate, 1e-12)) - rate * shape + np.log1p(-share)
    dead = counts * np.log(np.maximum(rate * factor, 1e-12)) - rate * factor * shape + np.log(share)
    both = np.logaddexp(alive, dead)
    return np.where(use, np.exp(dead - both), 0), np.where(use, both, 0)
