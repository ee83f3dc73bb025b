"""Chambers with and without defects that owe nothing to the simulator but the geometry: other shapes, other draws.

A network that knows only its own simulator's habits fails here. Run it for the tables by kind and statistics:

    PYTHONPATH=. .venv/bin/python tests/ml/independent.py [MODEL] [CHAMBERS] [SEED]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from app.subsystems.dt.geometry import LAYERS, Chamber, all_chambers
from app.subsystems.dt.histogram import NO_CELL, Occupancy

LEVELS = (2, 6, 20, 80)  # mean hits per cell of a good chamber
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
        shared = kind in (LOW_SUPERLAYER, *SHARED_KINDS) or (bool(rng.random() < SHARED) and kind not in LOW_LAYER)
        start = (layer.number - 1) // 4 * 4
        rows = range(start, start + 4) if shared else [layer.number - 1]
        if kind in SHARED_KINDS and rng.random() < 0.5:  # three of the four
            rows = sorted(rng.choice(list(rows), 3, replace=False).tolist())
        place = rng.integers(0, 40)  # of a shared block, counted along the cells of each layer
        columns = np.arange(layer.first_cell - 1, layer.last_cell)
        factors = KINDS[kind](layer.cells, shared, rng)
        for row in rows:
            if kind == "scattered" and row != layer.number - 1:
                factors = KINDS[kind](layer.cells, shared, rng)
            if kind in SHARED_KINDS:
                first = np.flatnonzero(chamber.read_out[row])[place + rng.integers(2)]
                expected[row, first : first + SHARED_KINDS[kind]] = 0
            elif kind in ("empty", LOW_SUPERLAYER, *LOW_LAYER):
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


SHARED_KINDS = {"3 cells shared": 3, "4 cells shared": 4, "5 cells shared": 5}  # in 3 or 4 layers, within one cell
LOW_LAYER = ("low rate", "at 70 %")  # one layer
LOW_SUPERLAYER = "low superlayer"  # four layers, which good ones differ from by a tenth in phi, by a third in theta

KINDS = {
    "empty": lambda length, shared, rng: np.zeros(length),
    "dead block": lambda length, shared, rng: _block(length, 0.0, rng),
    "block at 30 %": lambda length, shared, rng: _block(length, 0.3, rng),
    "dead edge": lambda length, shared, rng: _block(length, 0.0, rng, edge=True),
    "low rate": lambda length, shared, rng: np.full(length, rng.uniform(0.4, 0.7)),
    "at 70 %": lambda length, shared, rng: np.full(length, 0.7),
    LOW_SUPERLAYER: lambda length, shared, rng: np.full(length, rng.uniform(0.3, 0.6)),
    "every 2nd": lambda length, shared, rng: _every(length, 2, rng),
    "every 4th": lambda length, shared, rng: _every(length, 4, rng),
    "every 8th": lambda length, shared, rng: _every(length, 8, rng),
    "scattered": lambda length, shared, rng: _scattered(length, rng),
    "noisy block": lambda length, shared, rng: _block(length, rng.uniform(3, 5), rng),
    **dict.fromkeys(SHARED_KINDS, lambda length, shared, rng: np.zeros(length)),
}


@dataclass(frozen=True, eq=False)
class Result:
    """Scores of layers and what is true of them; arrays of one length. An unjudged layer scores 0.

    Attributes:
        bad: called bad at the threshold that ships, as a shifter sees it; empty layers are.
        significance: of the clearest finding of the simple statistics that would make the layer bad; 0 without.
    """

    scores: np.ndarray
    bad: np.ndarray
    significance: np.ndarray
    kinds: np.ndarray
    levels: np.ndarray
    shared: np.ndarray
    hot: np.ndarray
    unjudged: float

    @property
    def good(self) -> np.ndarray:
        return self.kinds == GOOD

    @property
    def from_6(self) -> np.ndarray:
        return self.levels >= 6

    def found(self, which: np.ndarray, false_alarms: float = 0.01) -> float:
        """Share of these layers above the score that this share of all good ones exceeds."""
        ordered = np.sort(self.scores[self.good])
        return float((self.scores[which] > ordered[-1 - int(false_alarms * len(ordered))]).mean())

    def beside_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """What is found from 6 hits per cell up at the false alarms of the statistics: by the scores, and by these."""
        ordered = np.sort(self.scores[self.good & self.from_6])
        by_statistics = self.significance > 0
        allowed = int(by_statistics[self.good & self.from_6].sum())
        return self.scores > ordered[-1 - allowed], by_statistics


def result_of(scorer, chambers: list[Known]) -> Result:
    from app.domain.judgement import Verdict
    from app.subsystems.dt.findings import findings

    occupancies = [chamber.occupancy for chamber in chambers]
    rows = []
    for chamber, judgement, those in zip(chambers, scorer.judge(occupancies), findings(occupancies), strict=True):
        significance = [0.0] * LAYERS
        for one in those:
            if one.makes_bad:
                significance[one.layer - 1] = max(significance[one.layer - 1], one.significance)
        for row, kind in enumerate(chamber.kinds):
            if kind:
                score = -1.0 if judgement.scores[row] is None else judgement.scores[row]
                bad = judgement.verdicts[row] in (Verdict.BAD, Verdict.EMPTY)
                known = (significance[row], kind, chamber.level, chamber.shared, chamber.hot[row])
                rows.append((score, bad, *known))
    scores, *others = map(np.array, zip(*rows, strict=True))
    return Result(np.maximum(scores, 0), *others, float((scores < 0).mean()))


def table(result: Result, threshold: float) -> str:
    """What is called bad at the threshold, by kind and level; what is found beside the statistics and at 1 %."""
    from app.ml.curves import area_under_roc

    good, levels = result.good, sorted(set(result.levels.tolist()))
    ours, theirs = result.beside_statistics()
    allowed = theirs[good & result.from_6].mean()
    lines = [f"{f'from {threshold:g}, hits per cell':22}" + "".join(f"{level:>8g}" for level in levels)
             + f"{'6 up':>8}  | 6 up at {allowed:.5f}: statistics, network | at 1 %: 2  6 up"]  # fmt: skip
    for kind in KINDS:
        of_kind = result.kinds == kind
        up = of_kind & result.from_6
        shares = [result.bad[of_kind & (result.levels == level)].mean() for level in levels]
        behind = " behind" if ours[up].sum() < theirs[up].sum() else ""
        lines.append(f"{kind:22}" + "".join(f"{share:8.3f}" for share in (*shares, result.bad[up].mean()))
                     + f"  | {theirs[up].mean():.4f} {ours[up].mean():.4f}{behind}"
                     + f" | {result.found(of_kind & ~result.from_6):.3f} {result.found(up):.3f}")  # fmt: skip
    shown = [(good & (result.levels == level)) for level in levels]
    lines.append(
        f"{'good layers':22}" + "".join(f"{result.bad[w].mean():8.5f}" for w in (*shown, good & result.from_6))
    )
    lines.append(f"area under ROC {area_under_roc(~good, result.scores):.4f}, found at 1 % "
                 f"{result.found(~good):.4f}, shared {result.found(~good & result.shared):.3f}, hot cell beside "
                 f"{result.found(~good & result.hot):.3f}, unjudged {result.unjudged:.4f}, "
                 f"{good.sum()} good and {(~good).sum()} bad layers")  # fmt: skip
    return "\n".join(lines)


def main(model: str = "", chambers: str = "8000", seed: str = "20") -> None:
    from pathlib import Path

    from app.ml.models import default_model
    from app.subsystems.dt.learning.scoring import Scorer
    from config import ROOT

    folder = default_model(ROOT / "models") if not model else Path(model) if "/" in model else ROOT / "models" / model
    scorer = Scorer(folder)
    print(scorer.version)
    print(table(result_of(scorer, drawn_chambers(int(chambers), int(seed))), scorer.threshold))


if __name__ == "__main__":
    main(*sys.argv[1:])
