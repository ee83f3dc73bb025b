"""The quality of scores: ROC, its area, share found at a false-alarm rate, reliability. Numbers only.

The curve and its area come from scikit-learn; the areas of 200 resamples are our own, in less than half the time: the
layers are sorted once, and a resample only weights them differently.

A layer has a score, is good or bad, and belongs to a chamber. Intervals come from resampling whole chambers (Efron's
bootstrap of 1979, by cluster): the layers of a chamber share profile, rate and often defects, so resampling single
layers would give intervals that are too narrow. Not for making scores: see `yardsticks` and `scoring`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 200  # enough for the ends of a 95 % interval to within a tenth of its width
CONFIDENCE = 0.95
LEAST_FALSE_ALARMS = 1e-4  # where the drawn curve begins: a tenth of the lowest rate in the tables
MOST_POINTS = 120  # of a stored curve
MOST_LOG_ODDS = 12.0  # a score of 0.999994: beyond it, points are chosen by the share flagged alone
RELIABILITY_BINS = 10

_AT_ONCE = 20  # resamples: 20 × 40,000 layers are 6 MB
_ROUNDING = 1e-9  # so that 0.29 × 100 allows 29 layers


@dataclass(frozen=True, eq=False)
class Ranking:
    """Layers by falling score; layers with equal scores form a group, since no threshold separates them.

    Attributes:
        cuts: float (groups,), falling: the scores that occur.
        order: int (layers,), the layers by falling score.
        starts: int (groups,), where in `order` each score begins.
        bad: bool (layers,), of the layers in their own order.
    """

    cuts: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    bad: np.ndarray

    @classmethod
    def of(cls, bad: np.ndarray, scores: np.ndarray) -> Ranking:
        """
        Args:
            bad: bool (layers,).
            scores: float (layers,), finite, greater = worse.
        """
        scores = np.asarray(scores, np.float64)
        if not np.isfinite(scores).all():
            raise ValueError(f"a score is {scores[~np.isfinite(scores)][0]}")
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if scores.size else order
        return cls(ordered[starts], order, starts, np.asarray(bad, bool))

    def above(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """How many good and how many bad layers score at or above each cut.

        Args:
            weights: float (…, layers), how often each layer counts; once, if not given.

        Returns:
            float64 (…, groups) twice.
        """
        weights = np.ones(len(self.bad)) if weights is None else weights
        both = (np.where(self.bad, 0.0, weights), np.where(self.bad, weights, 0.0))
        good, bad = (np.add.reduceat(some[..., self.order], self.starts, axis=-1).cumsum(axis=-1) for some in both)
        return good, bad


@dataclass(frozen=True)
class Interval:
    """A figure, and the interval that contains 95 % of its values when chambers are resampled."""

    value: float
    low: float
    high: float


def area_under_roc(bad: np.ndarray, scores: np.ndarray) -> float:
    """The probability that a bad layer scores higher than a good one; a tie counts half (Mann and Whitney 1947).

    Args:
        bad: bool (layers,), of both kinds.
        scores: float (layers,), finite, greater = worse.

    >>> area_under_roc(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.9]))
    0.875
    """
    from sklearn.metrics import roc_auc_score  # slow to import, and not needed by pages

    return float(roc_auc_score(bad, scores))


def areas(good: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """`area_under_roc` of many resamples of the same layers at once.

    Args:
        good, bad: float (…, groups), from `Ranking.above`.

    Returns:
        float64 (…); NaN without good or without bad layers.
    """
    goods, bads = good[..., -1], bad[..., -1]
    here = np.diff(bad, axis=-1, prepend=0)
    before = good - np.diff(good, axis=-1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (here * (goods[..., None] - (before + good) / 2)).sum(axis=-1) / (goods * bads)


def last_allowed(good: np.ndarray, false_alarms: float) -> np.ndarray:
    """int (…): the last cut at which at most this share of good layers is flagged; −1 if there is none."""
    return (good <= good[..., -1:] * false_alarms + _ROUNDING).sum(axis=-1) - 1


def found_at(good: np.ndarray, bad: np.ndarray, false_alarms: float) -> np.ndarray:
    """The share of bad layers found when at most this share of good ones is flagged.

    A threshold flags a score with all its layers: if too many good layers share it, none of them is flagged.
    Arguments and NaN as for `areas`.
    """
    at = last_allowed(good, false_alarms)
    there = np.take_along_axis(bad, np.maximum(at, 0)[..., None], axis=-1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(at < 0, 0.0, there) / np.where(good[..., -1] > 0, bad[..., -1], np.nan)


def bootstrap(ranking: Ranking, chambers: np.ndarray, false_alarms: tuple[float, ...], seed: int) -> list[Interval]:
    """The area, then the share found at each false-alarm rate, with intervals.

    Args:
        ranking: of layers of both kinds.
        chambers: int (layers,), which chamber each belongs to, from 0.
        false_alarms: the rates.
        seed: of the resamples; the same seed draws the same chambers, so that methods are compared on equal terms.

    Raises:
        ValueError: there are no good layers, or no bad ones.
    """
    count = int(chambers.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / max(count, 1)), size=RESAMPLES)
    value = _figures(*ranking.above(), false_alarms)
    if np.isnan(value).any():
        raise ValueError("figures need both good and bad layers")
    parts = [
        _figures(*ranking.above(drawn[i : i + _AT_ONCE][:, chambers].astype(np.float64)), false_alarms)
        for i in range(0, RESAMPLES, _AT_ONCE)
    ]
    tail = (1 - CONFIDENCE) / 2
    # A resample without bad chambers is meaningless: with four bad ones, one in fifty is.
    low, high = np.nanquantile(np.concatenate(parts, axis=1), (tail, 1 - tail), axis=1)
    return [Interval(*map(float, one)) for one in zip(value, low, high, strict=True)]


def thinned(bad: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """The ROC: (share of good layers flagged, share of bad ones found), from (0, 0) to (1, 1), thinned evenly in log x.

    All points are on the curve; a curve of few points is kept whole. Arguments as for `area_under_roc`.
    """
    from sklearn.metrics import roc_curve  # slow to import, and not needed by pages

    x, y, _ = roc_curve(bad, scores, drop_intermediate=False)
    kept = np.arange(len(x))
    if len(x) > MOST_POINTS:
        grid = np.geomspace(LEAST_FALSE_ALARMS, 1, MOST_POINTS - 2)
        last = np.searchsorted(x, grid, side="right") - 1
        kept = np.unique(np.append(last, [0, np.searchsorted(x, 0, side="right") - 1]))
    return list(zip(x[kept].tolist(), y[kept].tolist(), strict=True))


def representative(ranking: Ranking) -> np.ndarray:
    """int: representative cuts, ascending, evenly spaced in the share of good layers flagged (log) and in the score
    (log odds); all of them if there are few."""
    if len(ranking.cuts) <= 2 * MOST_POINTS:
        return np.arange(len(ranking.cuts))
    good, _ = ranking.above()
    shares = np.searchsorted(good / good[-1], np.geomspace(LEAST_FALSE_ALARMS, 1, MOST_POINTS), side="right") - 1
    scores = 1 / (1 + np.exp(np.linspace(-MOST_LOG_ODDS, MOST_LOG_ODDS, MOST_POINTS)))
    cuts = np.searchsorted(-ranking.cuts, -scores, side="right") - 1
    return np.unique(np.concatenate((shares, cuts)).clip(0))


@dataclass(frozen=True)
class Bin:
    """Layers with scores in one tenth of 0…1; the last tenth includes 1. No figures without layers."""

    low: float
    high: float
    layers: int
    mean_score: float | None
    bad: float | None  # share of them


def reliability(bad: np.ndarray, scores: np.ndarray) -> tuple[tuple[Bin, ...], float]:
    """The reliability curve, and the expected calibration error: the mean over layers of |mean score − share bad|.

    Args:
        bad: bool (layers,), or P(bad).
        scores: float (layers,), 0…1; at least one.

    >>> bins, error = reliability(np.array([True, False, True, True]), np.array([0.75, 0.75, 0.75, 1.0]))
    >>> bins[7].layers, round(bins[7].bad, 3), round(error, 4)
    (3, 0.667, 0.0625)
    """
    # Not scikit-learn's calibration_curve: it counts no layers, and a score of 0.3 is in the tenth below to it.
    index = np.minimum((scores * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    layers, sums, bads = (
        np.bincount(index, weights, RELIABILITY_BINS) for weights in (np.ones(len(scores)), scores, bad.astype(float))
    )
    bins = []
    for i, count in enumerate(layers.astype(int).tolist()):
        mean, share = (float(sums[i] / count), float(bads[i] / count)) if count else (None, None)
        bins.append(Bin(i / RELIABILITY_BINS, (i + 1) / RELIABILITY_BINS, count, mean, share))
    return tuple(bins), float(abs(sums - bads).sum() / len(scores))


def _figures(good: np.ndarray, bad: np.ndarray, false_alarms: tuple[float, ...]) -> np.ndarray:
    """float64 (1 + rates, …)."""
    return np.stack([areas(good, bad), *(found_at(good, bad, rate) for rate in false_alarms)])
