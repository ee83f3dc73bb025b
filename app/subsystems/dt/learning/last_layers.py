"""Refits the last dense layers of a network to labels, with all layers before them fixed.

The output of the fixed layers is computed once per layer of a chamber; a fit then takes a second and can be repeated
after every few labels, and for every subset of them. Not for making models: see `training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.ml.backend import keras, numpy_2_forgiven
from app.subsystems.dt.learning.networks import BAD
from app.subsystems.dt.learning.training import calibrated

if TYPE_CHECKING:
    from keras import Model

STEPS = 400  # per fit
BATCH = 256  # layers, half of them simulated and half labelled
LEARNING_RATE = 1e-3  # initial value; falls to zero
AS_MANY = 1_000  # number of labelled layers that weigh as much as the simulated ones
MOST_WEIGHT = 20.0  # of a bad labelled layer relative to a good one: a single one must not be half of the sample
BAD_SHARE = 0.15  # of the labelled layers in a batch, as far as that weight allows: as in chambers rich in faults


@dataclass(frozen=True, eq=False)
class Seen:
    """Layers as the network sees them before its last layers.

    Attributes:
        features: float32 (layers, n).
        bad: float (layers,), P(bad).
    """

    features: np.ndarray
    bad: np.ndarray

    def of(self, which: np.ndarray) -> Seen:
        return Seen(self.features[which], self.bad[which])


class LastLayers:
    """A network cut in two.

    Args:
        network: its weights are read, never changed.
        simulated: inputs and P(bad) of layers added to every fit, so that they are not forgotten.
        ordinary: the same for chambers with as few faults as usual, on which scores are calibrated.
    """

    def __init__(
        self, network: Model, simulated: tuple[np.ndarray, np.ndarray], ordinary: tuple[np.ndarray, np.ndarray]
    ) -> None:
        k = keras()
        last = next(i for i, layer in reversed(list(enumerate(network.layers))) if not _is_dense(layer)) + 1
        self._trunk = k.Model(network.inputs, network.layers[last].input)
        given = hidden = k.Input(self._trunk.output_shape[1:])
        for layer in network.layers[last:]:
            before, hidden = hidden, layer.__class__.from_config(layer.get_config())(hidden)
        self._head = k.Model(given, hidden)
        self._whole = k.Model(given, [hidden, before])
        rate = k.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS)
        self._head.compile(k.optimizers.Adam(rate), "categorical_crossentropy", steps_per_execution=50)
        with numpy_2_forgiven():
            self._first = [layer.get_weights() for layer in network.layers[last:]]
        self._simulated, self._ordinary = self.seen(*simulated), self.seen(*ordinary)
        self._calibration = (1.0, 0.0)
        self.reset()

    def seen(self, inputs: np.ndarray, bad: np.ndarray) -> Seen:
        """The inputs of the last layers for some layers: inputs float32 (layers, …), bad float (layers,)."""
        return Seen(self._trunk.predict(inputs, batch_size=4096, verbose=0), bad)

    def reset(self) -> None:
        """Restore the weights of the network."""
        with numpy_2_forgiven():
            for layer, weights in zip(self._head.layers[1:], self._first, strict=True):
                layer.set_weights(weights)
            for variable in self._head.optimizer.variables:
                if variable is not self._head.optimizer._learning_rate:
                    variable.assign(np.zeros(variable.shape))
        self._calibrate()

    def fit(self, labelled: Seen, rng: np.random.Generator) -> None:
        """Fit the last layers, starting from the network's weights, half to simulated layers, half to labelled ones."""
        self.reset()
        total = STEPS * BATCH
        share = len(labelled.bad) / (len(labelled.bad) + AS_MANY)
        number = round(total * min(share, 0.5))
        ours = rng.choice(len(labelled.bad), number, p=_chances(labelled.bad))
        theirs = rng.integers(len(self._simulated.bad), size=total - number)
        features = np.concatenate((labelled.features[ours], self._simulated.features[theirs]))
        bad = np.concatenate((labelled.bad[ours], self._simulated.bad[theirs]))
        order = rng.permutation(total)
        target = np.stack((1 - bad, bad), axis=1).astype(np.float32)
        self._head.fit(features[order], target[order], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
        self._calibrate()

    def scores(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(bad), and the activations of the last hidden layer: float (layers,) and float32 (layers, units)."""
        both, hidden = self._whole.predict(features, batch_size=8192, verbose=0)
        temperature, shift = self._calibration
        return 1 / (1 + np.exp(-(_log_odds(both) / temperature + shift))), hidden

    def _calibrate(self) -> None:
        log_odds = _log_odds(self._head.predict(self._ordinary.features, batch_size=8192, verbose=0))
        found = calibrated(self._ordinary.bad, log_odds)
        self._calibration = found.temperature, found.shift


def _is_dense(layer: object) -> bool:
    return isinstance(layer, keras().layers.Dense)


def _log_odds(both: np.ndarray) -> np.ndarray:
    both = both.astype(np.float64)
    return np.log(both[:, BAD] + 1e-12) - np.log(both[:, 1 - BAD] + 1e-12)


def _chances(bad: np.ndarray) -> np.ndarray:
    """How often each labelled layer is drawn: bad ones are oversampled, within limits."""
    share = bad.mean()
    weight = np.clip(BAD_SHARE / (1 - BAD_SHARE) * (1 - share) / max(share, 1e-9), 1, MOST_WEIGHT)
    weights = 1 + (weight - 1) * bad
    return weights / weights.sum()
