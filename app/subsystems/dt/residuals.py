"""Inputs of networks that see the whole chamber: the counts of each layer against their expectation.

There are two expectations for every cell: from the *siblings* (the median of the three other layers of the superlayer,
each smoothed along the layer), and from the superlayer's own *shape* (a smooth curve through its four layers, fitted so
that blocks of dead or noisy cells do not bend it), which still holds when all four share a defect. Everything is
computed on the cells, before a layer is reduced to 47 bins, in which every second cell of 96 would be lost. Deviations
are limited: beyond about a thousand hits per cell their size matters, not their significance. Not for the row-only
networks, see `preprocess`; not for verdicts, see `verdict`; the arithmetic itself is in `residual_loops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from app.subsystems.dt.geometry import LAYERS, all_chambers
from app.subsystems.dt.histogram import Occupancy, alike
from app.subsystems.dt.preprocess import BINS

CHANNELS = 15  # of a bin
FACTS = 60  # of a layer as a whole; kept in the four rows after the bins, likelihood ratios in the last two
ROWS = BINS + FACTS // CHANNELS
ROWS_WITHOUT_RATIOS = ROWS - 2  # inputs of networks built before these were added
STEPS = (2, 4, 8)  # cells; periods of dead cells: see `residual_loops`
LOGS = (4, 5, 6, 7)  # channels that are logarithms
PARTNER = 13  # the channel that comes from other superlayers

_SMOOTH = (0.09, 0.05)  # σ of the smoothing, in lengths of the layer: of the siblings, of the layer itself
_PARTS = 16  # a layer is cut into so many for the fit of the shape
_DEGREE = 4  # of the shape


class Layout(NamedTuple):
    """Quantities that depend on the cells alone. W is the histogram's width.

    Attributes:
        cells: bool (12, W), where a cell is; exists (12,), where a layer is.
        lengths: float32 (12,), cells; at least 1.
        smoothing: float32 (2, 3, W, W), unnormalised Gaussians; reach: float32 (2, 12, W), their sums over existing
            cells.
        bins: int (12, BINS, 4): first column and one past the last, of the bin's cells and of 7 cells around it.
        part: int (12, W), which part of its layer a cell is in; part_cells float64 (12, 16), how many cells these have.
        basis: float64 (5, 4 · 16): polynomials at the middle of each part of four layers; at_cells (3, 5, W).
    """

    cells: np.ndarray
    exists: np.ndarray
    lengths: np.ndarray
    smoothing: np.ndarray
    reach: np.ndarray
    bins: np.ndarray
    part: np.ndarray
    part_cells: np.ndarray
    basis: np.ndarray
    at_cells: np.ndarray


def layer_residuals(occupancies: Sequence[Occupancy]) -> np.ndarray:
    """All inputs of the network for n chambers.

    Returns:
        float32 (n, 12, 51, 15), finite: 47 bins of 15 channels, then 60 facts about the layer as a whole in four rows;
        0 where a chamber has no such layer. The rest of the batch has no effect.

    >>> from app.subsystems.dt.geometry import Chamber
    >>> chamber = Chamber(wheel=0, station=4, sector=9)
    >>> even = layer_residuals([Occupancy(chamber, np.where(chamber.read_out, 40, -1))])
    >>> even.shape, bool(abs(even[0, 0, :47, 0]).max() < 0.01), bool(even[0, 5].any())
    ((1, 12, 51, 15), True, False)
    """
    result = np.zeros((len(occupancies), LAYERS, ROWS, CHANNELS), np.float32)
    for cells, those in alike(occupancies).items():
        counts = np.array([occupancies[i].counts for i in those], np.float32)
        _fill_in(counts, layout_of(*cells), np.array(those), result)
    return result


def altered_residuals(occupancy: Occupancy, rows: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """The network's inputs for single layers of a chamber, each with modified counts.

    Args:
        rows: int (k,), the layer, from 0.
        lines: float32 (k, columns), its counts.

    Returns:
        float32 (k, 51, 15), for that layer. The same as from `layer_residuals`, except that the profiles of other
        superlayers, and the siblings in the likelihood ratios, are those of the unmodified chamber.
    """
    from app.subsystems.dt.residual_loops import altered_residuals_of  # imports a compiler
    from app.subsystems.dt.scan_loops import altered_scans_of

    layout = layout_of(occupancy.cells.tobytes(), occupancy.chamber.columns)
    counts, as_is = occupancy.counts.astype(np.float32), np.zeros((1, LAYERS, ROWS, CHANNELS), np.float32)
    (rates,), *scans = _fill_in(counts[None], layout, np.zeros(1, int), as_is)
    result, ratios, shapes = (
        np.empty((len(rows), *shape), np.float32)
        for shape in ((ROWS, CHANNELS), (BINS, len(LOGS)), (occupancy.chamber.columns,))
    )
    altered_residuals_of(counts, rows, lines, layout, rates, result, ratios, shapes)
    facts = as_is[0, :, ROWS_WITHOUT_RATIOS:].reshape(LAYERS, -1).astype(float)
    altered_scans_of(rows, lines, layout, shapes, *(one[0] for one in scans), facts, result)
    result[:, :BINS, LOGS] = np.log(ratios)
    result[:, :BINS, PARTNER] = as_is[0, rows, :BINS, PARTNER]
    return result


def _fill_in(counts: np.ndarray, layout: Layout, at: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fill in k chambers with the same cells.

    Returns:
        their layers' rates, float32 (k, 12), hits per cell; and the sums, levels and evidence of dead cells from
        `scan_loops.scans_of`.
    """
    from app.subsystems.dt.residual_loops import finish, residuals_of
    from app.subsystems.dt.scan_loops import scans_of

    k, _, width = counts.shape
    rates, ratios = np.zeros((k, LAYERS), np.float32), np.ones((k, LAYERS, BINS, 4), np.float32)
    shapes, dead = np.zeros_like(counts), np.zeros_like(counts)
    sums, levels = np.zeros((k, LAYERS, 3, width + 1), np.float32), np.zeros((k, LAYERS, 2))
    residuals_of(counts, layout, rates, at, out, ratios, shapes)
    np.log(ratios, out=ratios)  # a quarter of the time of a loop's logarithms
    finish(ratios, layout, rates, at, out)
    scans_of(counts, layout, shapes, at, sums, levels, dead, out)
    return rates, sums, levels, dead


def compile_loops() -> None:
    """Compile and cache the loops, once per machine: half a minute."""
    chamber = all_chambers()[0]
    even = Occupancy(chamber, np.where(chamber.read_out, 1, -1))
    layer_residuals([even])
    altered_residuals(even, np.zeros(1, int), np.ones((1, chamber.columns), np.float32))


@lru_cache(maxsize=256)
def layout_of(cells: bytes, columns: int) -> Layout:
    """The layout of a chamber with these cells: the bytes of a bool (12, columns), True where a cell exists."""
    exists = np.frombuffer(cells, bool).reshape(LAYERS, columns)
    lengths = exists.sum(axis=1)
    columns_of = np.arange(columns)
    distance = columns_of[:, None] - columns_of
    smoothing, reach = np.zeros((2, 3, columns, columns)), np.ones((2, LAYERS, columns))
    bins = np.zeros((LAYERS, BINS, 4), int)
    part, part_cells = np.zeros((LAYERS, columns), int), np.zeros((LAYERS, _PARTS))
    at_cells = np.zeros((3, _DEGREE + 1, columns))
    for superlayer in range(3):
        rows = range(4 * superlayer, 4 * superlayer + 4)
        length = max(1, int(max((np.flatnonzero(exists[row])[-1] + 1 for row in rows if lengths[row]), default=1)))
        for i, sigma in enumerate(_SMOOTH):
            kernel = np.exp(-0.5 * (distance / (sigma * length)) ** 2)
            smoothing[i, superlayer] = np.where(kernel > 1e-4, kernel, 0)
        position = np.clip((2 * columns_of + 1) / length - 1, -1, 1)
        at_cells[superlayer] = np.polynomial.legendre.legvander(position, _DEGREE).T
        for row in rows:
            existing = np.flatnonzero(exists[row])
            if not existing.size:
                continue
            reach[:, row] = np.maximum(exists[row] @ smoothing[:, superlayer], 1e-3)
            edges = np.round(np.arange(BINS + 1) * existing.size / BINS).astype(int)
            for b in range(BINS):
                inside = existing[edges[b] : max(edges[b + 1], edges[b] + 1)]
                inside = inside if inside.size else existing[-1:]
                around = existing[abs(existing - (inside[0] + inside[-1]) / 2) <= 3.5]
                bins[row, b] = inside[0], inside[-1] + 1, around[0], around[-1] + 1
            part[row] = np.minimum((position + 1) / 2 * _PARTS, _PARTS - 1).astype(int)
            part_cells[row] = np.bincount(part[row, existing], minlength=_PARTS)
    middle = np.linspace(-1, 1, 2 * _PARTS + 1)[1::2]
    return Layout(
        cells=exists,
        exists=lengths > 0,
        lengths=np.maximum(lengths, 1).astype(np.float32),
        smoothing=smoothing.astype(np.float32),
        reach=reach.astype(np.float32),
        bins=bins,
        part=part,
        part_cells=part_cells,
        basis=np.tile(np.polynomial.legendre.legvander(middle, _DEGREE).T, 4),
        at_cells=at_cells,
    )
