"""Why a network scored a layer as it did: how much each cell pushed the score, towards bad (> 0) or good (< 0).

In units of the logit of P(bad), against the same chamber with every cell as expected. The network is never changed, and
the same call gives the same map. Importing this imports no TensorFlow; making an `Explainer` does.

Sources: M. Sundararajan, A. Taly, Q. Yan, Axiomatic Attribution for Deep Networks, ICML 2017 (integrated gradients);
D. Smilkov et al., SmoothGrad, arXiv:1706.03825; A. Shrikumar et al., arXiv:1605.01713 (gradient × input); M. Zeiler and
R. Fergus, ECCV 2014 (occlusion).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np

from app.errors import InvalidInput
from app.ml.backend import keras, tensorflow
from app.ml.networks import BAD, architecture
from app.ml.scoring import Scorer
from app.subsystems.dt.carry_back import as_expected
from app.subsystems.dt.findings import all_expected
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.preprocess import BINS, layer_bins

NOISE = 0.15  # of SmoothGrad: σ in ranges of a layer's input
SAMPLES = 25  # of SmoothGrad
STUDY = (0.2, 20)  # noise and samples of the study of 2018
STEPS = 32  # of the integral, at first; four times as many where the sum is not what it must be
MOST_STEPS = 512
COMPLETE = 0.01  # how far the sum may be off, as a share of the difference of the logits
_NEGLIGIBLE = 0.5  # logits: of smaller differences it is the share of this
WINDOW, STRIDE = 6, 3  # cells that occlusion replaces at once, and how far it then goes on
_AT_ONCE = 4096  # layers in one batch: some 12 MB
_CHAMBERS_AT_ONCE = 16  # of which all windows are held: as many layers


class Method(StrEnum):
    """The ways to explain. The values are stored with what they gave."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    GRADIENT_INPUT = "gradient_input"
    SMOOTHGRAD = "smoothgrad"
    OCCLUSION = "occlusion"
    STUDY_2018 = "study_2018"  # what pushes the output for good up, and nothing else: only to be compared with


DEFAULT = Method.OCCLUSION  # the best in `flask evaluate-saliency`


@dataclass(frozen=True, eq=False)
class Influence:
    """How much the cells of one chamber pushed the scores of their layers.

    Attributes:
        cells: float32 (12, columns), in logits: > 0 pushes to bad. 0 where no cell is.
        around: float32 (12,): what pushed through the siblings and the other superlayers.
        bins: float32 (12, 47): the same on the bins of the network, before it was carried back.
        logit: float32 (12,), log(P(bad) / P(good)); NaN where no layer is.
        expected: float32 (12,), the logit of the same layer as expected. Integrated gradients share out the difference
            of the two: cells and `around` sum to it.
    """

    cells: np.ndarray
    around: np.ndarray
    bins: np.ndarray
    logit: np.ndarray
    expected: np.ndarray


def method_named(name: str) -> Method:
    """The method of this name.

    Raises:
        InvalidInput: there is none.

    >>> method_named("lime")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    app.errors.InvalidInput: method is 'lime', but must be one of integrated_gradients, ...
    """
    try:
        return Method(name)
    except ValueError:
        raise InvalidInput("method", name, f"one of {', '.join(Method)}") from None


class Explainer:
    """Explains one model. The scorer's network is read, never changed."""

    def __init__(self, scorer: Scorer) -> None:
        self.version = scorer.version
        self._architecture = architecture(scorer.card.architecture)
        network = scorer.network
        head = network.layers[-1]
        before = keras().Model(network.inputs, head.input)
        weights, bias = (np.asarray(value) for value in head.get_weights())
        self._to_bad, self._to_good = weights[:, BAD] - weights[:, 1 - BAD], weights[:, 1 - BAD]
        constant = float(bias[BAD] - bias[1 - BAD])
        tf = tensorflow()
        given = tf.TensorSpec([None, *self._architecture.shape], tf.float32)
        towards = tf.TensorSpec([weights.shape[0]], tf.float32)

        @tf.function(input_signature=[given])
        def logits(inputs):
            return tf.linalg.matvec(before(inputs, training=False), self._to_bad) + constant

        @tf.function(input_signature=[given, towards])
        def gradients(inputs, direction):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = tf.linalg.matvec(before(inputs, training=False), direction)
            return tape.gradient(value, inputs)

        self._logits, self._gradients = logits, gradients

    def explain(
        self, occupancies: Sequence[Occupancy], method: Method | str = DEFAULT, seed: int = 0
    ) -> list[Influence]:
        """Explain the scores of chambers, in the order given. What else is in the batch does not matter.

        Args:
            seed: of SmoothGrad's noise.
        """
        if not occupancies:
            return []
        method = method_named(method)
        baselines = list(map(as_expected, occupancies, all_expected(occupancies)))
        inputs, expected = self._inputs(occupancies), self._inputs(baselines)
        exists = ~np.isnan(layer_bins(occupancies)[..., 0])
        logit, normal = np.full((2, *exists.shape), np.nan, np.float32)
        logit[exists], normal[exists] = self.logits(inputs[exists]), self.logits(expected[exists])
        if method is Method.OCCLUSION:
            influences = self._occlude(occupancies, baselines, logit)
        else:
            given = np.zeros(inputs.shape)
            given[exists] = self._attribute(method, inputs[exists], expected[exists], seed)
            carried = self._architecture.carry_back(occupancies, baselines, given, inputs - expected)
            bins = given[:, :, :BINS] if given.ndim == 3 else given[:, :, :BINS].sum(axis=-1)
            influences = [(cells, around, b) for (cells, around), b in zip(carried, bins, strict=True)]
        f = np.float32
        return [
            Influence(cells.astype(f), around.astype(f), b.astype(f), *levels)
            for (cells, around, b), *levels in zip(influences, logit, normal, strict=True)
        ]

    def logits_of(self, occupancies: Sequence[Occupancy]) -> np.ndarray:
        """float32 (n, 12): log(P(bad) / P(good)) of the layers of chambers; NaN where no layer is."""
        exists = ~np.isnan(layer_bins(occupancies)[..., 0])
        result = np.full(exists.shape, np.nan, np.float32)
        result[exists] = self.logits(self._inputs(occupancies)[exists])
        return result

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """float32 (layers,): log(P(bad) / P(good)) of inputs (layers, …) that are ready for the network."""
        return self._in_batches(self._logits, inputs, np.empty(len(inputs), np.float32))

    def gradients(self, inputs: np.ndarray, of_good: bool = False) -> np.ndarray:
        """float32 (layers, …): how the logit changes with each input; or the output for good before its softmax."""
        direction = self._to_good if of_good else self._to_bad
        into = np.empty(inputs.shape, np.float32)
        return self._in_batches(lambda some: self._gradients(some, direction), inputs, into)

    def _in_batches(self, function: Callable[..., Any], inputs: np.ndarray, into: np.ndarray) -> np.ndarray:
        for start in range(0, len(inputs), _AT_ONCE):
            into[start : start + _AT_ONCE] = function(np.ascontiguousarray(inputs[start : start + _AT_ONCE])).numpy()
        return into

    def _inputs(self, occupancies: Sequence[Occupancy]) -> np.ndarray:
        return self._architecture.inputs(occupancies, layer_bins(occupancies))

    def _attribute(self, method: Method, inputs: np.ndarray, expected: np.ndarray, seed: int) -> np.ndarray:
        """float (layers, …): the influence of everything that the network takes."""
        if method is Method.GRADIENT_INPUT:
            return inputs * self.gradients(inputs)
        if method is Method.SMOOTHGRAD:
            return (inputs - expected) * self._smooth_gradients(inputs, seed, NOISE, SAMPLES)
        if method is Method.STUDY_2018:
            return np.maximum(self._smooth_gradients(inputs, seed, *STUDY, of_good=True), 0)
        return self._integrated(inputs, expected, STEPS)

    def _smooth_gradients(
        self, inputs: np.ndarray, seed: int, noise: float, samples: int, of_good: bool = False
    ) -> np.ndarray:
        """float (layers, …): the mean gradient around inputs, under a noise in ranges of each layer's own input."""
        rng = np.random.default_rng(seed)
        axes = tuple(range(1, inputs.ndim))
        sigma = noise * (inputs.max(axis=axes, keepdims=True) - inputs.min(axis=axes, keepdims=True))
        drawn = rng.normal(size=(samples, *inputs.shape[1:]))  # the same for every layer: no batch makes a difference
        noisy = ((inputs + sigma * one).astype(np.float32) for one in drawn)
        return np.mean([self.gradients(some, of_good) for some in noisy], axis=0)

    def _integrated(self, inputs: np.ndarray, expected: np.ndarray, steps: int) -> np.ndarray:
        """The gradient's mean on the straight way from the expected to the inputs, by the midpoint rule, times the way.

        With four times as many steps where the sum over a layer is not the difference of its logits.
        """
        way = inputs - expected
        result = np.zeros(inputs.shape)
        at_once = max(1, _AT_ONCE // steps)
        middles = ((np.arange(steps) + 0.5) / steps).astype(np.float32).reshape(-1, *[1] * way.ndim)
        for start in range(0, len(inputs), at_once):
            part = slice(start, start + at_once)
            points = expected[part] + middles * way[part]
            gradients = self.gradients(points.reshape(-1, *inputs.shape[1:])).reshape(points.shape)
            result[part] = way[part] * gradients.mean(axis=0, dtype=np.float64)
        difference = self.logits(inputs).astype(float) - self.logits(expected)
        off = np.abs(result.reshape(len(inputs), -1).sum(axis=1) - difference)
        again = np.flatnonzero(off > np.maximum(np.abs(difference), _NEGLIGIBLE) * COMPLETE)
        if again.size and 4 * steps <= MOST_STEPS:
            result[again] = self._integrated(inputs[again], expected[again], 4 * steps)
        return result

    def _occlude(
        self, occupancies: Sequence[Occupancy], baselines: Sequence[Occupancy], logit: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """What the logit loses when a window of cells is as expected, shared among them."""
        found = []
        for start in range(0, len(occupancies), _CHAMBERS_AT_ONCE):
            some = slice(start, start + _CHAMBERS_AT_ONCE)
            given = list(zip(occupancies[some], baselines[some], logit[some], strict=True))
            inputs = [self._occluded(occupancy, baseline) for occupancy, baseline, _ in given]
            left = np.split(self.logits(np.concatenate(inputs)), np.cumsum([len(one) for one in inputs[:-1]]))
            for (occupancy, _, own), remains in zip(given, left, strict=True):
                rows, cells = _windows(occupancy.cells.tobytes(), occupancy.chamber.columns)
                result = np.zeros(occupancy.counts.shape)
                share = (own[rows] - remains) * STRIDE / WINDOW / cells.sum(axis=1)
                np.add.at(result, rows, share[:, None] * cells)
                found.append((result, np.zeros(LAYERS), np.zeros((LAYERS, BINS))))
        return found

    def _occluded(self, occupancy: Occupancy, baseline: Occupancy) -> np.ndarray:
        """float32 (k, …): what the network takes of a layer with each window as expected."""
        rows, cells = _windows(occupancy.cells.tobytes(), occupancy.chamber.columns)
        counts = np.repeat(occupancy.counts[None].astype(np.float32), len(rows), axis=0)
        counts[np.arange(len(rows)), rows] = np.where(cells, baseline.counts[rows], occupancy.counts[rows])
        return self._architecture.altered(occupancy, counts, rows)


@lru_cache(maxsize=256)
def _windows(cells: bytes, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a chamber, by the bytes of the bool (12, columns) that says which cells exist.

    Returns:
        int (k,), the row of each; bool (k, columns), its cells.
    """
    exists = np.frombuffer(cells, bool).reshape(LAYERS, columns)
    rows, windows = [], []
    for row in np.flatnonzero(exists.any(axis=1)):
        existing = np.flatnonzero(exists[row])
        for start in range(STRIDE - WINDOW, existing.size, STRIDE):
            rows.append(row)
            windows.append(np.isin(np.arange(columns), existing[max(0, start) : start + WINDOW]))
    return np.array(rows), np.array(windows)
