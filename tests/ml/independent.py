"""Chambers with and without defects that owe nothing to the simulator but the geometry: other shapes, other draws.

A network that knows only its own simulator's habits fails here. Run it for the table by kind and statistics:

    PYTHONPATH=. .venv/bin/python tests/ml/independent.py [MODEL] [CHAMBERS]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from app.subsystems.dt.geometry import LAYERS, Chamber, all_chambers
from app.subsystems.dt.histogram import NO_CELL, Occupancy

LEVELS = (2, 6, 20, 80)  # mean hits a cell of a good chamber
GOOD = "good"
SHARED = 0.25  # of the defects are in all four layers of a superlayer
HOT_BESIDE = 0.25  # of the bad chambers have a hot cell in a bad layer
WITH_DEFECT = 0.55  # of the chambers


@dataclass(frozen=True, eq=False)
class Known:
    """One chamber with what is true of it: `kinds` names each layer's defect, or says good, or is empty."""

    occupancy: Occupancy
    level: float
    kinds: tuple[str, ...]
    shared: bool
    hot: tuple[bool, ...]


def drawn_chambers(count: int, seed: int) -> list[Known]:
    """So many chambers, of the levels in turn."""
    rng = np.random.default_rng(seed)
    return [_chamber(LEVELS[i % len(LEVELS)], rng) for i in range(count)]


def _chamber(level: float, rng: np.random.Generator) -> Known:
    chamber = all_chambers()[rng.integers(250)]
    expected = _expected(chamber, rng)
    expected *= level / expected[chamber.read_out].mean()
    kinds = [GOOD if chamber.read_out[row].any() else "" for row in range(LAYERS)]
    hot = [False] * LAYERS
    isolated = (rng.random(expected.shape) < rng.choice((0, 0.003, 0.01, 0.02))) & chamber.read_out
    isolated[:, 1:] &= ~isolated[:, :-1]
    expected[isolated] = 0
    extra, shared = np.zeros_like(expected), False
    if rng.random() < WITH_DEFECT:
        kind = list(KINDS)[rng.integers(len(KINDS))]
        layer = chamber.layers[rng.integers(len(chamber.layers))]
        shared = bool(rng.random() < SHARED)
        start = (layer.number - 1) // 4 * 4
        rows = range(start, start + 4) if shared else [layer.number - 1]
        columns = np.arange(layer.first_cell - 1, layer.last_cell)
        factors = KINDS[kind](layer.cells, shared, rng)
        for row in rows:
            if kind == "scattered" and row != layer.number - 1:
                factors = KINDS[kind](layer.cells, shared, rng)
            if kind in ("empty", "low rate"):
                expected[row] *= factors[0]
            else:
                there = chamber.read_out[row, columns]
                expected[row, columns[there]] *= factors[there]
            kinds[row] = kind
            if rng.random() < HOT_BESIDE:
                extra[row, rng.choice(np.flatnonzero(chamber.read_out[row]))] = level * rng.choice((5, 20, 80, 300))
                hot[row] = True
    elif rng.random() < 0.3:
        for row in rng.choice([layer.number - 1 for layer in chamber.layers], size=rng.integers(1, 3), replace=False):
            extra[row, rng.choice(np.flatnonzero(chamber.read_out[row]))] = level * rng.choice((3, 10, 50, 500))
            hot[row] = True
    counts = rng.poisson(expected + extra).astype(np.int32)
    counts[~chamber.read_out] = NO_CELL
    return Known(Occupancy(chamber, counts), level, tuple(kinds), shared, tuple(hot))


def _expected(chamber: Chamber, rng: np.random.Generator) -> np.ndarray:
    result = np.zeros(chamber.read_out.shape)
    phi = _profile(rng)
    for superlayer in range(3):
        profile = phi if superlayer != 1 else _profile(rng)
        scale = rng.uniform(0.9, 1.1) if superlayer != 1 else rng.uniform(0.75, 1.3)
        last = max((layer.last_cell for layer in chamber.layers if layer.superlayer == superlayer + 1), default=0)
        for row in range(4 * superlayer, 4 * superlayer + 4):
            t = (np.flatnonzero(chamber.read_out[row]) + 0.5) / max(last, 1)
            result[row, chamber.read_out[row]] = scale * rng.uniform(0.97, 1.03) * profile(t)
    return result


def _profile(rng: np.random.Generator):
    """A smooth function of the position, 0 to 1 along the layer, above 0."""
    kind = rng.integers(7)
    a, b, c = rng.uniform(0, 1, 3)
    if kind == 0:
        return lambda t: np.ones_like(t)
    if kind == 1:
        return lambda t: 1 + (a - 0.5) * 1.2 * (t - 0.5)
    if kind == 2:
        return lambda t: 1 + 0.3 * a * np.sin(2 * np.pi * (t * (0.5 + b) + c))
    if kind == 3:
        return lambda t: 0.4 + 0.6 * np.exp(-t * 2 * a) if b < 0.5 else 0.4 + 0.6 * np.exp(-(1 - t) * 2 * a)
    if kind == 4:
        return lambda t: 1 + 0.8 * a * np.exp(-(((t - b) / (0.12 + 0.3 * c)) ** 2))
    if kind == 5:  # falling ends
        return lambda t: (
            (0.5 + 0.5 * np.tanh((t + 0.02 + 0.1 * a) * 8)) * (0.5 + 0.5 * np.tanh((1.02 + 0.1 * b - t) * 8))
        )
    return lambda t: 1 + 0.6 * (a - 0.5) * (t - 0.5) - 1.2 * b * (t - 0.5) ** 2


def _block(length: int, factor: float, rng: np.random.Generator, edge: bool = False) -> np.ndarray:
    number = int(rng.integers(6, max(7, length // 2)))
    first = int(rng.integers(0, length - number + 1))
    if edge:
        first = 0 if rng.random() < 0.5 else length - number
    factors = np.ones(length)
    factors[first : first + number] = factor
    return factors


def _every(length: int, step: int, rng: np.random.Generator) -> np.ndarray:
    factors = np.ones(length)
    factors[int(rng.integers(step)) :: step] = 0
    return factors


def _scattered(length: int, rng: np.random.Generator) -> np.ndarray:
    factors = np.ones(length)
    factors[rng.choice(length, int(np.ceil(rng.uniform(0.15, 0.25) * length)), replace=False)] = 0
    return factors


def _low_rate(length: int, shared: bool, rng: np.random.Generator) -> np.ndarray:
    return np.full(length, rng.uniform(0.3, 0.6) if shared else rng.uniform(0.4, 0.7))


KINDS = {
    "empty": lambda length, shared, rng: np.zeros(length),
    "dead block": lambda length, shared, rng: _block(length, 0.0, rng),
    "block at 30 %": lambda length, shared, rng: _block(length, 0.3, rng),
    "dead edge": lambda length, shared, rng: _block(length, 0.0, rng, edge=True),
    "low rate": _low_rate,
    "every 2nd": lambda length, shared, rng: _every(length, 2, rng),
    "every 4th": lambda length, shared, rng: _every(length, 4, rng),
    "every 8th": lambda length, shared, rng: _every(length, 8, rng),
    "scattered": lambda length, shared, rng: _scattered(length, rng),
    "noisy block": lambda length, shared, rng: _block(length, rng.uniform(3, 5), rng),
}


@dataclass(frozen=True, eq=False)
class Result:
    """Scores of layers and what is true of them; arrays of one length. An unjudged layer scores 0."""

    scores: np.ndarray
    kinds: np.ndarray
    levels: np.ndarray
    shared: np.ndarray
    hot: np.ndarray
    unjudged: float

    @property
    def good(self) -> np.ndarray:
        return self.kinds == GOOD

    def found(self, which: np.ndarray, false_alarms: float = 0.01) -> float:
        """Share of these layers above the score that this share of all good ones exceeds."""
        ordered = np.sort(self.scores[self.good])
        return float((self.scores[which] > ordered[-1 - int(false_alarms * len(ordered))]).mean())


def result_of(scorer, chambers: list[Known]) -> Result:
    judgements = scorer.judge([chamber.occupancy for chamber in chambers])
    rows = [
        (-1.0 if judgement.scores[row] is None else judgement.scores[row], kind, chamber.level, chamber.shared,
         chamber.hot[row])
        for chamber, judgement in zip(chambers, judgements, strict=True)
        for row, kind in enumerate(chamber.kinds)
        if kind
    ]  # fmt: skip
    scores, kinds, levels, shared, hot = map(np.array, zip(*rows, strict=True))
    return Result(np.maximum(scores, 0), kinds, levels, shared, hot, float((scores < 0).mean()))


def table(result: Result) -> str:
    """What is found at 1 % false alarms, by kind and level, and the false alarms at 0.5."""
    from app.ml.training import area_under_roc

    good, levels = result.good, sorted(set(result.levels.tolist()))
    lines = [f"{'':16}" + "".join(f"{level:>8g}" for level in levels) + f"{'6 up':>8}"]
    for kind in KINDS:
        of_kind = result.kinds == kind
        shares = [result.found(of_kind & (result.levels == level)) for level in levels]
        lines.append(f"{kind:16}" + "".join(f"{share:8.3f}" for share in shares)
                     + f"{result.found(of_kind & (result.levels >= 6)):8.3f}")  # fmt: skip
    shown = [(good & (result.levels == level)) for level in levels]
    lines.append(f"{'good, at 0.5':16}" + "".join(f"{(result.scores[w] >= 0.5).mean():8.4f}" for w in shown))
    lines.append(f"{'bad, at 0.5':16}" + "".join(
        f"{(result.scores[~good & (result.levels == level)] >= 0.5).mean():8.3f}" for level in levels))  # fmt: skip
    lines.append(f"area under ROC {area_under_roc(result.scores[good], result.scores[~good]):.4f}, found at 1 % "
                 f"{result.found(~good):.4f}, shared {result.found(~good & result.shared):.3f}, hot cell beside "
                 f"{result.found(~good & result.hot):.3f}, unjudged {result.unjudged:.4f}, "
                 f"{good.sum()} good and {(~good).sum()} bad layers")  # fmt: skip
    return "\n".join(lines)


def main(model: str = "", chambers: str = "8000") -> None:
    from app.ml.models import default_model
    from app.ml.scoring import Scorer
    from config import ROOT

    folder = ROOT / "models" / model if model else default_model(ROOT / "models")
    print(folder.name)
    print(table(result_of(Scorer(folder), drawn_chambers(int(chambers), seed=20))))


if __name__ == "__main__":
    main(*sys.argv[1:])
