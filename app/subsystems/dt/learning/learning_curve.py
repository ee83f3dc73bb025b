"""Would more labels help? Fits a model's last layers to more and more of the existing labels.

The subsets are nested and come from the training part of the split; they are evaluated on the test part. If the curve
still rises at its end, more labels would help. Not for simulated labels: see `simulate_labelling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from app.errors import Conflict, TooFewLabels
from app.ml.curves import Ranking, areas, found_at
from app.ml.json_record import JsonRecord
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.last_layers import LastLayers, Seen
from app.subsystems.dt.learning.networks import Architecture, architecture
from app.subsystems.dt.learning.samples import sample
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import ORDINARY, RICH, simulate_chambers
from app.subsystems.dt.verdict import judge_before

SEEDS = 3  # orders in which the labels are added
SIMULATED = 1_500  # simulated chambers added to every fit, and as many for calibration
FIRST = 10  # labels; then twice as many each time
FALSE_ALARMS = 0.01
LEAST_BAD = LEAST_GOOD = 3  # layers of the test part

_HIGH = 0x4C435256 << 32  # of the seeds of the simulation: see `labelled`

Labelled = tuple[Occupancy, np.ndarray]  # a chamber, and P(bad) of its layers by the labels: float (12,), NaN for none


class LearningPoint(JsonRecord):
    """The value of a number of labels: medians over the orders, with minimum and maximum.

    Attributes:
        labels: labelled chambers.
        found: share of the test part's bad layers found at 1 % false alarms.
        area: under the ROC curve.
    """

    labels: int
    found: float
    found_least: float
    found_most: float
    area: float


def learning_curve(
    scorer: Scorer,
    training: Sequence[Labelled],
    test: Sequence[Labelled],
    report: Callable[[str], None] = lambda line: None,
) -> tuple[LearningPoint, ...]:
    """Fit a model's last layers to nested subsets of labels.

    Raises:
        Conflict: the model was trained on labels, so their value to it can no longer be measured.
        TooFewLabels: there are too few to start with, or to test on.
    """
    if scorer.card.trained_on and scorer.card.trained_on.labels:
        raise Conflict(f"The model {scorer.version} was trained on labels; use one that was not.")
    if len(training) < FIRST:
        raise TooFewLabels(f"Too few labels: {len(training)} of at least {FIRST} chambers for training.")
    if not test:
        raise TooFewLabels("Too few labels: no chamber for the test.")
    kind = architecture(scorer.card.architecture)
    rich, usual = (
        sample(kind, simulate_chambers(SIMULATED, _HIGH | stream, share))
        for stream, share in enumerate((RICH, ORDINARY))
    )
    last_layers = LastLayers(scorer.network, (rich.inputs, rich.bad), (usual.inputs, usual.bad))
    tested, _ = _seen(kind, last_layers, test)
    tested = tested.of((tested.bad == 0) | (tested.bad == 1))
    bad = int(tested.bad.sum())
    good = len(tested.bad) - bad
    if bad < LEAST_BAD or good < LEAST_GOOD:
        needed = f"at least {LEAST_BAD} and {LEAST_GOOD} are needed"
        raise TooFewLabels(f"Too few labels: {bad} bad layers and {good} good ones for the test, {needed}.")
    known, chamber = _seen(kind, last_layers, training)
    sizes = [0, *_sizes(len(training))]
    figures: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(training))
        for size in sizes:
            report(f"order {seed + 1} of {SEEDS}: {size} labels")
            if size:
                last_layers.fit(known.of(np.isin(chamber, order[:size])), rng)
            else:
                last_layers.reset()
            scores, _ = last_layers.scores(tested.features)
            above = Ranking.of(tested.bad == 1, scores).above()
            figures[size].append((float(found_at(*above, FALSE_ALARMS)), float(areas(*above))))
    return tuple(_point(size, np.array(some)) for size, some in figures.items())


def _sizes(most: int) -> list[int]:
    """
    >>> _sizes(70), _sizes(10)
    ([10, 20, 40, 70], [10])
    """
    sizes = [FIRST]
    while sizes[-1] * 2 < most:
        sizes.append(sizes[-1] * 2)
    return sizes if sizes[-1] == most else [*sizes, most]


def _seen(kind: Architecture, last_layers: LastLayers, labelled: Sequence[Labelled]) -> tuple[Seen, np.ndarray]:
    """The labelled layers for a network to judge, and the chamber of each."""
    occupancies = [occupancy for occupancy, _ in labelled]
    bad = np.stack([said for _, said in labelled]) if labelled else np.empty((0, 12))
    bins = layer_bins(occupancies)
    wanted = judge_before(occupancies, bins).open & ~np.isnan(bad)
    inputs = kind.inputs(occupancies, bins)[wanted]
    return last_layers.seen(inputs, bad[wanted]), np.nonzero(wanted)[0]


def _point(size: int, figures: np.ndarray) -> LearningPoint:
    found, areas = figures.T
    return LearningPoint(
        labels=size,
        found=float(np.median(found)),
        found_least=float(found.min()),
        found_most=float(found.max()),
        area=float(np.median(areas)),
    )
