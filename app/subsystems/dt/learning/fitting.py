"""Fitting a network's weights to layers, and evaluating it on them: the steps common to all trainings.

Not for the samples: see `samples`; nor for the effect of labels on them: see `teaching`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import DriftwatchError
from app.ml.backend import keras, tensorflow
from app.subsystems.dt.learning.networks import BAD, Recipe
from app.subsystems.dt.learning.samples import Sample

if TYPE_CHECKING:
    from keras import Model

PATIENCE = 15  # epochs without a better validation loss


@dataclass(frozen=True)
class Epoch:
    """The progress of a fit.

    Attributes:
        number, of: from 1; it can end before the last.
        loss, validation_loss: cross entropy, with the weights of the layers.
    """

    number: int
    of: int
    loss: float
    validation_loss: float


def seeded(seed: int) -> None:
    """Make everything drawn from here on depend on the seed alone, even on several cores."""
    keras().utils.set_random_seed(seed)
    tensorflow().config.experimental.enable_op_determinism()


def fit(
    network: Model,
    recipe: Recipe,
    seed: int,
    shown: Sample,
    validation: Sample | None,
    report: Callable[[str], None],
    after_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> int:
    """Fit a network, starting from its weights.

    Args:
        seed: of the order of the batches.
        validation: its loss selects the best weights; without it, those after the last epoch are used.
        after_epoch: called after each epoch, if there is a validation.

    Returns:
        the number of epochs after which the weights were best.

    Raises:
        DriftwatchError: the loss is no longer a number.
    """
    k = keras()
    seeded(seed)
    steps = recipe.epochs * math.ceil(len(shown.bad) / recipe.batch)
    rate = k.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    network.compile(k.optimizers.Adam(rate), "categorical_crossentropy", steps_per_execution=16)

    def after(epoch: int, logs: dict[str, float]) -> None:
        if not math.isfinite(sum(logs.values())):
            raise DriftwatchError(f"Fitting went astray: the loss of epoch {epoch + 1} is {logs['loss']}.")
        words = f"epoch {epoch + 1}: loss {logs['loss']:.4f}"
        if validation:
            after_epoch(Epoch(epoch + 1, recipe.epochs, logs["loss"], logs["val_loss"]))
            words += f", on validation {logs['val_loss']:.4f}"
        if epoch % max(1, recipe.epochs // 5) == 0:
            report(words)

    best = k.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    history = network.fit(
        shown.inputs,
        _two_columns(shown.bad),
        sample_weight=shown.weights,
        validation_data=validation and (validation.inputs, _two_columns(validation.bad), validation.weights),
        batch_size=recipe.batch,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[k.callbacks.LambdaCallback(on_epoch_end=after), *([best] if validation else [])],
    ).history
    if validation is None:
        return recipe.epochs
    report(f"{len(history['loss'])} epochs; best loss on validation {min(history['val_loss']):.4f}")
    return int(np.argmin(history["val_loss"])) + 1


def scores(network: Model, inputs: np.ndarray) -> np.ndarray:
    """P(bad) by the network: float32 (layers,)."""
    return network.predict(inputs, batch_size=4096, verbose=0)[:, BAD]


def log_odds(network: Model, inputs: np.ndarray) -> np.ndarray:
    """log P(bad) / P(good) by the network: float64 (layers,)."""
    both = network.predict(inputs, batch_size=4096, verbose=0).astype(np.float64)
    return np.log(both[:, BAD] + 1e-12) - np.log(both[:, 1 - BAD] + 1e-12)


def _two_columns(bad: np.ndarray) -> np.ndarray:
    return np.stack([1 - bad, bad], axis=1)
