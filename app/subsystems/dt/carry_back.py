"""Carries influence on a network's inputs back to the cells.

The sum over a layer is preserved, missing cells get none, and what a network knows of a layer through its siblings or
other superlayers is reported separately, not spread over the layer's own cells. Not for the influence itself: see
`app.subsystems.dt.learning.saliency`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.preprocess import BINS, taps
from app.subsystems.dt.residuals import STEPS, Layout, layout_of

Carried = tuple[np.ndarray, np.ndarray]  # float64 (12, columns) on the cells, (12,) through the layer's surroundings


def as_expected(occupancy: Occupancy, expected: np.ndarray) -> Occupancy:
    """The chamber with every cell at its expectation: fractional counts, never stored.

    Args:
        expected: float (12, columns), of `findings.expected_hits`.
    """
    return Occupancy(occupancy.chamber, np.where(occupancy.cells, expected, NO_CELL))


def rows_to_cells(
    occupancies: Sequence[Occupancy], baselines: Sequence[Occupancy], influence: np.ndarray, way: np.ndarray
) -> list[Carried]:
    """For a network that sees only a layer's row: by the weights of the cells in each bin.

    Args:
        influence: float (n, 12, 47), of each bin.
    """
    carried = []
    for occupancy, given in zip(occupancies, influence, strict=True):
        left, right, share = taps(occupancy.cells.tobytes(), occupancy.chamber.columns)
        exists = ~np.isnan(share)
        cells = np.zeros(occupancy.counts.size)
        np.add.at(cells, left[exists], (given.ravel() * (1 - share))[exists])
        np.add.at(cells, right[exists], (given.ravel() * share)[exists])
        carried.append((cells.reshape(occupancy.counts.shape), np.zeros(LAYERS)))
    return carried


def residuals_to_cells(
    occupancies: Sequence[Occupancy], baselines: Sequence[Occupancy], influence: np.ndarray, way: np.ndarray
) -> list[Carried]:
    """For a network that sees a layer in its chamber: each input's influence goes to the cells it is computed from.

    If the input is too low, to the cells below their expectation, otherwise to those above, in proportion to their
    deviation in standard deviations; the minimum and maximum of a bin go to their cell alone. The siblings' deviations,
    the superlayer's curve and level, and comparisons with other superlayers stay with the surroundings.

    Args:
        baselines: the same chambers `as_expected`.
        influence: float (n, 12, 51, 15), for each input in `residuals.layer_residuals`, or for its first 49 rows.
        way: the same shape, these inputs minus those of the baselines.
    """
    return [_residuals_to_cells(*one) for one in zip(occupancies, baselines, influence, way, strict=True)]


_OWN_BINS, _OWN_WINDOWS, _LEAST, _GREATEST = [0, 1, 2, 3], [4, 5, 6], [8, 10], [9, 11]  # channels of a bin
_AROUND_BINS = [7, 12, 13]
_RATE = 14
_AROUND_FACTS = [0, 3, 4, 5, 6, 7, *range(21, 30), *range(45, 50), 51]
_RATE_FACTS = [1, 2, 36, 37]
# Likelihood ratios; those of the siblings and of the superlayer's four layers together are surroundings.
_OF_LOW_CELLS, _OF_HIGH_CELLS = [30, 31, 32, 33, *range(38, 45), 52, 53, 56, 57, 58, 59], [34, 35, 50, 54, 55]
_PATTERNS = [(8, 16), (9, 17), (10, 18)]  # facts about every 2nd, 4th, 8th cell
_SIX_LEAST, _SIX_GREATEST = [11, 19], [12, 20]
_DEAD, _LOW = [13, 14], [15]
_LEAST_WEIGHT = 1e-6  # of a cell at its expectation


def _residuals_to_cells(occupancy: Occupancy, baseline: Occupancy, influence: np.ndarray, way: np.ndarray) -> Carried:
    cells = occupancy.cells
    layout = layout_of(cells.tobytes(), occupancy.chamber.columns)
    in_bins, in_windows = _supports(cells.tobytes(), occupancy.chamber.columns)
    x, expected = (np.where(cells, one.counts, 0).astype(float) for one in (occupancy, baseline))
    deviation = np.sqrt(x + 0.375) - np.sqrt(expected + 0.375)
    weights = [np.where(cells, np.maximum(sign * deviation, 0) + _LEAST_WEIGHT, 0) for sign in (-1, 1)]
    bins, facts = influence[:, :BINS], influence[:, BINS:].reshape(LAYERS, -1)
    higher, facts_higher = way[:, :BINS] > 0, way[:, BINS:].reshape(LAYERS, -1) > 0
    facts_higher[:, [fact for fact in _OF_LOW_CELLS if fact < facts.shape[1]]] = False
    facts_higher[:, [fact for fact in _OF_HIGH_CELLS if fact < facts.shape[1]]] = True
    result, around = np.zeros(x.shape), np.zeros(LAYERS)
    everywhere = np.arange(x.shape[1])
    for row in np.flatnonzero(layout.exists):
        own = result[row]
        for channels, members in ((_OWN_BINS, in_bins), (_OWN_WINDOWS, in_windows)):
            for weight, meant in zip(weights, (~higher[row], higher[row]), strict=True):
                shares = members[row] * weight[row]
                shares /= shares.sum(axis=1, keepdims=True)
                own += (bins[row] * meant)[:, channels].sum(axis=1) @ shares
        for channels, sign in ((_LEAST, 1), (_GREATEST, -1)):
            chosen = np.where(in_bins[row], sign * deviation[row], np.inf).argmin(axis=1)
            np.add.at(own, chosen, bins[row][:, channels].sum(axis=1))
        phases = [_lowest_phase(x[row], expected[row], step) for step in STEPS]
        sixes = [np.convolve(one[row], np.ones(6), "valid") for one in (x, expected)]
        off = np.sqrt(sixes[0] + 0.375) - np.sqrt(sixes[1] + 0.375)
        least, greatest = (everywhere[at : at + 6] for at in (int(off.argmin()), int(off.argmax())))
        dead, low = ((cells[row] & concerned).nonzero()[0] for concerned in (x[row] == 0, x[row] < 0.4 * expected[row]))
        shared_out = [
            *((fact, everywhere) for fact in (*_RATE_FACTS, *_OF_LOW_CELLS, *_OF_HIGH_CELLS) if fact < facts.shape[1]),
            *((fact, phase) for facts_of_step, phase in zip(_PATTERNS, phases, strict=True) for fact in facts_of_step),
            *((fact, least) for fact in _SIX_LEAST),
            *((fact, greatest) for fact in _SIX_GREATEST),
            *((fact, dead) for fact in _DEAD),
            *((fact, low) for fact in _LOW),
        ]
        for fact, concerned in shared_out:
            _share_out(own, weights[int(facts_higher[row, fact])][row], concerned, facts[row, fact])
        _share_out(own, weights[int(higher[row, 0, _RATE])][row], everywhere, bins[row, :, _RATE].sum())
        around[row] = bins[row][:, _AROUND_BINS].sum() + sum(
            facts[row, fact] for fact in _AROUND_FACTS if fact < facts.shape[1]
        )
    return result, around


def _lowest_phase(x: np.ndarray, expected: np.ndarray, step: int) -> np.ndarray:
    """The cells of a period, at the offset where they see least relative to their expectation."""
    ratios = [(x[at::step].sum() + 0.5) / (expected[at::step].sum() + 0.5) for at in range(step)]
    return np.arange(int(np.argmin(ratios)), x.size, step)


def _share_out(into: np.ndarray, weight: np.ndarray, cells: np.ndarray, influence: float) -> None:
    if not weight[cells].sum():  # none, or columns beyond the layer's end
        cells = np.arange(weight.size)
    into[cells] += influence * weight[cells] / weight[cells].sum()


@lru_cache(maxsize=256)
def _supports(cells: bytes, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """bool (12, 47, columns) twice: the existing cells of each bin, and those of the window around it."""
    layout: Layout = layout_of(cells, columns)
    at = np.arange(columns)
    begin, end, window_begin, window_end = (layout.bins[..., i, None] for i in range(4))
    exists = layout.cells[:, None]
    shape = (LAYERS, BINS, columns)
    in_bins = np.broadcast_to((at >= begin) & (at < end) & exists, shape)
    return in_bins, np.broadcast_to((at >= window_begin) & (at < window_end) & exists, shape)
