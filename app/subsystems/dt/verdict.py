"""The verdict on each layer: a score with its verdict, or why there is none.

Two verdicts precede any network, because no network should have to guess them: a layer without hits in a chamber with
enough statistics is *empty*, and bad; a chamber with too few hits is *unjudged*. Not for the network: see `app.ml`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.judgement import Judgement, Verdict, reached
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.preprocess import BINS

# Hits per cell that a chamber needs to be judged. Below it, a layer that lost 30 % of its hits cannot be told from a
# good one: compare a layer of 50 cells with its 3 siblings (given all their hits N, the layer's own are binomial with
# N and 1/4) and call it bad where it has so few that a good one has as few in 1 % of cases. That test finds
# 47 % of such losses at 1.4 hits per cell, 51 % at 1.5, 66 % at 2 and 95 % at 4. A test repeats the calculation.
LEAST_HITS_A_CELL = 1.5

# Hits that must be expected of a layer for it to be called empty: a good layer has none in exp(−10) = 0.005 %.
LEAST_HITS_EXPECTED = 10

_HALF = (-65_504.0, 65_504.0)  # what a float16 holds


@dataclass(frozen=True, eq=False)
class Prejudgement:
    """The verdicts on n chambers before any network.

    Attributes:
        verdicts: object (n, 12) of EMPTY, UNJUDGED, ABSENT, or None for layers that a network is to judge.
        reasons: object (n, 12) of str.
        rates: float (n,): hits per cell where the chamber is alive.
    """

    verdicts: np.ndarray
    reasons: np.ndarray
    rates: np.ndarray

    @property
    def open(self) -> np.ndarray:
        """bool (n, 12): the layers that a network is to judge."""
        return np.equal(self.verdicts, np.array(None))


def hits_a_cell(bins: np.ndarray) -> np.ndarray:
    """The hits per cell of each chamber where it is alive.

    The unit is half a layer, so that neither dead layers nor a dead half of the chamber count: the mean over the halves
    with at least half the rate of the best one. Bins further above their half's median than Poisson allows are capped
    first, because hot cells are not statistics.

    Args:
        bins: float (n, 12, 47), hits per cell, NaN for absent layers.

    Returns:
        float64 (n,); 0 for a chamber without hits.
    """
    middle = BINS // 2
    halves = np.stack((bins[..., :middle], bins[..., -middle:]), axis=2, dtype=np.float64)
    median = np.partition(halves, middle // 2, axis=-1)[..., middle // 2, None]
    means = np.minimum(halves, median + 4 * np.sqrt(median + 1)).mean(axis=-1).reshape(len(bins), 2 * LAYERS)
    means = np.nan_to_num(means, nan=-1.0)
    alive = (means >= means.max(axis=1, keepdims=True) / 2) & (means >= 0)
    return np.where(alive, means, 0).sum(axis=1) / np.maximum(alive.sum(axis=1), 1)


def judge_before(occupancies: Sequence[Occupancy], bins: np.ndarray) -> Prejudgement:
    """The verdicts that need no network: absent layers, chambers with too few hits, empty layers.

    Args:
        occupancies: n chambers.
        bins: float (n, 12, 47), their `preprocess.layer_bins`.

    >>> from app.subsystems.dt.geometry import Chamber
    >>> from app.subsystems.dt.preprocess import layer_bins
    >>> chamber = Chamber(wheel=0, station=1, sector=1)
    >>> counts = np.where(chamber.read_out, 3, -1)
    >>> counts[2, chamber.read_out[2]] = 0
    >>> judge_before([Occupancy(chamber, counts)], layer_bins([Occupancy(chamber, counts)])).reasons[0, 2]
    'no hits, 147 expected'
    """
    shape = (len(occupancies), LAYERS)
    verdicts, reasons = np.full(shape, None, object), np.full(shape, "", object)
    rates = hits_a_cell(bins)
    few = rates < LEAST_HITS_A_CELL
    verdicts[few] = Verdict.UNJUDGED
    reasons[few] = np.array([_too_few(rate) for rate in rates[few]], object)[:, None]
    for i, row in np.argwhere((bins == 0).all(axis=-1) & ~few[:, None]):
        cells = occupancies[i].row(row + 1)
        expected = rates[i] * cells.size
        if cells.any():
            continue  # a hit between two bins
        if expected >= LEAST_HITS_EXPECTED:
            verdicts[i, row], reasons[i, row] = Verdict.EMPTY, f"no hits, {expected:.0f} expected"
        else:
            verdicts[i, row], reasons[i, row] = Verdict.UNJUDGED, f"no hits, but only {expected:.0f} expected"
    absent = np.isnan(bins[..., 0])
    verdicts[absent], reasons[absent] = Verdict.ABSENT, ""
    return Prejudgement(verdicts, reasons, rates)


def judge(
    before: Prejudgement, scores: np.ndarray, threshold: float, embeddings: np.ndarray | None = None
) -> list[Judgement]:
    """Make the judgements of n chambers.

    Args:
        before: the verdicts before the network.
        scores: float (layers,), the network's P(bad) of `before.open`, in that order.
        threshold: the score from which a layer is bad.
        embeddings: float (layers, any), of the same layers.
    """
    verdicts, reasons = before.verdicts.copy(), before.reasons.copy()
    is_open, scores = before.open, scores.astype(np.float64)
    bad = scores >= threshold
    verdicts[is_open] = np.where(bad, np.array(Verdict.BAD, object), np.array(Verdict.GOOD, object))
    written = np.full(scores.shape, "", object)
    written[bad] = [reached(score, threshold) for score in scores[bad]]
    reasons[is_open] = written
    every = np.full(verdicts.shape, np.nan)
    every[is_open] = scores
    every[verdicts == Verdict.EMPTY] = 1.0
    unknown, certainties = np.isnan(every), np.fmin.reduce(np.abs(0.5 - every), axis=1).astype(object)
    every = every.astype(object)
    every[unknown], certainties[unknown.all(axis=1)] = None, None
    kept = [None] * len(verdicts) if embeddings is None else _least_certain(is_open, scores, embeddings)
    rows = zip(every.tolist(), verdicts.tolist(), reasons.tolist(), certainties.tolist(), kept, strict=True)
    return [Judgement(tuple(s), tuple(v), tuple(r), c, e, threshold) for s, v, r, c, e in rows]


def _least_certain(is_open: np.ndarray, scores: np.ndarray, embeddings: np.ndarray) -> list[bytes | None]:
    """For each chamber, the embedding of the least certain layer that the network saw."""
    certainty = np.full(is_open.shape, np.inf)
    certainty[is_open] = np.abs(0.5 - scores)
    index = np.zeros(is_open.shape, int)
    index[is_open] = np.arange(len(scores))
    small = np.clip(embeddings, *_HALF).astype(np.float16)
    return [
        small[index[i, row]].tobytes() if is_open[i, row] else None
        for i, row in enumerate(certainty.argmin(axis=1).tolist())
    ]


def _too_few(rate: float) -> str:
    return f"too few hits: {math.floor(100 * rate) / 100:g} a cell, {LEAST_HITS_A_CELL:g} needed"
