"""Does the queue pay off? The number of labels that each strategy needs until a network reaches a given quality.

A network is trained on simulated chambers without some kinds of fault, then meets simulated runs that have them; as in
real runs, most chambers are good. Each strategy selects the next chamber, an oracle labels it, and after every batch
the last layers are refitted and all remaining chambers rescored, as when a candidate is put into use. The selection is
the queue's own: its certainty, its embeddings, its control, its constants. Not the queue itself, which needs a database
and people: see `app.labelling.queue`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from app.domain.strategies import DEFAULT, DIVERSE_AMONG, UNLIKE, Strategy, farthest_first
from app.errors import InvalidInput
from app.ml.backend import keras, tensorflow
from app.ml.curves import CONFIDENCE, Ranking, found_at
from app.subsystems.dt.defects import DefectKind
from app.subsystems.dt.learning.known_chambers import LARGEST_SEED
from app.subsystems.dt.learning.last_layers import LastLayers, Seen
from app.subsystems.dt.learning.networks import Architecture, architecture
from app.subsystems.dt.learning.samples import sample
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import ORDINARY, RICH, SimulatedChamber, simulate_chambers, simulate_run
from app.subsystems.dt.verdict import Prejudgement, judge, judge_before

COMPARED = (Strategy.CERTAIN, Strategy.DIVERSE, Strategy.RANDOM)
UNTAUGHT = (DefectKind.PERIODIC, DefectKind.SCATTERED, DefectKind.NOISY_BLOCK)  # 34 % of the faults of a run
FALSE_ALARMS = 0.01
STEPS = (
    0,
    10,
    20,
    40,
    60,
    80,
    120,
    160,
    240,
    320,
    480,
    640,
    960,
    1_280,
    1_920,
    2_560,
)  # numbers of labels after which the layers are refitted
MOST_RUNS_BAD = 0.5  # share of the runs: places bad in more of them are not used for the measurement
EPOCHS, BATCH, LEARNING_RATE = 6, 256, 3e-3  # of the initial network
RESAMPLES = 2_000  # of the seeds

_FIRST_RUN = 500_000  # of the simulated ones; the demonstration's are below
_HIGH = 0x4C41424C << 32  # the high word of the seeds here: as in `labelled`, so that no model that ships has them
_TAUGHT, _ORDINARY = range(2)


@dataclass(frozen=True)
class Setup:
    """What is simulated.

    Attributes:
        seeds: number of repetitions, each with a different network, runs and draws.
        first_seed: the first of them.
        taught: simulated training chambers, before those with untaught kinds are left out.
        runs: number of simulated runs. Every other place in them can be labelled; the network is measured on the
            others, and so never on a defect that a labelled chamber has in another run.
        untaught: the kinds of fault left out of the training.
        rate: the goal: share of bad layers found at 1 % false alarms.
        control: share drawn at random whatever the strategy, as in the queue.
        steps: numbers of labels after which the network is refitted.
    """

    seeds: int = 5
    first_seed: int = 1
    taught: int = 1_500
    runs: int = 40
    untaught: tuple[DefectKind, ...] = UNTAUGHT
    rate: float = 0.95
    control: float = 0.1
    steps: tuple[int, ...] = STEPS

    def check(self) -> None:
        """
        Raises:
            InvalidInput: a number is out of range.
        """
        for field, least in (("seeds", 1), ("taught", 100), ("runs", 1)):
            if getattr(self, field) < least:
                raise InvalidInput(field, getattr(self, field), f"a whole number, {least} or more")
        if not 0 <= self.first_seed <= LARGEST_SEED - self.seeds:
            raise InvalidInput("seed", self.first_seed, f"a whole number from 0 to {LARGEST_SEED - self.seeds:,}")
        if not 0 < self.rate < 1:
            raise InvalidInput("rate", self.rate, "between 0 and 1")


@dataclass(frozen=True)
class Curve:
    """One strategy with one seed.

    Attributes:
        points: (labelled chambers, share of bad layers found at 1 % false alarms), starting without labels; it ends
            when the goal was reached twice in a row, or with the last step.
        faulty: the number of labelled chambers with a bad layer at each point.
    """

    strategy: Strategy
    seed: int
    points: tuple[tuple[int, float], ...]
    faulty: tuple[int, ...]

    def needed(self, rate: float) -> float | None:
        """Labels at which a rate is reached and still holds after the next ones, interpolated linearly; None if it is
        not reached.

        >>> Curve(Strategy.RANDOM, 1, ((0, 0.5), (10, 0.75), (20, 1.0), (40, 0.875)), (0, 1, 3, 4)).needed(0.875)
        15.0
        """
        if self.points[0][1] >= rate:
            return 0.0
        following = [found for _, found in self.points[2:]] + [1.0]
        for ((before, low), (after, high)), then in zip(pairwise(self.points), following, strict=True):
            if high >= rate and then >= rate:
                return before + (after - before) * (rate - low) / (high - low)
        return None


@dataclass(frozen=True)
class Spread:
    """A median over the seeds, and the interval that contains 95 % of the medians of resampled seeds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """The result of `simulate_labelling`.

    Attributes:
        most: the largest number of labels: a strategy that did not reach the rate needs this many or more.
    """

    setup: Setup
    most: int
    curves: tuple[Curve, ...]

    def needed(self, strategy: Strategy) -> list[float]:
        """Labels for the rate, by seed; `most` if it is not reached."""
        found = [one.needed(self.setup.rate) for one in self.curves if one.strategy is strategy]
        return [self.most if labels is None else labels for labels in found]

    def reached(self, strategy: Strategy) -> int:
        """The number of seeds that reach the rate."""
        return sum(one.needed(self.setup.rate) is not None for one in self.curves if one.strategy is strategy)

    def labels(self, strategy: Strategy) -> Spread:
        """Labels needed for the rate."""
        return _spread(np.array(self.needed(strategy)))

    def ratio(self, strategy: Strategy) -> Spread:
        """Labels needed relative to random, seed by seed."""
        return _spread(np.array(self.needed(strategy)) / np.maximum(self.needed(Strategy.RANDOM), 1))


@dataclass(frozen=True, eq=False)
class _Pool:
    """The chambers that can be labelled.

    Attributes:
        before: their verdicts before any network.
        layers: all layers for a network to judge, in the order of `before.open`.
        chamber: int (layers,), the chamber of each layer.
        faulty: bool (chambers,), with any bad layer.
    """

    before: Prejudgement
    layers: Seen
    chamber: np.ndarray
    faulty: np.ndarray


def simulate_labelling(setup: Setup, report: Callable[[str], None] = print) -> Outcome:
    """Run every strategy with every seed.

    Args:
        report: receives progress messages, one line at a time.

    Raises:
        InvalidInput: a number is out of range.
    """
    setup.check()
    kind = architecture("chamber-cnn")
    curves = []
    for seed in range(setup.first_seed, setup.first_seed + setup.seeds):
        last_layers = _taught(kind, setup, seed)
        pool, test = _pool_and_test(kind, last_layers, setup, seed)
        for strategy in COMPARED:
            curves.append(_labelled(strategy, seed, pool, test, last_layers, setup))
            needed = curves[-1].needed(setup.rate)
            words = "not reached" if needed is None else f"{needed:.0f} labels"
            report(f"seed {seed}, {strategy}: {words} for {setup.rate:.0%} found; " + _written(curves[-1]))
    return Outcome(setup, min(setup.steps[-1], len(pool.faulty)), tuple(curves))


def table(outcome: Outcome) -> list[list[str]]:
    """The same as rows of text, the first of them headings."""
    setup = outcome.setup
    rows = [["strategy", f"labels for {setup.rate:.0%}", "95 % interval", "of random's", "95 % interval", "reached"]]
    for strategy in COMPARED:
        labels, ratio = outcome.labels(strategy), outcome.ratio(strategy)
        name = f"{strategy} (default)" if strategy is DEFAULT else str(strategy)
        numbers = [f"{labels.value:,.0f}", f"{labels.low:,.0f}–{labels.high:,.0f}"]
        ratios = [f"{ratio.value:.2f}", f"{ratio.low:.2f}–{ratio.high:.2f}"]
        rows.append([name, *numbers, *ratios, f"{outcome.reached(strategy)} of {setup.seeds}"])
    return rows


def as_document(outcome: Outcome) -> dict[str, Any]:
    """Everything, for JSON: the set-up, what each strategy needs, every curve."""
    needs = {
        str(strategy): {
            "labels": asdict(outcome.labels(strategy)),
            "of_random": asdict(outcome.ratio(strategy)),
            "by_seed": outcome.needed(strategy),
            "reached": outcome.reached(strategy),
        }
        for strategy in COMPARED
    }
    document = {"setup": asdict(outcome.setup), "default": str(DEFAULT), "most": outcome.most, "needs": needs}
    return document | {"curves": [asdict(curve) for curve in outcome.curves]}


def _labelled(strategy: Strategy, seed: int, pool: _Pool, test: Seen, last_layers: LastLayers, setup: Setup) -> Curve:
    rng = np.random.default_rng((seed, COMPARED.index(strategy)))
    waiting = np.ones(len(pool.faulty), bool)
    taken: list[int] = []
    last_layers.reset()
    points, faulty = [(0, _found(last_layers, test))], [0]
    for before, after in pairwise(min(step, len(waiting)) for step in setup.steps):
        if before == after or all(found >= setup.rate for _, found in points[-2:]):
            break
        certainty, embeddings = _looks(last_layers, pool)
        for _ in range(after - before):
            chosen = _next(strategy, certainty, embeddings, waiting, taken, setup.control, rng)
            waiting[chosen] = False
            taken.append(chosen)
        last_layers.fit(pool.layers.of(np.isin(pool.chamber, taken)), rng)
        points.append((after, _found(last_layers, test)))
        faulty.append(int(pool.faulty[taken].sum()))
    return Curve(strategy, seed, tuple(points), tuple(faulty))


def _looks(last_layers: LastLayers, pool: _Pool) -> tuple[np.ndarray, list[bytes | None]]:
    """Certainty and embedding of each chamber, as the queue gets them from a model."""
    scores, hidden = last_layers.scores(pool.layers.features)
    judgements = judge(pool.before, scores, 0.5, hidden)
    certainty = np.array([np.inf if one.certainty is None else one.certainty for one in judgements])
    return certainty, [one.embedding for one in judgements]


def _next(
    strategy: Strategy,
    certainty: np.ndarray,
    embeddings: Sequence[bytes | None],
    waiting: np.ndarray,
    taken: Sequence[int],
    control: float,
    rng: np.random.Generator,
) -> int:
    """The chamber that the queue would hand out next: see `app.labelling.queue`."""
    free = np.flatnonzero(waiting)
    if strategy is Strategy.RANDOM or rng.random() < control:
        return int(rng.choice(free))
    if strategy is Strategy.DIVERSE:
        nearest = free[np.argsort(certainty[free], kind="stable")[:DIVERSE_AMONG]]
        last = [embedding for i in taken[: -UNLIKE - 1 : -1] if (embedding := embeddings[i])]
        return int(nearest[farthest_first([embeddings[i] for i in nearest], last)[0]])
    return int(free[certainty[free].argmin()])


def _taught(kind: Architecture, setup: Setup, seed: int) -> LastLayers:
    """A network trained without some kinds of fault."""
    k = keras()
    k.utils.set_random_seed(seed)
    tensorflow().config.experimental.enable_op_determinism()
    taught = sample(kind, _without(setup.untaught, simulate_chambers(setup.taught, _seed(seed, _TAUGHT), RICH)))
    usual = sample(kind, _without(setup.untaught, simulate_chambers(setup.taught, _seed(seed, _ORDINARY), ORDINARY)))
    network = kind.build()
    steps = EPOCHS * -(-len(taught.bad) // BATCH)
    rate = k.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    network.compile(k.optimizers.Adam(rate), "categorical_crossentropy", steps_per_execution=16)
    target = np.stack((1 - taught.bad, taught.bad), axis=1)
    network.fit(taught.inputs, target, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return LastLayers(network, (taught.inputs, taught.bad), (usual.inputs, usual.bad))


def _without(untaught: Sequence[DefectKind], chambers: Sequence[SimulatedChamber]) -> list[SimulatedChamber]:
    return [one for one in chambers if not any(defect.kind in untaught for defect in one.defects)]


def _pool_and_test(kind: Architecture, last_layers: LastLayers, setup: Setup, seed: int) -> tuple[_Pool, Seen]:
    """The chambers to label, and the layers to measure on; each seed has its own runs."""
    first = _FIRST_RUN + seed * setup.runs
    drawn = [simulate_run(run).values() for run in range(first, first + setup.runs)]
    halves, others = ([list(run)[part::2] for run in drawn] for part in (0, 1))
    # A fault of a place in every run is one fault, not forty: it would dominate.
    often = np.mean([[bool((one.bad == 1).any()) for one in run] for run in others], axis=0) > MOST_RUNS_BAD
    test = sample(kind, [one for run in others for one, again in zip(run, often, strict=True) if not again])
    ours = [one for run in halves for one in run]
    occupancies = [one.occupancy for one in ours]
    bad = np.stack([one.bad for one in ours])
    bins = layer_bins(occupancies)
    before = judge_before(occupancies, bins)
    inputs = kind.inputs(occupancies, bins)[before.open]
    said = np.round(bad[before.open])  # people say good or bad, even for ambiguous layers
    pool = _Pool(before, last_layers.seen(inputs, said), np.nonzero(before.open)[0], np.any(bad >= 0.5, axis=1))
    return pool, last_layers.seen(test.inputs, test.bad)


def _found(last_layers: LastLayers, test: Seen) -> float:
    """The share of bad layers found at 1 % false alarms; ambiguous ones do not count."""
    counts = (test.bad == 0) | (test.bad == 1)
    scores, _ = last_layers.scores(test.features[counts])
    return float(found_at(*Ranking.of(test.bad[counts] == 1, scores).above(), FALSE_ALARMS))


def _spread(values: np.ndarray) -> Spread:
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(drawn, axis=1), (tail, 1 - tail))
    return Spread(float(np.median(values)), float(low), float(high))


def _written(curve: Curve) -> str:
    return ", ".join(f"{labels}: {found:.1%}" for labels, found in curve.points)


def _seed(seed: int, stream: int) -> int:
    return _HIGH | 4 * seed + stream
