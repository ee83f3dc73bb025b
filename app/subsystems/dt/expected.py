"""The expected hits of each cell, derived from the chamber itself: a smooth profile unaffected by its defects.

The four layers of a superlayer share one profile, smooth along the layer: a spline fitted to all four, excluding cells
that do not follow it. If all four share a defect, which cells are outliers depends on the starting point: the spline is
fitted starting from all cells, from the highest and from the lowest, and the fit is chosen that explains the counts
best with the fewest outlying stretches and the most ordinary rate. Not for what is wrong: see `findings`.

Sources: P. Eilers and B. Marx, Flexible smoothing with B-splines and penalties, Statistical Science 11 (1996) 89;
for the roots of counts, F. Anscombe, Biometrika 35 (1948) 246.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from app.subsystems.dt.geometry import Chamber, superlayer_of
from app.subsystems.dt.histogram import Occupancy

SUPERLAYERS, SHARING = 3, 4  # superlayers of a chamber, layers of a superlayer

_INTERVALS = 6  # intervals of the spline: 8 to 16 cells each, so that it cannot follow the edges of a dead block
_BEND = 0.15  # typical second difference of the spline's coefficients, log(hits): the bumps of real profiles
_SLOPE = 0.35  # typical first difference: the tilts of real profiles; constrains ends that the fit must exclude
_STEPS = 4  # of Newton's method, from a constant: further ones change nothing visible
_STEPS_AGAIN = 2  # the same, from the fit before
_ROUNDS = 4  # rounds of fitting and excluding outliers

_ODD_AT_ALL_SIGMAS = 3.2  # if no cell is this far off, the first fit is final
_ODD_STILL = (0.75, 1.33)  # a cell that was left out stays out beyond these, or the spline would creep into a dead
_ODD_STILL_SIGMAS = 2.0  # block cell by cell, if it is so far off
_ODD_ALONE_SIGMAS = 5.0  # a single cell is excluded if it is this far off
_BACK = 3.0  # log(likelihood) by which a cell must fit the profile better than it fits those near it, to be kept

_NEAR = 3  # cells to either side that a cell is looked at together with: 7 are the least that resolve a block of 6
_ODD = (0.6, 1.7)  # times the fit: cells below or above are left out of it, if
_ODD_SIGMAS = 3.0  # they are so far off
_ALIVE = (80, 0.5)  # start from the highest: cells above half of their layer's 80th percentile
_QUIET = (20, 2.0)  # start from the lowest: cells below twice their layer's 20th percentile
_STRETCH_COST = 8.0  # log-likelihood that an odd stretch must gain: where it begins and ends, log(60²/2)
_CELL_COST = 0.2  # and each of its cells: what a mean of 7 cells gains by having seen the cell itself
_RATE_SPREAD = 0.2  # typical log(rate of a superlayer over the chamber's); only to choose between starts

_HOT_ABOVE = 2.5  # times its neighbours and its layer: a cell beyond is left out of every sum, if
_HOT_SIGMAS = 5.0  # it is so far off
_DEAD_BELOW = 0.4  # of its neighbours: a dead cell, if
_DEAD_SIGMAS = 4.0  # it is so far off, and if
_DEAD_ALONE = 3  # no more than so many of its layer are: 3 of the shortest layer's 47 happen in good chambers


@dataclass(frozen=True, eq=False)
class Superlayers:
    """All superlayers of one length in a batch of chambers.

    Attributes:
        chambers: int (s,), which chamber of the batch each belongs to.
        numbers: int (s,), 0, 1 or 2: superlayer 1, 2 or 3.
        counts: float64 (s, 4, length), hits per cell from cell 1 on; 0 where no cell exists.
        cells: bool (s, 4, length), which cells exist.
        hot: bool (s, 4, length), single cells far above their neighbours: no measure of anything.
        dead: bool (s, 4, length), a few isolated dead cells: likewise.
    """

    chambers: np.ndarray
    numbers: np.ndarray
    counts: np.ndarray
    cells: np.ndarray
    hot: np.ndarray
    dead: np.ndarray

    @property
    def length(self) -> int:
        return self.counts.shape[-1]

    @property
    def use(self) -> np.ndarray:
        """bool (s, 4, length): the cells that count."""
        return self.cells & ~self.hot & ~self.dead


@dataclass(frozen=True, eq=False)
class Profiles:
    """The expected profiles of superlayers.

    Attributes:
        shape: float64 (s, length), hits per cell; its scale is arbitrary.
        follows: bool (s, 4, length): the cells used in the fit.
    """

    shape: np.ndarray
    follows: np.ndarray


def superlayers(occupancies: Sequence[Occupancy]) -> list[Superlayers]:
    """Split chambers into superlayers, one batch per length; the cells are aligned by their number."""
    alike: dict[int, list[tuple[int, int]]] = {}
    for i, occupancy in enumerate(occupancies):
        for number, length in _lengths(occupancy.chamber):
            alike.setdefault(length, []).append((i, number))
    batches = []
    for length, those in sorted(alike.items()):
        counts = np.stack([occupancies[i].counts[4 * n : 4 * n + SHARING, :length] for i, n in those])
        cells = np.stack([occupancies[i].cells[4 * n : 4 * n + SHARING, :length] for i, n in those])
        counts = np.where(cells, counts, 0.0)
        chambers, numbers = np.array(those).T
        batches.append(
            Superlayers(chambers, numbers, counts, cells, hot_cells(counts, cells), dead_alone(counts, cells))
        )
    return batches


def dead_alone(counts: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Up to three cells of a layer far below both neighbours, as in good chambers.

    More may be a pattern, or scattered, and are left to be found. Arguments as in `hot_cells`.
    """
    padded = np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(1, 1)], mode="reflect")
    reference = np.minimum(padded[..., :-2], padded[..., 2:])
    dead = cells & (counts < _DEAD_BELOW * reference) & (_roots(reference) - _roots(counts) > _DEAD_SIGMAS)
    return dead & (dead.sum(axis=-1, keepdims=True) <= _DEAD_ALONE)


def hot_cells(counts: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Cells far above both their layer's mean and three of the two cells to either side.

    Two adjacent hot cells are both found; of more, the inner ones are not: these form a small noisy block.

    Args:
        counts: float64 (..., length), 0 where no cell is.
        cells: bool (..., length).
    """
    ends = [(0, 0)] * (counts.ndim - 1)
    padded = np.pad(counts, [*ends, (2, 2)])
    length = counts.shape[-1]
    a, b, c, d = (padded[..., i : i + length] for i in (0, 1, 3, 4))
    left, right = np.maximum(a, b), np.maximum(c, d)
    second = np.maximum(np.minimum(left, right), np.where(left > right, np.minimum(a, b), np.minimum(c, d)))
    others = np.maximum(cells.sum(axis=-1, keepdims=True) - 1, 1)
    reference = np.maximum(second, (counts.sum(axis=-1, keepdims=True) - counts) / others)
    return cells & (counts > _HOT_ABOVE * reference) & (_roots(counts) - _roots(reference) > _HOT_SIGMAS)


def levels(batch: Superlayers) -> np.ndarray:
    """Hits per cell of each layer: the 30th, 50th and 70th percentile of its running mean. float64 (s, 4, 3)."""
    return np.moveaxis(np.percentile(_running(batch), (30, 50, 70), axis=-1), 0, -1)


def fit_profiles(batch: Superlayers, rates: np.ndarray) -> Profiles:
    """Fit the profile of each superlayer.

    Args:
        batch: s superlayers.
        rates: float64 (s,), hits per cell of their chambers: decides which of two levels is the ordinary one.
    """
    running, use = _running(batch), batch.use
    shape, _ = _fit(batch, use, None, _STEPS)
    strange = (use & _odd(batch, use, shape, _ODD, _ODD_AT_ALL_SIGMAS)).any(axis=(1, 2))
    follows = use.copy()
    if strange.any():
        part = _take(batch, strange)
        starts = (part.use, *_starts(part, running[strange]))
        tripled = _stack([part] * len(starts))
        shapes, kept, cost = _robust(tripled, np.concatenate(starts), np.tile(rates[strange], len(starts)))
        best = cost.reshape(len(starts), -1).argmin(axis=0)
        chosen = best * len(part.counts) + np.arange(len(part.counts))
        shape[strange], follows[strange] = shapes[chosen], kept[chosen]
    return Profiles(shape, follows)


def _starts(batch: Superlayers, running: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells near each layer's highest level, and those near its lowest: bool (s, 4, length) each."""
    high, low = (np.percentile(running, share, axis=-1, keepdims=True) for share in (_ALIVE[0], _QUIET[0]))
    dark = (batch.counts < _ALIVE[1] * high) & (_roots(high) - _roots(batch.counts) > _ODD_SIGMAS)
    return (
        batch.use & ~dark & (running >= _ALIVE[1] * high) & (running <= high / _ALIVE[1]),
        batch.use & (running <= _QUIET[1] * low),
    )


def _robust(batch: Superlayers, start: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit, exclude outliers, fit again. Returns the shapes, the cells used, and the cost of each fit."""
    use, follows = batch.use, start
    shape, logs = _fit(batch, follows, None, _STEPS)
    for _ in range(_ROUNDS):
        odd = _odd(batch, follows, shape, _ODD, _ODD_SIGMAS)
        follows = use & ~odd & (follows | ~_odd(batch, follows, shape, _ODD_STILL, _ODD_STILL_SIGMAS))
        shape, logs = _fit(batch, follows, logs, _STEPS_AGAIN)
    return shape, follows, _cost(batch, follows, shape, logs, rates)


def _cost(
    batch: Superlayers, follows: np.ndarray, shape: np.ndarray, logs: np.ndarray, rates: np.ndarray
) -> np.ndarray:
    """−log(likelihood) of all counts, with a smooth factor for each outlying stretch, plus the cost of these."""
    scales = _scales(batch, follows, shape)
    expected = np.where(batch.use, np.maximum(scales[..., None] * shape[:, None, :], 1e-6), 0)
    odd = batch.use & ~follows
    before = np.pad(odd, ((0, 0), (0, 0), (1, 0)))[..., :-1]
    starts = odd & ~before
    near = np.maximum(box(batch.counts * odd) / np.maximum(box(expected * odd), 1e-9), 1e-9)
    own = np.where(odd, np.maximum(batch.counts * np.log(near) - expected * (near - 1), 0), 0)  # 0: as the fit says
    of_expected = np.log(np.maximum(expected, 1e-6))
    cost = np.where(batch.use, expected - batch.counts * of_expected - own, 0).sum(axis=(1, 2))
    rate = (scales * shape.mean(axis=-1, keepdims=True)).max(axis=1)
    unusual = np.log(np.maximum(rate, 1e-3) / np.maximum(rates, 1e-3)) / _RATE_SPREAD
    _, penalty = _basis(batch.length)
    bent = 0.5 * np.einsum("sk,kj,sj->s", logs, penalty, logs)
    cost += _STRETCH_COST * starts.sum(axis=(1, 2)) + _CELL_COST * odd.sum(axis=(1, 2))
    return cost + 0.5 * unusual**2 + bent


def _fit(batch: Superlayers, follows: np.ndarray, logs: np.ndarray | None, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The penalised Poisson fit of one shape to four layers, each with its own scale.

    Returns:
        float64 (s, length) shape, and float64 (s, k), its logarithm's spline coefficients.
    """
    basis, penalty = _basis(batch.length)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(batch.length, -1)
    counts = np.where(follows, batch.counts, 0)
    hits = counts.sum(axis=1)
    shape = np.ones((len(hits), batch.length)) if logs is None else np.exp(logs @ basis.T)
    scales = _scales(batch, follows, shape)
    exposure = (follows * scales[..., None]).sum(axis=1)
    if logs is None:
        logs = np.zeros((len(hits), basis.shape[1]))
    for step in range(steps):
        mean = exposure * np.exp(logs @ basis.T)
        gradient = (hits - mean) @ basis - logs @ penalty
        hessian = (mean @ products).reshape(len(hits), *penalty.shape) + penalty
        logs = logs + np.linalg.solve(hessian, gradient[..., None])[..., 0].clip(-1.5, 1.5)
        if step == steps - 2:
            scales = _scales(batch, follows, np.exp(logs @ basis.T))
            exposure = (follows * scales[..., None]).sum(axis=1)
    return np.exp(logs @ basis.T), logs


def _scales(batch: Superlayers, follows: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The rate of each layer's used cells, over the shape: float64 (s, 4); 0 if none is used."""
    hits = (batch.counts * follows).sum(axis=-1)
    return hits / np.maximum((follows * shape[:, None, :]).sum(axis=-1), 1e-9)


def _odd(
    batch: Superlayers, follows: np.ndarray, shape: np.ndarray, limits: tuple[float, float], sigmas: float
) -> np.ndarray:
    """bool (s, 4, length): cells that, alone or with their neighbours, are beyond the limits and this far off."""
    low, high = limits
    expected = _scales(batch, follows, shape)[..., None] * shape[:, None, :]
    hits, should = (box(np.where(batch.use, a, 0)) for a in (batch.counts, expected))
    together = (abs(_roots(hits) - _roots(should)) > sigmas) & ((hits < low * should) | (hits > high * should))
    counts, near = batch.counts, np.log(np.maximum(hits, 0.1) / np.maximum(should, 0.1))
    back = counts * near - expected * np.expm1(near) < -_BACK
    alone = (counts < low * expected) | (counts > high * expected)
    return (together & ~back) | (alone & (abs(_roots(counts) - _roots(expected)) > _ODD_ALONE_SIGMAS))


def _running(batch: Superlayers) -> np.ndarray:
    """Mean hits of each cell and its neighbours, excluding hot ones: float64 (s, 4, length)."""
    return box(np.where(batch.use, batch.counts, 0)) / np.maximum(box(batch.use.astype(float)), 1)


def box(values: np.ndarray) -> np.ndarray:
    """The sum over each cell and up to three on either side; along the last axis."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 2 * _NEAR + 1))
    sums[..., _NEAR + 1 : -_NEAR] = values
    np.cumsum(sums, axis=-1, out=sums)
    return sums[..., 2 * _NEAR + 1 :] - sums[..., : -2 * _NEAR - 1]


def _roots(counts: np.ndarray) -> np.ndarray:
    """Poisson counts transformed to a standard deviation of about 1."""
    return 2 * np.sqrt(np.maximum(counts, 0) + 0.375)


def _take(batch: Superlayers, which: np.ndarray) -> Superlayers:
    return Superlayers(*(getattr(batch, field.name)[which] for field in fields(batch)))


def _stack(batches: Sequence[Superlayers]) -> Superlayers:
    return Superlayers(*(np.concatenate([getattr(b, field.name) for b in batches]) for field in fields(Superlayers)))


@cache
def _lengths(chamber: Chamber) -> tuple[tuple[int, int], ...]:
    """(superlayer 0–2, its last cell) of a chamber."""
    last: dict[int, int] = {}
    for layer in chamber.layers:
        number = superlayer_of(layer.number) - 1
        last[number] = max(last.get(number, 0), layer.last_cell)
    return tuple(last.items())


@cache
def _basis(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubic B-splines on the cells of a layer, float64 (length, k), and the penalty matrix, float64 (k, k)."""
    place = (np.arange(length) + 0.5) / length * _INTERVALS
    interval = np.minimum(place.astype(int), _INTERVALS - 1)
    t = place - interval
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    number = _INTERVALS + 3
    basis = np.zeros((length, number))
    for i, piece in enumerate(pieces):
        basis[np.arange(length), interval + i] = piece / 6
    bend = np.diff(np.eye(number), n=2, axis=0) / _BEND
    slope = np.diff(np.eye(number), axis=0) / _SLOPE
    return basis, bend.T @ bend + slope.T @ slope + 1e-6 * np.eye(number)
