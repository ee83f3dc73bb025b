"""Training a network on labels and simulated chambers together, so that labels overrule the simulator.

Trained on both, a network learns a compromise where they differ, and a few labels lose. So simulated layers give way:
layers that are ambiguous to the simulator are not shown at first, and later with targets that follow from the labels
and the certain layers; certain layers are left out if all labels of similar layers say otherwise. Not for which labels
there are: see `labelled_items`; nor for whether anything was forgotten: see `forgetting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.ml.backend import keras
from app.ml.split import Split
from app.subsystems.dt.learning.fitting import Epoch, fit, log_odds, seeded
from app.subsystems.dt.learning.labelled_items import LabelledSet
from app.subsystems.dt.learning.networks import Architecture, Recipe
from app.subsystems.dt.learning.samples import Sample, balanced, joined, mixed

if TYPE_CHECKING:
    from keras import Model

EPOCHS, LEARNING_RATE = 0.4, 2 / 3  # for a network that continues from another one, as shares of the recipe's
ROUNDS = 3  # in each of which simulated layers give way a little further
MOVED = 0.2  # difference from which the labels disagree with the simulator on an ambiguous layer
NEIGHBOURS = 3  # labels of similar layers that must all contradict the simulator to overrule its certainty
ALIKE = 2.0  # times the distance of the third nearest label of the same opinion: up to this, a layer is similar


@dataclass(frozen=True, eq=False)
class Taught:
    """Labelled chambers to train on in addition to the simulated ones.

    Attributes:
        labelled: the chambers; training and validation each have both good and bad layers.
        simulated_weight: total weight of all simulated layers in the fit, relative to all labelled ones.
        active: the folder of the model to continue from, if it has the same architecture; None to start from scratch.
    """

    labelled: LabelledSet
    simulated_weight: float
    active: Path | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """The result of teaching.

    Attributes:
        shown: the layers of the last fit.
        bad_weight: the weight of a labelled bad layer in it, relative to a good one.
        settle: applies the labels to further simulated layers, for measurements.
        contradicted: simulated training layers that gave way: left out, or bad now.
    """

    shown: Sample
    bad_weight: float
    settle: Callable[[Sample], Sample]
    contradicted: int


def beginning(kind: Architecture, active: Path | None, seed: int) -> tuple[Model, str]:
    """The network to train, and the name of the model whose weights it has; "" if it starts from scratch."""
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
    real: Mapping[Split, Sample],
    simulated_weight: float,
    report: Callable[[str], None],
    after_epoch: Callable[[Epoch], None],
) -> Lesson:
    """Fit a network to simulated and labelled layers.

    First to certain layers, as long as the validation loss falls. Then, in rounds of half the length, to all labels
    except those of the test, and to simulated layers as the network sees them by then.

    Args:
        goes_on: it has the weights of a model trained on simulated layers.
        simulated: for training and for validation, both rich in faults, which get lower weights.
        real: the labelled layers by part.
    """
    shown, validation = simulated
    again = replace(
        recipe, epochs=max(2, round(EPOCHS * recipe.epochs)), learning_rate=LEARNING_RATE * recipe.learning_rate
    )
    rarer = _odds(shown, shown.weights) / _odds(shown)
    labelled = joined([real[Split.TRAINING], real[Split.VALIDATION]])
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
        mixed(_certain(shown), balanced(real[Split.TRAINING])[0], simulated_weight),
        mixed(_certain(validation), real[Split.VALIDATION], simulated_weight),
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
    """Simulated layers, corrected by labels.

    Args:
        says: float (layers,), P(bad) by a fit to labels and certain simulated layers.
        against: bool (layers,), labels contradict the certain target.

    Returns:
        the layers that remain: ambiguous ones that turned out bad become bad, those that turned out good are left out.
    """
    ambiguous = (some.bad > 0) & (some.bad < 1)
    bad = ambiguous & (says >= np.maximum(0.5, some.bad + MOVED))
    good = ambiguous & (says <= np.minimum(0.5, some.bad - MOVED))
    return replace(some, bad=np.where(bad, np.float32(1), some.bad)).of(~good & ~against)


def contradicted(embedded: np.ndarray, bad: np.ndarray, labelled: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Layers for which all labels of similar layers contradict the target: bool (layers,).

    Similar layers are about as near as labelled ones of the same opinion are to each other.

    Args:
        embedded, labelled: float (layers, n) and (labelled layers, n), activations before the network's last layer.
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
    """A network's activations before its last layer: float32 (layers, n)."""
    before = keras().Model(network.inputs, network.layers[-1].input)
    return lambda inputs: before.predict(inputs, batch_size=4096, verbose=0)


def _certain(some: Sample) -> Sample:
    return some.of((some.bad == 0) | (some.bad == 1))


def _odds(some: Sample, weights: np.ndarray | None = None) -> float:
    bad = float(np.average(some.bad, weights=weights))
    return bad / (1 - bad)
