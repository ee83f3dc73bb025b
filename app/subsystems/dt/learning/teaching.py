"""Teaching a network from labels and simulated chambers together, so that people's labels win over the simulator.

A network that is shown both learns a compromise where they differ, and a few labels lose. So simulated layers give way:
what is ambiguous to the simulator is not shown at first, and then as the labels, and what is certain, have it; what is
certain to the simulator is left out where all labels of layers like it say otherwise. Not for which labels there are:
see `labelled_items`; nor for whether what was known is forgotten: see `forgetting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.ml.backend import keras
from app.ml.split import Part
from app.subsystems.dt.learning.fitting import Epoch, fit, log_odds, seeded
from app.subsystems.dt.learning.labelled_items import LabelledSet
from app.subsystems.dt.learning.networks import Architecture, Recipe
from app.subsystems.dt.learning.samples import Sample, balanced, joined, mixed

if TYPE_CHECKING:
    from keras import Model

EPOCHS, LEARNING_RATE = 0.4, 2 / 3  # of a network that goes on from another, as shares of the recipe's
ROUNDS = 3  # in each of which what is simulated gives way a little further
MOVED = 0.2  # from here on what the labels say of an ambiguous layer differs from what the simulator says
NEIGHBOURS = 3  # labels of layers like it, all of which contradict the simulator where its certainty gives way
ALIKE = 2.0  # times as far as the third nearest label of the same opinion: so far from a label a layer is like its


@dataclass(frozen=True, eq=False)
class Taught:
    """Labelled chambers to learn from besides the simulated ones.

    Attributes:
        labelled: those; training and validation each have both good and bad layers.
        simulated_weight: how much all simulated layers count together in fitting, all labelled ones counting 1.
        active: the folder of the model to go on from, where its architecture is the same; None to begin anew.
    """

    labelled: LabelledSet
    simulated_weight: float
    active: Path | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """What came of teaching.

    Attributes:
        shown: the layers of the last fit.
        bad_weight: of a labelled bad layer in it, a good one counting 1.
        settle: what else is to be measured by the simulator, as the labels have it.
        contradicted: simulated layers to learn from that gave way, left out or bad now.
    """

    shown: Sample
    bad_weight: float
    settle: Callable[[Sample], Sample]
    contradicted: int


def beginning(kind: Architecture, active: Path | None, seed: int) -> tuple[Model, str]:
    """The network to teach, and the name of the model whose weights it has; "" where it begins anew."""
    from app.subsystems.dt.learning.scoring import Scorer

    seeded(seed)
    network = kind.build()
    if active is not None:
        known = Scorer(active).network
        if [w.shape for w in known.get_weights()] == [w.shape for w in network.get_weights()]:
            network.set_weights(known.get_weights())
            return network, active.name
    return network, ""


def teach(
    network: Model,
    goes_on: bool,
    recipe: Recipe,
    seed: int,
    simulated: tuple[Sample, Sample],
    real: Mapping[Part, Sample],
    simulated_weight: float,
    report: Callable[[str], None],
    after_epoch: Callable[[Epoch], None],
) -> Lesson:
    """Fit a network to simulated and labelled layers.

    First to what is certain, for as long as the validation's loss falls. Then, in rounds that are half as long, to all
    labels but those of the test, and to what is simulated as the network has it by then.

    Args:
        goes_on: it has the weights of a model that knows what is simulated.
        simulated: to learn from and for validation, both rich in faults, which count for fewer.
        real: the labelled layers by part.
    """
    shown, validation = simulated
    again = replace(
        recipe, epochs=max(2, round(EPOCHS * recipe.epochs)), learning_rate=LEARNING_RATE * recipe.learning_rate
    )
    rarer = _odds(shown, shown.weights) / _odds(shown)
    labelled = joined([real[Part.TRAINING], real[Part.VALIDATION]])
    to_learn, bad_weight = balanced(labelled)

    def settle(some: Sample) -> Sample:
        says = 1 / (1 + np.exp(np.log(rarer) - log_odds(network, some.inputs)))
        otherwise = np.flatnonzero(((some.bad == 0) & (says > 0.5)) | ((some.bad == 1) & (says < 0.5)))
        against, embed = np.zeros(len(some.bad), bool), embedding(network)
        against[otherwise] = contradicted(
            embed(some.inputs[otherwise]), some.bad[otherwise], embed(labelled.inputs), labelled.bad
        )
        return settled(some, says, against)

    epochs = fit(
        network,
        again if goes_on else recipe,
        seed,
        mixed(_certain(shown), balanced(real[Part.TRAINING])[0], simulated_weight),
        mixed(_certain(validation), real[Part.VALIDATION], simulated_weight),
        report,
        after_epoch,
    )
    again = replace(again, epochs=max(1, min(epochs, again.epochs) // 2))
    for number in range(1, ROUNDS + 1):
        some = settle(shown)
        left_out = len(shown.bad) - len(some.bad)
        changed = left_out + int((some.bad == 1).sum()) - int((shown.bad == 1).sum())
        report(f"round {number} of {ROUNDS}: {changed} simulated layers give way to labels, {left_out} left out")
        last = mixed(some, to_learn, simulated_weight)
        fit(network, again, seed, last, None, report)
    return Lesson(last, bad_weight, settle, changed)


def settled(some: Sample, says: np.ndarray, against: np.ndarray) -> Sample:
    """Simulated layers as labels have them.

    Args:
        says: float (layers,), P(bad) by a fit that was shown labels, and of the simulated ones what is certain.
        against: bool (layers,), labels contradict what is certain.

    Returns:
        those whose target stands; of the ambiguous ones, those that turned out bad as such, and without those that
        turned out good.
    """
    ambiguous = (some.bad > 0) & (some.bad < 1)
    bad = ambiguous & (says >= np.maximum(0.5, some.bad + MOVED))
    good = ambiguous & (says <= np.minimum(0.5, some.bad - MOVED))
    return replace(some, bad=np.where(bad, np.float32(1), some.bad)).of(~good & ~against)


def contradicted(embedded: np.ndarray, bad: np.ndarray, labelled: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Where all labels of layers like it say the contrary of what a layer is thought to be: bool (layers,).

    Alike are layers about as near as labelled ones of one opinion are to each other.

    Args:
        embedded, labelled: float (layers, n) and (labelled layers, n), as a network sees them before its last layer.
        bad, said: float (layers,) and (labelled layers,), P(bad).
    """
    from sklearn.neighbors import NearestNeighbors

    result = np.zeros(len(bad), bool)
    for opinion in (False, True):
        which, those = np.flatnonzero((bad > 0.5) != opinion), (said > 0.5) == opinion
        if not which.size or those.sum() <= NEIGHBOURS:
            continue
        scale = labelled.std(axis=0) + 1e-6
        points = labelled / scale
        own = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(points[those])
        radius = np.full(len(said), np.inf)
        radius[those] = ALIKE * own.kneighbors(points[those])[0][:, -1]
        distance, near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(points).kneighbors(embedded[which] / scale)
        result[which] = (those[near] & (distance <= radius[near])).all(axis=1)
    return result


def embedding(network: Model) -> Callable[[np.ndarray], np.ndarray]:
    """What a network makes of inputs before its last layer: float32 (layers, n)."""
    before = keras().Model(network.inputs, network.layers[-1].input)
    return lambda inputs: before.predict(inputs, batch_size=4096, verbose=0)


def _certain(some: Sample) -> Sample:
    return some.of((some.bad == 0) | (some.bad == 1))


def _odds(some: Sample, weights: np.ndarray | None = None) -> float:
    bad = float(np.average(some.bad, weights=weights))
    return bad / (1 - bad)
