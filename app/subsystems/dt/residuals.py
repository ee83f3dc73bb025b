"""What a network that knows the whole chamber takes of each layer: its counts against what is expected of them.

Two expectations for every cell: that of the *siblings* (the median of the three other layers of the superlayer, each
smoothed along the layer), and that of the superlayer's own *shape* (a smooth curve through its four layers, fitted so
that blocks of dead or noisy cells do not bend it), which still stands when all four share a defect. Everything is
worked out on the cells, before a layer is squeezed into 47 bins: every second cell of 96 would be lost in them.
Deviations are limited: beyond some thousand hits a cell it is their size that counts, not their significance. Not for
the row-only networks, see `preprocess`; not for judging, see `verdict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.preprocess import BINS

CHANNELS = 15  # of a bin
FACTS = 30  # of a layer as a whole; kept in the two rows after the bins
ROWS = BINS + FACTS // CHANNELS
STEPS = (2, 4, 8)  # cells; every so many can be dead together

_SMOOTH = (0.09, 0.05)  # σ of the smoothing, in lengths of the layer: of the siblings, of the layer itself
_TOLERATED = 0.12  # relative spread of a good cell that is no Poisson fluctuation; limits what many hits can prove
_PARTS = 16  # a layer is cut into so many for the fit of the shape
_DEGREE = 4  # of the shape
_SLOTS = 3  # cells that a bin can hold: 96 / 47, rounded up
_PRODUCTS = 2**18  # in one product of matrices: OpenBLAS cuts up larger ones for threads that wait for each other
_SCATTERED = 0.18  # share of dead cells in the likelihood for scattered ones


@dataclass(frozen=True, eq=False)
class _Layout:
    """What follows from the cells alone; all float32 unless said. W is the histogram's width.

    Attributes:
        mask: (12, 1, W), 1 where a cell is.
        lengths: (12, 1), cells; at least 1.
        smoothing: (2, 3, W, W), unnormalised Gaussians; reach: (2, 12, 1, W), their sums over existing cells.
        pooling: (12, W, BINS): means over the cells of a bin; windows: sums over 7 cells around its middle.
        slots: int (3, 12·BINS): the cells of a bin, some repeated, as indices into 12·W.
        parts: (12, W, 16): sums over parts; part_cells (12, 1, 16), how many cells they have.
        basis: (3, 64, 5): polynomials at the middle of each part of the four layers; at_cells (12, 5, W).
        squares: (3, 64, 25): their products, each with each.
        phases: (W, 14): sums over every 2nd, 4th, 8th cell.
        alone: bool (3,): the superlayer exists.
    """

    mask: np.ndarray
    lengths: np.ndarray
    smoothing: np.ndarray
    reach: np.ndarray
    pooling: np.ndarray
    windows: np.ndarray
    slots: np.ndarray
    parts: np.ndarray
    part_cells: np.ndarray
    basis: np.ndarray
    at_cells: np.ndarray
    squares: np.ndarray
    phases: np.ndarray
    exists: np.ndarray


def layer_residuals(occupancies: Sequence[Occupancy]) -> np.ndarray:
    """Everything the network takes of n chambers.

    Returns:
        float32 (n, 12, 49, 15), finite: 47 bins of 15 channels, then 30 facts about the layer as a whole in two rows;
        0 where a chamber has no such layer. What else is in the batch changes nothing but the last bits.

    >>> from app.subsystems.dt.geometry import Chamber
    >>> chamber = Chamber(wheel=0, station=4, sector=9)
    >>> even = layer_residuals([Occupancy(chamber, np.where(chamber.read_out, 40, -1))])
    >>> even.shape, bool(abs(even[0, 0, :47, 0]).max() < 0.01), bool(even[0, 5].any())
    ((1, 12, 49, 15), True, False)
    """
    result = np.zeros((len(occupancies), LAYERS, ROWS, CHANNELS), np.float32)
    alike: dict[tuple[bytes, int], list[int]] = {}
    for i, occupancy in enumerate(occupancies):
        alike.setdefault((occupancy.cells.tobytes(), occupancy.counts.shape[1]), []).append(i)
    for cells, those in alike.items():
        layout = _layout(*cells)
        at_once = max(1, _PRODUCTS // layout.mask.shape[-1] ** 2)
        for start in range(0, len(those), at_once):
            some = those[start : start + at_once]
            counts = np.array([occupancies[i].counts for i in some], np.float32).transpose(1, 0, 2)
            result[some] = _of_one_layout(counts * layout.mask, layout)
    return result


def _of_one_layout(x: np.ndarray, layout: _Layout) -> np.ndarray:
    """float32 (k, 12, 49, 15) of counts float32 (12, k, W), 0 where no cell is."""
    k, width, mask = x.shape[1], x.shape[2], layout.mask
    capped = _capped(x, layout)
    shape = _shape(capped, layout)
    capped = np.minimum(capped, shape + 4 * np.sqrt(shape + 1))
    smooth, own = (
        (capped.reshape(3, 4, k, width) @ kernel[:, None]).reshape(LAYERS, k, width) / reach
        for kernel, reach in zip(layout.smoothing, layout.reach, strict=True)
    )
    siblings = _median_of_others(smooth) * mask
    rates = capped.sum(axis=2) / layout.lengths  # (12, k)
    sibling_rates = _median_of_others(rates)

    by_siblings, by_shape = _deviation(x, siblings) * mask, _deviation(x, shape) * mask
    chamber_rate = _chamber_rate(rates, layout)  # (k,)
    # (layer, what, chamber, …): means over the cells of a bin, and sums over 7 cells around its middle
    means = _binned((by_siblings, by_shape, _linear(x, siblings), _linear(x, shape), own, shape), layout.pooling)
    found, *expected = _binned((np.minimum(x, 8 * np.maximum(siblings, shape) + 8), siblings, shape), layout.windows)
    level = np.log(chamber_rate[:, None] + 0.3)
    profile = np.log(means[4] + 0.3) - level  # of the layer; of its superlayer:
    profiles = profile.reshape(3, 4, k, BINS).mean(axis=1)
    others = means[1].reshape(3, 4, k, BINS)

    out = np.empty((k, LAYERS, ROWS, CHANNELS), np.float32)
    bins = out[:, :, :BINS].transpose(1, 0, 2, 3)
    for channel in range(4):
        bins[..., channel] = means[channel]
    for channel in range(2):
        bins[..., 4 + channel] = np.log((found + 0.5) / (expected[channel] + 0.5)).clip(-3, 3)
    bins[..., 6] = profile
    bins[..., 7] = np.log(means[5] + 0.3) - level
    for channel, values in ((8, by_siblings), (10, by_shape)):
        flat = values.transpose(1, 0, 2).reshape(k, -1)
        one, two, three = (flat.take(slot, axis=1).reshape(k, LAYERS, BINS) for slot in layout.slots)
        bins[..., channel] = np.minimum(np.minimum(one, two), three).transpose(1, 0, 2)
        bins[..., channel + 1] = np.maximum(np.maximum(one, two), three).transpose(1, 0, 2)
    bins[..., 12] = ((others.sum(axis=1, keepdims=True) - others) / 3).reshape(LAYERS, k, BINS)
    bins[..., 13] = np.repeat(_partners(profiles), 4, axis=0)
    bins[..., 14] = np.log1p(rates)[..., None] / 4

    limited = by_shape.clip(-3, 3).reshape(3, 4, k, width)
    others = limited.sum(axis=1, keepdims=True) - limited
    together = (limited * others).reshape(LAYERS, k, width).sum(axis=2) / layout.lengths / 3  # as tracks make it
    facts = _facts(x, siblings, shape, rates, sibling_rates, chamber_rate, together, layout)
    out[:, :, BINS:] = facts.transpose(1, 0, 2).reshape(k, LAYERS, ROWS - BINS, CHANNELS)
    out[:, layout.exists == 0] = 0
    return out


def _binned(arrays: Sequence[np.ndarray], matrices: np.ndarray) -> np.ndarray:
    """(arrays, 12, k, BINS) of arrays (12, k, W), each layer times its matrix."""
    result = np.empty((len(arrays), *arrays[0].shape[:2], matrices.shape[-1]), np.float32)
    for array, into in zip(arrays, result, strict=True):
        np.matmul(array, matrices, out=into)
    return result


def _partners(superlayers: np.ndarray) -> np.ndarray:
    """(3, …): what each superlayer is compared with: phi with the other phi, theta with both."""
    return np.stack((superlayers[2], (superlayers[0] + superlayers[2]) / 2, superlayers[0]))


def _facts(x, siblings, shape, rates, sibling_rates, chamber_rate, together, layout: _Layout) -> np.ndarray:
    """float32 (12, k, 30): what is said of a layer as a whole."""
    k = x.shape[1]
    expected = sibling_rates * layout.lengths
    superlayers = np.sort(rates.reshape(3, 4, k), axis=1)[:, 1:3].mean(axis=1)
    superlayer, partner = np.repeat(superlayers, 4, axis=0), np.repeat(_partners(superlayers), 4, axis=0)
    found = [
        np.log(sibling_rates + 0.1) / 4,
        np.log((rates + 0.1) / (sibling_rates + 0.1)).clip(-3, 3),
        _deviation(rates * layout.lengths, expected),
        np.log((superlayer + 0.1) / (partner + 0.1)).clip(-3, 3),
        np.log((superlayer + 0.1) / (chamber_rate + 0.1)).clip(-3, 3),
        together,
        np.broadcast_to(layout.lengths / 96, rates.shape),
        np.broadcast_to(np.repeat([0.0, 1.0, 0.0], 4)[:, None], rates.shape),
    ]
    inside = layout.mask > 0
    none = (x == 0) & inside
    dead = none.sum(axis=2, dtype=np.float32)
    empty = np.exp(-np.minimum(shape, 8)) * layout.mask  # P(no hits) of a cell that lives
    # log of the likelihood that a share of the cells is dead, over that of none
    gain = np.log1p(_SCATTERED / (1 - _SCATTERED) / np.maximum(empty, 1e-4))
    gain = (gain * none).sum(axis=2) + layout.lengths * np.float32(np.log(1 - _SCATTERED))
    own = [
        found[1],
        (dead - empty.sum(axis=2)) / layout.lengths * 3,
        np.arcsinh(gain) / 2,
        ((x < 0.4 * shape) & inside).sum(axis=2, dtype=np.float32) / layout.lengths * 3,
    ]
    seen, wanted = np.minimum(x, 3 * shape + 3) @ layout.phases, shape @ layout.phases
    deviations, ratios = _deviation(seen, wanted), np.log((seen + 0.5) / (wanted + 0.5)).clip(-3, 3)
    start = 0
    for step in STEPS:
        own.append(deviations[..., start : start + step].min(axis=-1))
        found.append(ratios[..., start : start + step].min(axis=-1))
        start += step
    hits = _sums_of_6(np.minimum(x, 6 * np.maximum(shape, siblings) + 6))
    for reference, into in ((shape, own), (siblings, found)):
        deviation = _deviation(hits, _sums_of_6(reference))
        into += [deviation.min(axis=-1), deviation.max(axis=-1)]
    each = np.stack(own)
    four = each.reshape(len(own), 3, 4, k)
    others = ((four.sum(axis=2, keepdims=True) - four) / 3).reshape(each.shape)
    return np.concatenate((np.stack(found), each[1:], others)).transpose(1, 2, 0).astype(np.float32, copy=False)


def _sums_of_6(cells: np.ndarray) -> np.ndarray:
    sums = np.cumsum(cells, axis=-1)
    return sums[..., 6:] - sums[..., :-6]


def _deviation(x: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Standard deviations from what is expected, of Poisson counts with some tolerated spread; at most 17.

    Variance-stabilised as Anscombe (1948) does: 2√(x + 3/8) has a variance near 1 whatever is expected.
    """
    root = np.sqrt(expected + 0.375)
    return np.minimum(2 * (np.sqrt(x + 0.375) - root) / np.sqrt(1 + _TOLERATED**2 * expected), 12)


def _linear(x: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The same without a root: sums over cells are then the sufficient statistic of few hits; −8 to 8."""
    spread = np.sqrt(expected + 0.5 + (_TOLERATED * expected) ** 2)
    return ((x - expected) / spread).clip(-8, 8)


def _median_of_others(values: np.ndarray) -> np.ndarray:
    """(12, …): the median over the three other layers of the superlayer."""
    v = values.reshape(3, 4, *values.shape[1:])
    result = np.empty_like(v)
    for layer in range(4):
        a, b, c = (v[:, other] for other in range(4) if other != layer)
        result[:, layer] = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return result.reshape(values.shape)


def _capped(x: np.ndarray, layout: _Layout) -> np.ndarray:
    """Counts with what stands far above the layer's upper quartile cut down."""
    ordered = np.sort(np.where(layout.mask > 0, x, np.float32(np.inf)), axis=-1)
    at = np.minimum((0.75 * layout.lengths).astype(int), x.shape[2] - 1)[..., None]
    quartile = np.take_along_axis(ordered, np.broadcast_to(at, (LAYERS, x.shape[1], 1)), axis=-1)
    quartile = np.where(np.isfinite(quartile), quartile, 0)
    return np.minimum(x, 3 * quartile + 5 * np.sqrt(quartile + 1))


def _chamber_rate(rates: np.ndarray, layout: _Layout) -> np.ndarray:
    """(k,): the mean rate of the layers that have at least half of what the best but one has."""
    exists = layout.exists[:, None]
    best = np.sort(rates * exists, axis=0)[-2]
    alive = (rates >= best / 2) & (exists > 0)
    return (np.minimum(rates, 2 * best) * alive).sum(axis=0) / np.maximum(alive.sum(axis=0), 1)


def _shape(x: np.ndarray, layout: _Layout) -> np.ndarray:
    """Hits a cell that a smooth curve through the four layers of a superlayer expects; float32 (12, k, W).

    A polynomial in √hits, fitted to the parts of the layers by reweighted least squares (Holland and Welsch 1977):
    what lies off the curve loses its weight.
    """
    k = x.shape[1]
    cells = np.maximum(layout.part_cells, 1)
    means = (x @ layout.parts) / cells  # (12, k, 16)
    y = np.sqrt(means + 0.25 / cells).reshape(3, 4, k, _PARTS).transpose(0, 2, 1, 3).reshape(3, k, 4 * _PARTS)
    weight0 = np.broadcast_to(layout.part_cells.reshape(3, 4, 1, _PARTS), (3, 4, k, _PARTS))
    weight0 = weight0.transpose(0, 2, 1, 3).reshape(3, k, 4 * _PARTS)
    spread = 0.5 / np.sqrt(np.maximum(weight0, 1))
    basis = layout.basis  # (3, 64, 5)
    top = np.sort(y, axis=-1)[..., int(0.7 * 4 * _PARTS), None]
    weight = weight0 * np.where(y < 0.6 * top, np.float32(0.05), np.float32(1))
    ridge = np.diag(np.array([1e-3, 0.3, 1.0, 3.0, 6.0], np.float32)).ravel()
    for _ in range(3):
        left = (weight @ layout.squares + ridge).reshape(3, k, _DEGREE + 1, _DEGREE + 1)
        right = (weight * y) @ basis
        fitted = np.linalg.solve(left, right[..., None])[..., 0]
        curve = fitted @ basis.transpose(0, 2, 1)
        limit = 2.5 * np.sqrt(spread**2 + (0.05 * np.abs(curve)) ** 2)
        weight = weight0 / (1 + ((y - curve) / limit) ** 2) ** 2
    values = (np.repeat(fitted, 4, axis=0) @ layout.at_cells).clip(0.35 * np.repeat(top, 4, axis=0), None)
    return (values**2).astype(np.float32) * layout.mask


@lru_cache(maxsize=256)
def _layout(cells: bytes, columns: int) -> _Layout:
    exists = np.frombuffer(cells, bool).reshape(LAYERS, columns)
    lengths = exists.sum(axis=1)
    columns_of = np.arange(columns)
    smoothing = np.zeros((2, 3, columns, columns))
    reach = np.ones((2, LAYERS, 1, columns))
    pooling, windows = np.zeros((2, LAYERS, columns, BINS))
    parts = np.zeros((LAYERS, columns, _PARTS))
    slots = np.zeros((LAYERS, BINS, _SLOTS), int)
    basis, at_cells = np.zeros((3, 4, _PARTS, _DEGREE + 1)), np.zeros((LAYERS, _DEGREE + 1, columns))
    for superlayer in range(3):
        rows = range(4 * superlayer, 4 * superlayer + 4)
        length = max(1, int(max((np.flatnonzero(exists[row])[-1] + 1 for row in rows if lengths[row]), default=1)))
        distance = columns_of[:, None] - columns_of
        for i, sigma in enumerate(_SMOOTH):
            kernel = np.exp(-0.5 * (distance / (sigma * length)) ** 2)
            smoothing[i, superlayer] = np.where(kernel > 1e-4, kernel, 0)
        position = np.clip((2 * columns_of + 1) / length - 1, -1, 1)
        for row in rows:
            existing = np.flatnonzero(exists[row])
            at_cells[row] = np.polynomial.legendre.legvander(position, _DEGREE).T
            if not existing.size:
                continue
            reach[:, row, 0] = np.maximum(exists[row] @ smoothing[:, superlayer], 1e-3)
            edges = np.round(np.arange(BINS + 1) * existing.size / BINS).astype(int)
            for b in range(BINS):
                inside = existing[edges[b] : max(edges[b + 1], edges[b] + 1)]
                inside = inside if inside.size else existing[-1:]
                pooling[row, inside, b] = 1 / inside.size
                middle = (inside[0] + inside[-1]) / 2
                windows[row, existing[abs(existing - middle) <= 3.5], b] = 1
                slots[row, b] = np.resize(inside[:_SLOTS], _SLOTS)
            part = np.minimum((position[existing] + 1) / 2 * _PARTS, _PARTS - 1).astype(int)
            parts[row, existing, part] = 1
        middle = np.linspace(-1, 1, 2 * _PARTS + 1)[1::2]
        basis[superlayer] = np.polynomial.legendre.legvander(middle, _DEGREE)
    phases = np.concatenate([columns_of[:, None] % step == np.arange(step) for step in STEPS], axis=1)
    f = np.float32
    return _Layout(
        mask=exists[:, None].astype(f),
        lengths=np.maximum(lengths, 1)[:, None].astype(f),
        smoothing=smoothing.astype(f),
        reach=reach.astype(f),
        pooling=pooling.astype(f),
        windows=windows.astype(f),
        slots=(slots + columns * np.arange(LAYERS)[:, None, None]).reshape(-1, _SLOTS).T.copy(),
        parts=parts.astype(f),
        part_cells=parts.sum(axis=1)[:, None].astype(f),
        basis=basis.reshape(3, 4 * _PARTS, _DEGREE + 1).astype(f),
        squares=(basis[..., :, None] * basis[..., None, :]).reshape(3, 4 * _PARTS, -1).astype(f),
        at_cells=at_cells.astype(f),
        phases=phases.astype(f),
        exists=(lengths > 0).astype(f),
    )
