"""Simulated chambers, good and bad, with labels, for training networks and for the demonstration server.

Everything is drawn from generators seeded by the arguments alone: the same seed gives the same chambers, whatever was
called before. `profiles` and `faults` define what is drawn; `defects` what it means for a label.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log

import numpy as np

from app.subsystems.dt import faults
from app.subsystems.dt.defects import Defect, DefectKind, factors, label
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.profiles import any_profile, any_rate, any_tracks, typical, typical_rate, typical_tracks

__all__ = [
    "ORDINARY",
    "RICH",
    "SIMULATOR_VERSION",
    "Defect",
    "DefectKind",
    "SimulatedChamber",
    "simulate_chamber",
    "simulate_chambers",
    "simulate_run",
]

SIMULATOR_VERSION = 3  # on the card of every model; increase it with any change of what is drawn

# Share of the simulated chambers with faults. In ordinary ones about 1 % of the layers are bad, as in ordinary data
# taking: scores are calibrated on these. Many more are bad in training chambers.
ORDINARY, RICH = 0.05, 0.6

_TRAINING, _CHAMBER, _RUN, _CHAMBER_IN_RUN = range(4)  # streams: the first word of each seed
_ASIDE = (0.1, 0.4)  # share of tracks that hit the next cell: in layers 1 and 3, in layers 2 and 4; as in run 302635
_RUN_FACTORS = (0.3, 3.0)  # luminosity and length of a demonstration run, relative to run 302635

# Shares of the chambers of a demonstration run.
_PERSISTENT = 0.012  # with a permanent defect
_NEW = 0.03  # with a defect in this run
_HOT = 0.015  # with a hot cell
_FEW_HITS = 0.004  # with low statistics


@dataclass(frozen=True, eq=False)
class SimulatedChamber:
    """One chamber's histogram, with what it was drawn from.

    Attributes:
        occupancy: the simulated histogram.
        expected: float64 (12, columns), read-only: expected hits per cell without defects; 0 where no cell exists.
        bad: float32 (12,), read-only: P(bad) of each layer by the rule in `defects`: 0 good, 1 bad, in between
            ambiguous, NaN where the layer does not exist.
        defects: all of its defects, including harmless ones (a hot cell, isolated dead cells, few hits).
    """

    occupancy: Occupancy
    expected: np.ndarray
    bad: np.ndarray
    defects: tuple[Defect, ...]


def simulate_chambers(
    count: int, seed: int, faulty: float = ORDINARY, without: Collection[DefectKind] = ()
) -> list[SimulatedChamber]:
    """Training chambers: a wide prior over geometry, profile, rate and defects.

    Chamber i of a seed is the same, however many are drawn. `faulty` is the share of chambers with one to three faults;
    the others have at most dead cells and hot cells. No chamber has a defect of a kind in `without`.

    >>> few, more = simulate_chambers(2, seed=1), simulate_chambers(3, seed=1)
    >>> [a.occupancy.to_bytes() == b.occupancy.to_bytes() for a, b in zip(few, more)]
    [True, True]
    """
    return [_training_chamber(_generator(_TRAINING, seed, i), faulty, without) for i in range(count)]


def simulate_run(run: int) -> Mapping[Chamber, SimulatedChamber]:
    """A whole demonstration run of 250 chambers that looks like a real one; deterministic in the run number.

    A chamber keeps its profile, its isolated dead cells and its known defect, if any, from run to run; the rate and new
    defects belong to the run.
    """
    return {chamber: simulate_chamber(run, chamber) for chamber in all_chambers()}


def simulate_chamber(run: int, chamber: Chamber) -> SimulatedChamber:
    """One chamber of `simulate_run`, the same as there."""
    index = all_chambers().index(chamber)
    own = _generator(_CHAMBER, index)
    rate = _run_factor(run) * typical_rate(chamber) * exp(own.normal(0, 0.03))
    expected = typical(chamber, rate, own)
    defects = faults.dead_cells(chamber, faults.SEEN_DEAD_CELLS, own)
    if own.random() < _PERSISTENT:
        defects += faults.one_fault(chamber, own)

    rng = _generator(_CHAMBER_IN_RUN, run, index)
    if rng.random() < _NEW:
        defects += faults.one_fault(chamber, rng)
    if rng.random() < _HOT:
        defects += faults.hot_cell(chamber, defects, rng)
    if rng.random() < _FEW_HITS:
        defects.append(faults.low_statistics(chamber, rng))
    return _simulated(chamber, expected, tuple(defects), typical_tracks(chamber), rng)


def _training_chamber(rng: np.random.Generator, faulty: float, without: Collection[DefectKind]) -> SimulatedChamber:
    chambers = all_chambers()
    chamber = chambers[int(rng.integers(len(chambers)))]
    profile = typical if rng.random() < 0.25 else any_profile
    expected = profile(chamber, any_rate(rng), rng)
    return _simulated(chamber, expected, faults.any_faults(chamber, faulty, rng, without), any_tracks(rng), rng)


def _simulated(
    chamber: Chamber, expected: np.ndarray, defects: tuple[Defect, ...], tracks: float, rng: np.random.Generator
) -> SimulatedChamber:
    counts = _counts(expected, factors(chamber, defects), tracks, rng)
    counts[~chamber.read_out] = NO_CELL
    bad = label(chamber, defects)
    for array in (counts, expected, bad):
        array.setflags(write=False)
    return SimulatedChamber(Occupancy(chamber, counts), expected, bad, defects)


def _counts(expected: np.ndarray, factor: np.ndarray, tracks: float, rng: np.random.Generator) -> np.ndarray:
    """Poisson counts, a share of which comes from tracks that cross the four layers of a superlayer: int32.

    A track hits the same cell in layers 1 and 3 and, because of the half-cell stagger, that cell or its neighbour in
    layers 2 and 4; some go one cell further. Each cell is still Poisson, but neighbours in four layers are correlated.
    """
    common = np.zeros(expected.shape)
    mean = np.zeros(expected.shape)
    if tracks:
        for start in range(0, 12, 4):
            rate = tracks * np.where(expected[start : start + 4] > 0, expected[start : start + 4], np.inf).min(axis=0)
            rate[~np.isfinite(rate)] = 0
            crossing = rng.poisson(rate)
            for row in range(start, start + 4):
                aside = _ASIDE[row % 2]
                common[row] = crossing
                mean[row] = rate * (1 - aside)
                moved = rng.binomial(crossing, aside)
                common[row] -= moved
                common[row, 1:] += moved[:-1]
                mean[row, 1:] += rate[:-1] * aside
    mean *= expected > 0
    common *= expected > 0
    seen = rng.binomial(common.astype(np.int64), np.minimum(factor, 1))
    return (seen + rng.poisson(np.maximum(expected * factor - mean * np.minimum(factor, 1), 0))).astype(np.int32)


@lru_cache(maxsize=64)
def _run_factor(run: int) -> float:
    low, high = _RUN_FACTORS
    return exp(_generator(_RUN, run).uniform(log(low), log(high)))


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))
