"""Scores and verdicts for whole chambers, by one model, all layers in one batch.

Importing this does not import TensorFlow; creating a `Scorer` does.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.domain.judgement import Judgement
from app.errors import InvalidInput, ModelRefused
from app.ml.backend import THREADS, keras, tensorflow
from app.ml.hdf5 import first_line
from app.ml.models import load_card, verified_file
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.networks import BAD, architecture
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.verdict import judge, judge_before

AT_ONCE = 125  # chambers: a run in two halves, in parallel

if TYPE_CHECKING:
    from keras import Model


class Scorer:
    """A model that is ready to score. Safe to share between threads.

    Args:
        folder: the model's; creating the scorer loads it, which takes seconds the first time in a process.

    Attributes:
        card: the model's card.
        version: the model's name, stored with every score.
        threshold: the score from which a layer is bad: the card's for shifters, unless changed by `at`.

    Raises:
        ModelRefused: file or network do not match the card.
    """

    def __init__(self, folder: Path) -> None:
        self.card = load_card(folder)
        self.version = self.card.name
        self.threshold = self.card.threshold
        try:
            self._architecture = architecture(self.card.architecture)
        except InvalidInput as error:
            raise ModelRefused(f"The model {self.version} cannot be used: {error}") from None
        path = verified_file(folder, self.card)
        try:
            self._network = keras().saving.load_model(path, compile=False, safe_mode=True)
            self._forward = self._traced()
        except ModelRefused:
            raise
        except Exception as error:  # border: the file is untrusted, and Keras may raise anything
            raise ModelRefused(f"The file of the model {self.version} cannot be loaded: {first_line(error)}") from error

    def at(self, threshold: float) -> Scorer:
        """The same model with another threshold: it shares the network."""
        other = copy.copy(self)
        other.threshold = threshold
        return other

    @property
    def network(self) -> Model:
        """The network itself: to be read, never changed."""
        return self._network

    def judge(self, occupancies: Sequence[Occupancy]) -> list[Judgement]:
        """Score chambers, in the given order. The rest of the batch has no effect.

        Raises:
            ModelRefused: the network returned something that is not a score.
        """
        parts = [occupancies[i : i + AT_ONCE] for i in range(0, len(occupancies), AT_ONCE)]
        if len(parts) == 1:
            return self._judge(occupancies)
        with ThreadPoolExecutor(THREADS) as pool:  # one proceeds while the other holds the interpreter lock
            return [judgement for part in pool.map(self._judge, parts) for judgement in part]

    def _judge(self, occupancies: Sequence[Occupancy]) -> list[Judgement]:
        bins = layer_bins(occupancies)
        before = judge_before(occupancies, bins)
        scores, embeddings = self._run(self._architecture.inputs(occupancies, bins)[before.open])
        return judge(before, scores, self.threshold, embeddings)

    def scores(self, inputs: np.ndarray) -> np.ndarray:
        """P(bad) of layers that are ready for the network.

        Args:
            inputs: float32 (layers, …), the inputs of the architecture; finite.

        Returns:
            float32 (layers,), 0…1.
        """
        return self._run(inputs)[0]

    def _run(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores, and the activations of the last hidden layer: float32 (layers,) and (layers, units)."""
        if not len(inputs):  # TensorFlow's convolution fails without layers
            return np.empty(0, np.float32), np.empty((0, 1), np.float32)
        scores, embeddings = (tensor.numpy() for tensor in self._forward(inputs))
        is_score = (scores >= 0) & (scores <= 1 + 1e-6)  # false for NaN too; float32 may round beyond 1
        if not is_score.all():
            raise ModelRefused(f"The model {self.version} gave {scores[~is_score][0]} for a score.")
        return scores, embeddings

    def _traced(self) -> Any:
        tf = tensorflow()
        shape = self._architecture.shape
        network = self._network
        if network.input_shape != (None, *shape) or network.output_shape != (None, 2):
            raise ModelRefused(
                f"The model {self.version} is not a {self.card.architecture}: it takes {network.input_shape} and gives "
                f"{network.output_shape}, but should take {(None, *shape)} and give (None, 2)."
            )

        both = keras().Model(network.inputs, [network.outputs[0], network.layers[-1].input])

        @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.float32)])
        def forward(inputs: Any) -> Any:
            scores, hidden = both(inputs, training=False)
            return scores[:, BAD], hidden

        forward(np.zeros((1, *shape), np.float32))  # traced now, not for the first run
        return forward
