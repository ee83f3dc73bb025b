"""The methods that a network must beat: statistics of a row, two learned ones, and CMS's rules. Higher is worse.

The first four see one row of 47 bins, scaled by its own maximum, as in the study of 2018 (Pol et al., Comput. Softw.
Big Sci. 3 (2019) 3, arXiv:1808.00911). CMS's rules see the counts; they are those of `DTOccupancyTest` in CMSSW
(DQM/DTMonitorClient). None of them is used to judge a run. Not for the figures: see `evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.subsystems.dt.findings import (
    BLOCK_SIGMAS,
    LOW_RATE_SIGMAS,
    PATTERN_SIGMAS,
    SCATTERED_SIGMAS,
    findings,
)
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.preprocess import layer_bins, row_scaled
from app.subsystems.dt.simulate import simulate_chambers
from app.subsystems.dt.verdict import judge_before

FITTED_CHAMBERS = 600  # simulated, for the two learned ones
MOST_ROWS = 4_000  # good rows to which they are fitted; more take longer and change no figure by more than its interval
SVM_OUTSIDE = 0.1  # ν: the share of good rows that may lie outside
TREES = 100

LEAST_HITS = 2_200  # of a chamber: below it CMS's fractions are not used
NOT_EMPTY = (0.9, 0.75, 0.5, 0.2)  # share of the cells with hits: below the first it is 1, below the last 4
EMPTY_IN_A_ROW = 7

STATISTICS = "simple statistics"

ANY_FINDING = min(BLOCK_SIGMAS, PATTERN_SIGMAS, SCATTERED_SIGMAS, LOW_RATE_SIGMAS)  # what makes a layer bad has more

Scores = Callable[[Sequence[Occupancy], np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Yardstick:
    """A method by name.

    Attributes:
        name: short, for tables and legends.
        words: a description of what it does.
        scores: takes n chambers and their float32 (n, 12, 47) `layer_bins`; gives float64 (n, 12), finite where the
            chamber has the layer.
        threshold: the score from which it calls a layer bad, if the method defines one.
    """

    name: str
    words: str
    scores: Scores
    threshold: float | None = None


def yardsticks(seed: int) -> list[Yardstick]:
    """All of them, ready.

    Args:
        seed: of the simulated chambers to which two of them are fitted.
    """
    rows = good_rows(seed)
    return [
        Yardstick(
            STATISTICS, "the findings that would make a layer bad, by their significance", statistics, ANY_FINDING
        ),
        Yardstick("variance", "the variance of the scaled row", variance),
        Yardstick("Sobel", "the greatest response of a Sobel filter along the scaled row", sobel),
        Yardstick("one-class SVM", f"distance from {len(rows):,} good scaled rows (ν = {SVM_OUTSIDE:g})", _svm(rows)),
        Yardstick(
            "isolation forest", f"how few cuts part a row from {len(rows):,} good scaled rows", _forest(rows, seed)
        ),
        Yardstick("CMS chamber code", "CMS's rule: the chamber's share of cells with hits", cms_chamber_code, 1),
        Yardstick("CMS rule by layer", "the same steps on the layer's own share of cells with hits", cms_by_layer, 1),
        Yardstick("7 empty in a row", "CMS's rule: seven or more adjacent cells without hits", seven_in_a_row, 1),
    ]


def simple_statistics() -> Yardstick:
    """The yardsticks on a chamber's page; they need no fitting."""
    return Yardstick(STATISTICS, "the findings that would make a layer bad, by significance", statistics, ANY_FINDING)


def good_rows(seed: int) -> np.ndarray:
    """float32 (rows, 47): scaled rows of good layers that a network would judge, from simulated chambers."""
    chambers = simulate_chambers(FITTED_CHAMBERS, seed)
    occupancies = [chamber.occupancy for chamber in chambers]
    bins = layer_bins(occupancies)
    good = judge_before(occupancies, bins).open & (np.stack([chamber.bad for chamber in chambers]) == 0)
    return row_scaled(bins)[good][:MOST_ROWS]


def statistics(occupancies: Sequence[Occupancy], bins: np.ndarray) -> np.ndarray:
    """The significance of the clearest finding that would make the layer bad, in standard deviations; 0 without one."""
    found = np.zeros((len(occupancies), LAYERS))
    for i, those in enumerate(findings(occupancies)):
        for one in those:
            if one.makes_bad:
                found[i, one.layer - 1] = max(found[i, one.layer - 1], one.significance)
    return found


def variance(occupancies: Sequence[Occupancy], bins: np.ndarray) -> np.ndarray:
    """Of the 47 scaled bins; 0 for an empty row, which is the best there is."""
    return row_scaled(bins.astype(np.float64)).var(axis=-1)


def sobel(occupancies: Sequence[Occupancy], bins: np.ndarray) -> np.ndarray:
    """The greatest |right neighbour − left neighbour| of the scaled row: Sobel's filter in one dimension."""
    scaled = row_scaled(bins.astype(np.float64))
    return abs(scaled[..., 2:] - scaled[..., :-2]).max(axis=-1)


def cms_chamber_code(occupancies: Sequence[Occupancy], bins: np.ndarray) -> np.ndarray:
    """0 to 4 by the chamber's share of cells with hits, the same for all its layers; 0 below 2,200 hits."""
    codes = [_code(np.count_nonzero(one.counts[one.cells]) / one.cells.sum(), one.hits) for one in occupancies]
    return np.repeat(np.array(codes, np.float64)[:, None], LAYERS, axis=1)


def cms_by_layer(occupancies: Sequence[Occupancy], bins: np.ndarray) -> np.ndarray:
    """0 to 4 by the layer's share of cells with hits: kinder to the rule, which CMS applies to chambers."""
    codes = np.zeros((len(occupancies), LAYERS))
    for i, one in enumerate(occupancies):
        cells, hit = one.cells.sum(axis=1), ((one.counts > 0) & one.cells).sum(axis=1)
        codes[i] = _code(np.where(cells > 0, hit / np.maximum(cells, 1), 1), one.hits)
    return codes


def seven_in_a_row(occupancies: Sequence[Occupancy], bins: np.ndarray) -> np.ndarray:
    """1 where seven or more adjacent existing cells are empty, however few hits the chamber has; else 0."""
    found = np.zeros((len(occupancies), LAYERS))
    for i, one in enumerate(occupancies):
        run = one.cells & (one.counts == 0)
        for _ in range(EMPTY_IN_A_ROW - 1):
            run = run[:, 1:] & run[:, :-1]  # one cell longer each time
        found[i] = run.any(axis=1)
    return found


def _code(not_empty: np.ndarray | float, hits: int) -> np.ndarray:
    steps = (np.asarray(not_empty)[..., None] < NOT_EMPTY).sum(axis=-1)
    return steps if hits >= LEAST_HITS else np.zeros_like(steps)


def _svm(rows: np.ndarray) -> Scores:
    from sklearn.svm import OneClassSVM

    return _learned(OneClassSVM(nu=SVM_OUTSIDE).fit(rows))


def _forest(rows: np.ndarray, seed: int) -> Scores:
    from sklearn.ensemble import IsolationForest

    return _learned(IsolationForest(n_estimators=TREES, random_state=seed % 2**32).fit(rows))


def _learned(fitted: Any) -> Scores:
    def scores(occupancies: Sequence[Occupancy], bins: np.ndarray) -> np.ndarray:
        exists = ~np.isnan(bins[..., 0])
        result = np.zeros(exists.shape)
        if exists.any():
            result[exists] = -fitted.score_samples(row_scaled(bins)[exists])
        return result

    return scores
