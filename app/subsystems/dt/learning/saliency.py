"""Why a network gave a layer its score: how much each cell pushed it, towards bad (> 0) or good (< 0).

Influence is in units of the logit of P(bad), relative to the same chamber with every cell as expected. The network is
never changed, and the same call gives the same map. Importing this does not import TensorFlow; creating an `Explainer`
does.

Sources: M. Sundararajan, A. Taly, Q. Yan, Axiomatic Attribution for Deep Networks, ICML 2017 (integrated gradients);
D. Smilkov et al., SmoothGrad, arXiv:1706.03825; A. Shrikumar et al., arXiv:1605.01713 (gradient × input); M. Zeiler and
R. Fergus, ECCV 2014 (occlusion).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from app.domain.influence import DEFAULT, Influence, Method, method_named
from app.ml.backend import THREADS, keras, tensorflow
from app.subsystems.dt.carry_back import as_expected
from app.subsystems.dt.findings import all_expected
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.networks import BAD, architecture
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.preprocess import BINS, layer_bins

NOISE = 0.15  # of SmoothGrad: σ in ranges of a layer's input
SAMPLES = 25  # of SmoothGrad
STUDY = (0.2, 20)  # noise and samples of the study of 2018
STEPS = 8  # initial steps of the integral; a step is halved if its contribution to the sum is off
MOST_HALVINGS = 20
COMPLETE = 0.01  # tolerance of the sum, as a share of the difference of the logits
_NEGLIGIBLE = 0.5  # logits: smaller differences have the tolerance of this one
_WITHIN = 0.7 * COMPLETE  # the rest is for the rounding of what comes after
WINDOW, STRIDE = 6, 3  # cells replaced at once by occlusion, and its step
_AT_ONCE = 4096  # layers in one batch: some 12 MB
_INTEGRATED_AT_ONCE = 256  # layers whose steps are all held in memory


_Influences = tuple[np.ndarray, np.ndarray, np.ndarray]  # on the cells, around, on the bins: see `Influence`


@dataclass(frozen=True, eq=False)
class _Steps:
    """Segments of the paths from the expected to the actual inputs of layers; arrays with one entry per segment.

    Attributes:
        layer: int, the layer of the path.
        begin, width: as shares of the path.
        low, middle, high: logits at the start, middle and end.
        slopes: float32 (k, …), the gradients in the middle.
        off: the difference between their integral and the change of the logit.
    """

    layer: np.ndarray
    begin: np.ndarray
    width: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    slopes: np.ndarray
    off: np.ndarray

    def of(self, which: np.ndarray) -> _Steps:
        return _Steps(*(getattr(self, field.name)[which] for field in fields(self)))

    def and_(self, other: _Steps) -> _Steps:
        return _Steps(*(np.concatenate((getattr(self, f.name), getattr(other, f.name))) for f in fields(self)))


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
        def logits(inputs: Any) -> Any:
            return tf.linalg.matvec(before(inputs, training=False), self._to_bad) + constant

        @tf.function(input_signature=[given, towards])
        def gradients(inputs: Any, direction: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = tf.linalg.matvec(before(inputs, training=False), direction)
            return tape.gradient(value, inputs), value + constant

        # Called without look-ups, which would take a third of the time of a small batch.
        self._logits, self._gradients = logits.get_concrete_function(), gradients.get_concrete_function()
        self._tensor = tf.constant

    def explain(
        self, occupancies: Sequence[Occupancy], method: Method | str = DEFAULT, seed: int = 0
    ) -> list[Influence]:
        """Explain the scores of chambers, in the given order. The rest of the batch has no effect.

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
            with ThreadPoolExecutor(THREADS) as pool:
                influences = list(pool.map(self._occlude, occupancies, baselines, logit))
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
        """float32 (n, 12): log(P(bad) / P(good)) of the layers of chambers; NaN for absent layers."""
        exists = ~np.isnan(layer_bins(occupancies)[..., 0])
        result = np.full(exists.shape, np.nan, np.float32)
        result[exists] = self.logits(self._inputs(occupancies)[exists])
        return result

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """float32 (layers,): log(P(bad) / P(good)) of inputs (layers, …) that are ready for the network."""
        return self._in_batches(self._logits, inputs, np.empty(len(inputs), np.float32))

    def gradients(self, inputs: np.ndarray, of_good: bool = False) -> np.ndarray:
        """float32 (layers, …): how the logit changes with each input; or the output for good before its softmax."""
        direction = self._tensor(self._to_good if of_good else self._to_bad)
        into = np.empty(inputs.shape, np.float32)
        return self._in_batches(lambda some: self._gradients(some, direction)[0], inputs, into)

    def _in_batches(self, function: Callable[..., Any], inputs: np.ndarray, into: np.ndarray) -> np.ndarray:
        for start in range(0, len(inputs), _AT_ONCE):
            into[start : start + _AT_ONCE] = function(self._tensor(inputs[start : start + _AT_ONCE])).numpy()
        return into

    def _inputs(self, occupancies: Sequence[Occupancy]) -> np.ndarray:
        return self._architecture.inputs(occupancies, layer_bins(occupancies))

    def _attribute(self, method: Method, inputs: np.ndarray, expected: np.ndarray, seed: int) -> np.ndarray:
        """float (layers, …): the influence of all inputs of the network."""
        if method is Method.GRADIENT_INPUT:
            return inputs * self.gradients(inputs)
        if method is Method.SMOOTHGRAD:
            return (inputs - expected) * self._smooth_gradients(inputs, seed, NOISE, SAMPLES)
        if method is Method.STUDY_2018:
            return np.maximum(self._smooth_gradients(inputs, seed, *STUDY, of_good=True), 0)
        parts = [slice(start, start + _INTEGRATED_AT_ONCE) for start in range(0, len(inputs), _INTEGRATED_AT_ONCE)]
        return np.concatenate([self._integrated(inputs[part], expected[part]) for part in parts])

    def _smooth_gradients(
        self, inputs: np.ndarray, seed: int, noise: float, samples: int, of_good: bool = False
    ) -> np.ndarray:
        """float (layers, …): the mean gradient around inputs, under a noise in ranges of each layer's own input."""
        rng = np.random.default_rng(seed)
        axes = tuple(range(1, inputs.ndim))
        sigma = noise * (inputs.max(axis=axes, keepdims=True) - inputs.min(axis=axes, keepdims=True))
        drawn = rng.normal(size=(samples, *inputs.shape[1:]))  # the same for every layer, independent of the batch
        noisy = ((inputs + sigma * one).astype(np.float32) for one in drawn)
        return np.mean([self.gradients(some, of_good) for some in noisy], axis=0)

    def _integrated(self, inputs: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """The mean gradient on the straight path from expected to actual inputs, times the path: float (layers, …).

        Uses the midpoint rule, which is exact where no unit of the network switches, because the logit is piecewise
        linear. A step whose gradient does not match the change of the logit is halved.
        """
        way = inputs - expected
        points = np.arange(STEPS + 1, dtype=np.float32).reshape(-1, 1, *[1] * (way.ndim - 1)) / STEPS * way + expected
        at_ends = self.logits(points.reshape(-1, *way.shape[1:])).reshape(STEPS + 1, -1).astype(float)
        allowed = _WITHIN * np.maximum(np.abs(at_ends[-1] - at_ends[0]), _NEGLIGIBLE)
        steps = self._steps(
            expected,
            way,
            layer=np.tile(np.arange(len(way)), STEPS),
            begin=np.repeat(np.arange(STEPS) / STEPS, len(way)),
            width=np.full(STEPS * len(way), 1 / STEPS),
            low=at_ends[:-1].ravel(),
            high=at_ends[1:].ravel(),
        )
        for _ in range(MOST_HALVINGS):
            off = np.bincount(steps.layer, steps.off, len(way))
            worst = np.zeros(len(way))
            np.maximum.at(worst, steps.layer, np.abs(steps.off))
            split = (np.abs(off) > allowed)[steps.layer] & (np.abs(steps.off) > worst[steps.layer] / 8)
            if not split.any():
                break
            old, half = steps.of(split), steps.width[split] / 2
            new = self._steps(
                expected,
                way,
                layer=np.tile(old.layer, 2),
                begin=np.concatenate((old.begin, old.begin + half)),
                width=np.tile(half, 2),
                low=np.concatenate((old.low, old.middle)),
                high=np.concatenate((old.middle, old.high)),
            )
            steps = steps.of(~split).and_(new)
        mean = np.zeros(way.shape)
        np.add.at(mean, steps.layer, steps.slopes * steps.width.reshape(-1, *[1] * (way.ndim - 1)))
        return mean * way

    def _steps(
        self,
        expected: np.ndarray,
        way: np.ndarray,
        layer: np.ndarray,
        begin: np.ndarray,
        width: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> _Steps:
        slopes, middle = np.empty((len(layer), *way.shape[1:]), np.float32), np.empty(len(layer))
        gained = np.empty(len(layer))
        far = (begin + width / 2).astype(np.float32).reshape(-1, *[1] * (way.ndim - 1))
        for start in range(0, len(layer), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            ways = way[layer[part]]
            points = expected[layer[part]] + far[part] * ways
            slopes[part], middle[part] = (
                tensor.numpy() for tensor in self._gradients(self._tensor(points), self._tensor(self._to_bad))
            )
            gained[part] = (slopes[part] * ways).reshape(len(ways), -1).sum(axis=1, dtype=np.float64)
        return _Steps(layer, begin, width, low, middle, high, slopes, gained * width - (high - low))

    def _occlude(self, occupancy: Occupancy, baseline: Occupancy, own: np.ndarray) -> _Influences:
        """The effect of a window of cells on the logit, shared among its cells: the mean of two measurements.

        These are the drop of the logit when the window is as expected, and the gain of the expected layer from the
        window: the last and the first of the orders averaged by a Shapley value (1953). Neither suffices alone: a piece
        of a wide block is not missed, and a few empty cells among few hits mean nothing by themselves. The gain of the
        median window is subtracted, because any piece of real data is worse than a layer exactly as expected.
        """
        rows, cells = _windows(occupancy.cells.tobytes(), occupancy.chamber.columns)
        logits = self.logits(self._occluded(occupancy, baseline))
        without, alone, clean = np.split(logits, (len(rows), 2 * len(rows)))
        usual = np.zeros(LAYERS)
        for layer, level in zip(np.unique(rows), clean, strict=True):
            gains = np.sort(alone[rows == layer])  # np.median takes ten times as long
            usual[layer] = max(level, (gains[(gains.size - 1) // 2] + gains[gains.size // 2]) / 2)
        share = (own[rows] - without + alone - usual[rows]) / 2 * STRIDE / WINDOW / cells.sum(axis=1)
        result = np.zeros(occupancy.counts.shape)
        np.add.at(result, rows, share[:, None] * cells)
        return result, np.zeros(LAYERS), np.zeros((LAYERS, BINS))

    def _occluded(self, occupancy: Occupancy, baseline: Occupancy) -> np.ndarray:
        """float32 (2 k + layers, …): the network's inputs for a layer with each window as expected, with everything
        except the window as expected, and with all of it as expected."""
        rows, cells = _windows(occupancy.cells.tobytes(), occupancy.chamber.columns)
        layers = np.unique(rows)
        as_is, normal = (one.counts.astype(np.float32) for one in (occupancy, baseline))
        lines = np.where(cells, normal[rows], as_is[rows]), np.where(cells, as_is[rows], normal[rows]), normal[layers]
        return self._architecture.altered(occupancy, np.concatenate((rows, rows, layers)), np.concatenate(lines))


@lru_cache(maxsize=256)
def _windows(cells: bytes, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a chamber, from the bytes of a bool (12, columns), True where a cell exists.

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
