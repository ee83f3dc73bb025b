"""Profiles of good chambers: the expected hits per cell along a layer, without defects.

The figures are from run 302635 (good chambers, proton collisions); `typical` stays near them, `any_profile` draws from
a wide prior around them: other wheels, stations, years, beam conditions, cosmic runs. Not for what goes wrong: see
`defects`.
"""

from __future__ import annotations

from functools import cache
from math import exp, log, pi, sin

import numpy as np

from app.subsystems.dt.geometry import LAYERS, Chamber

LOWEST_RATE, HIGHEST_RATE = 0.3, 3_000.0  # hits per cell, mean of a chamber: the range of `any_rate`

# Mean hits per cell for |wheel| 0, 1, 2. Stations 1 to 3 as seen in run 302635. Station 4 is assumed: like
# station 3, with more of the neutron background that fills the cavern.
_RATES = {1: (18.9, 35.5, 68.7), 2: (9.4, 11.8, 17.3), 3: (5.64, 5.8, 6.04), 4: (6.5, 7.0, 8.0)}

# Excess of the sectors at the top of the detector over those at its side: seen up to station 3.
_TOP = {1: 0.0, 2: 0.03, 3: 0.12, 4: 0.35}

# Rate of superlayers 1, 2, 3 over the chamber's.
_SHARES = {1: (1.15, 0.89, 0.985), 2: (1.015, 1.04, 0.96), 3: (0.96, 1.19, 0.91), 4: (1.03, 1.0, 0.97)}

# Correlation of neighbouring cells in two layers of a superlayer, seen in stations 1 to 3: 0.27, 0.43, 0.58.
_TRACKS = {1: 0.33, 2: 0.52, 3: 0.7, 4: 0.6}

# (tilt, curve) of log(rate) = tilt·x + curve·x², x from −1 to 1 along the layer, for |wheel| 0, 1, 2: fitted
# to run 302635 for stations 1 to 3. The tilt of phi superlayers changes sign with the wheel; that of theta does not.
_PHI = {
    1: ((0.0, -0.18), (0.05, -0.085), (0.065, -0.11)),
    2: ((0.0, -0.17), (-0.085, -0.14), (-0.07, -0.245)),
    3: ((0.0, -0.11), (-0.01, -0.22), (0.03, -0.15)),
    4: ((0.0, -0.14), (0.0, -0.14), (0.0, -0.14)),
}
_THETA = {
    1: ((0.0, 0.0), (-0.26, 0.09), (0.14, -0.51)),
    2: ((0.0, 0.0), (-0.10, 0.03), (-0.055, -0.22)),
    3: ((0.0, 0.08), (-0.03, -0.02), (-0.11, 0.27)),
    4: ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),  # no such superlayer
}
_LAYER_TREND = np.tile((0.014, 0.003, -0.006, -0.011), 3)[:, None]  # log(rate): layers nearer to the beam see more


def typical_rate(chamber: Chamber) -> float:
    """Mean hits per cell of this chamber in a run like 302635.

    >>> round(typical_rate(Chamber(wheel=-2, station=1, sector=4)), 1)
    68.7
    """
    height = sin(pi * (_azimuth_sector(chamber) - 1) / 6)  # 1 at the top of the detector, −1 at its bottom
    return _RATES[chamber.station][abs(chamber.wheel)] * (1 + _TOP[chamber.station] * height)


def typical(chamber: Chamber, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Expected hits per cell of a good chamber as in run 302635, with small differences between chambers.

    Args:
        chamber: its geometry and position matter.
        rate: mean hits per cell.
        rng: drawn from; the same state gives the same chamber.

    Returns:
        float64 (12, columns): above 0 where the read-out map has a cell, 0 elsewhere.
    """
    tilt, curve = _shapes(chamber)
    logs = _polynomial(chamber, tilt + rng.normal(0, 0.02, 3), curve + rng.normal(0, 0.02, 3))
    shares = np.log(_SHARES[chamber.station]) + rng.normal(0, 0.015, 3)
    layers = _LAYER_TREND + rng.normal(0, 0.005, (LAYERS, 1))
    return _normalised(chamber, rate, logs, shares, layers + rng.normal(0, 0.005, (LAYERS, chamber.columns)))


def any_profile(chamber: Chamber, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Expected hits per cell of a good chamber in any run: a wide prior around the profiles of run 302635.

    Smooth along the layer: tilt, curve, up to three bumps, a wave, a steep slope, falling or rising ends. Shared by
    the layers of a superlayer up to a few per cent; the superlayers differ. Arguments and result as in `typical`.
    """
    width = 0.03 + 0.5 * rng.random() ** 2  # distance of this chamber from the known ones
    tilt, curve = _shapes(chamber)
    if rng.random() < 0.2:  # nothing of them
        tilt, curve = np.zeros(3), np.zeros(3)
    together, apart = (
        rng.normal(0, width, (2, 1)),
        rng.normal(0, 0.4 * width, (2, 3)),
    )  # superlayers look alike
    logs = _polynomial(chamber, tilt + together[0] + apart[0], curve + together[1] + apart[1])
    x = _positions(chamber)
    for _ in range(int(4 * rng.random())):
        height = np.clip(rng.normal(0.1, width, 3), -0.4, 0.7)
        logs += height[:, None] * np.exp(-0.5 * ((x - rng.uniform(-1, 1)) / rng.uniform(0.15, 0.6)) ** 2)
    if rng.random() < 0.3:  # ends that see more or less than the rest, within a few cells
        height, reach = np.clip(rng.normal(0, width, (2, 3, 1)), -0.5, 0.7), rng.uniform(0.05, 0.25)
        logs += height[0] * np.exp(-(x + 1) / reach) + height[1] * np.exp((x - 1) / reach)
    if rng.random() < 0.15:  # a wave, in all superlayers or in theta alone
        amplitude, waves = rng.uniform(0, 0.3), rng.uniform(0.3, 2.0)
        where = np.array((1, 1, 1) if rng.random() < 0.5 else (0, 1, 0) if rng.random() < 0.5 else (1, 0, 1))
        logs += where[:, None] * amplitude * np.sin(pi * waves * x + rng.uniform(0, 2 * pi))
    if rng.random() < 0.12:  # far more at one end than at the other
        fall = np.log(rng.uniform(0.25, 1.0)) * (1 if rng.random() < 0.5 else -1)
        steep = rng.uniform(0.3, 2.5)  # below 1 it falls at the far end, above 1 at once
        theta = rng.uniform(-1, 1) if rng.random() < 0.5 else 1.0
        logs += np.array((1, theta, 1))[:, None] * fall * np.clip((x + 1) / 2, 0, 1) ** steep
    shares = np.log(_SHARES[chamber.station]) * (rng.random() < 0.8)
    shares = shares + rng.normal(0, 0.02 + 0.25 * width, 3) + np.array((0, rng.normal(0, 0.02 + 0.4 * width), 0))
    layers = (
        rng.normal(0, rng.uniform(0.003, 0.03), (LAYERS, 1)).clip(-0.08, 0.08) + rng.uniform(-0.5, 1.5) * _LAYER_TREND
    )
    layers = layers + rng.normal(0, rng.uniform(0, 0.02), (LAYERS, 1)) * _by_layer(x)
    rough = rng.uniform(0, 0.02) if rng.random() < 0.8 else rng.uniform(0.02, 0.05)
    cells = rng.normal(0, rough, (LAYERS, chamber.columns))  # seen in runs of more than 100 hits per cell
    return _normalised(chamber, rate, logs, shares, layers + cells)


def typical_tracks(chamber: Chamber) -> float:
    """Share of the hits that belong to tracks through all four layers of a superlayer, as in run 302635."""
    return _TRACKS[chamber.station]


def any_tracks(rng: np.random.Generator) -> float:
    """The same in any run: none if the hits are noise and neutrons, most in cosmic runs."""
    return 0.0 if rng.random() < 0.4 else rng.uniform(0.1, 0.75)


def any_rate(rng: np.random.Generator) -> float:
    """Mean hits per cell of a chamber in any run: 0.3 to 3,000, uniform in the logarithm except from 1 to 150."""
    low, high = (LOWEST_RATE, HIGHEST_RATE) if rng.random() < 0.6 else (1.0, 150.0)
    return exp(rng.uniform(log(low), log(high)))


def _azimuth_sector(chamber: Chamber) -> int:
    return {13: 4, 14: 10}.get(chamber.sector, chamber.sector)


def _shapes(chamber: Chamber) -> tuple[np.ndarray, np.ndarray]:
    """Tilt and curve of the three superlayers, float64 (3,) each."""
    phi, theta = _PHI[chamber.station][abs(chamber.wheel)], _THETA[chamber.station][abs(chamber.wheel)]
    sign = -1 if chamber.wheel < 0 else 1
    return np.array((sign * phi[0], theta[0], sign * phi[0])), np.array((phi[1], theta[1], phi[1]))


def _polynomial(chamber: Chamber, tilt: np.ndarray, curve: np.ndarray) -> np.ndarray:
    x = _positions(chamber)
    return tilt[:, None] * x + curve[:, None] * x**2


def _normalised(chamber: Chamber, rate: float, logs: np.ndarray, shares: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """The exponential on the chamber's cells, scaled so that the mean cell expects `rate` hits."""
    shape = np.exp(logs)
    shape *= (np.exp(shares) / shape.mean(axis=1))[:, None]
    expected = _by_layer(shape) * np.exp(layers) * chamber.read_out
    return expected * (rate * np.count_nonzero(chamber.read_out) / expected.sum())


def _by_layer(by_superlayer: np.ndarray) -> np.ndarray:
    return np.repeat(by_superlayer, 4, axis=0)


@cache
def _positions(chamber: Chamber) -> np.ndarray:
    """float64 (3, columns), read-only: the position of a cell in its superlayer, −1 to 1; beyond it, 1."""
    lengths = np.ones(LAYERS // 4)
    for layer in chamber.layers:
        lengths[layer.superlayer - 1] = max(lengths[layer.superlayer - 1], layer.last_cell)
    positions = np.minimum((2 * np.arange(chamber.columns) + 1) / lengths[:, None] - 1, 1)
    positions.setflags(write=False)
    return positions
