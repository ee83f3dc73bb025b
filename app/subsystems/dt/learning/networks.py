"""The networks by name: their layers and inputs. Not for their weights: see `models`.

To add a network, write a function that builds it and add a line to `ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import InvalidInput
from app.ml.backend import keras
from app.subsystems.dt.carry_back import Carried, residuals_to_cells, rows_to_cells
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.preprocess import BINS, layer_bins, row_scaled
from app.subsystems.dt.residuals import CHANNELS, ROWS, ROWS_WITHOUT_RATIOS, altered_residuals, layer_residuals

if TYPE_CHECKING:
    from keras import Model

BAD = 1  # which of the two outputs is the score; the other is its complement


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a fit."""

    epochs: int  # maximum, over which the learning rate falls to zero; validation can stop it earlier
    batch: int  # layers
    learning_rate: float  # at first


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Attributes:
        build: makes an untrained one; it takes (layers, …) and gives (layers, 2): P(good), P(bad).
        inputs: computes its inputs for each layer of n chambers from their float32 (n, 12, 47) `layer_bins`, in hits
            per cell: float32 (n, 12, …). Values for absent layers are irrelevant.
        altered: computes its inputs for single layers of one chamber with modified counts: float32 (k, …) from the
            layers' rows (k,) and their counts (k, columns).
        carry_back: distributes the influence of its inputs over the cells: see `carry_back`.
        shape: the shape of its input for one layer.
        takes: a description of its input, for the card.
        sees_rate: whether it can tell that a layer has fewer hits than its siblings. If not, layers with no other fault
            are left out of its training: they would teach it that good is bad.
        recipe: how it is fitted.
    """

    build: Callable[[], Model]
    inputs: Callable[[Sequence[Occupancy], np.ndarray], np.ndarray]
    altered: Callable[[Occupancy, np.ndarray, np.ndarray], np.ndarray]
    carry_back: Callable[[Sequence[Occupancy], Sequence[Occupancy], np.ndarray, np.ndarray], list[Carried]]
    shape: tuple[int, ...]
    takes: str
    sees_rate: bool
    recipe: Recipe


def row_cnn() -> Model:
    """The network of 2018, 786 parameters: it sees one layer, scaled by its own maximum."""
    layers = keras().layers
    return keras().Sequential(
        [
            keras().Input((BINS,)),
            layers.Reshape((BINS, 1)),
            layers.Conv1D(10, 3, activation="relu"),
            layers.MaxPooling1D(5),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ],
        name="row_cnn",
    )


def chamber_scan() -> Model:
    """The same with likelihood ratios among the facts: see `scan_loops`."""
    return _chamber_network("chamber_scan", ROWS, for_facts=64, dense=(96, 48))


def chamber_cnn() -> Model:
    """A layer in its chamber: pooled convolutions along its 47 bins, combined with the facts about the whole layer."""
    return _chamber_network("chamber_cnn", ROWS_WITHOUT_RATIOS, for_facts=32, dense=(64, 32))


def _chamber_network(name: str, rows: int, for_facts: int, dense: Sequence[int]) -> Model:
    k = keras()
    layers = k.layers
    given = k.Input((rows, CHANNELS))
    bins = layers.Cropping1D((0, rows - BINS))(given)
    facts = layers.Flatten()(layers.Cropping1D((BINS, 0))(given))
    x = layers.Conv1D(16, 5, padding="same", activation="relu")(bins)
    x = layers.Conv1D(32, 5, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv1D(32, 3, padding="same", activation="relu")(x)
    pooled = [layers.GlobalMaxPooling1D()(x), layers.GlobalAveragePooling1D()(x)]
    x = layers.Concatenate()([*pooled, layers.Dense(for_facts, activation="relu")(facts), facts])
    for units in dense:
        x = layers.Dense(units, activation="relu")(x)
    return k.Model(given, layers.Dense(2, activation="softmax")(x), name=name)


def _altered_rows(occupancy: Occupancy, rows: np.ndarray, lines: np.ndarray) -> np.ndarray:
    counts = np.repeat(occupancy.counts.astype(np.float32)[None], len(rows), axis=0)
    altered = np.arange(len(rows)), rows
    counts[altered] = lines
    return row_scaled(layer_bins([Occupancy(occupancy.chamber, one) for one in counts])[altered])


_LIKE_SIBLINGS = (
    f"one layer as {BINS} bins of {CHANNELS} channels: counts against what its siblings and its superlayer's shape let "
    "expect; and {} facts about the layer in its chamber"
)

ARCHITECTURES = {
    "chamber-scan": Architecture(
        build=chamber_scan,
        inputs=lambda occupancies, bins: layer_residuals(occupancies),
        altered=altered_residuals,
        carry_back=residuals_to_cells,
        shape=(ROWS, CHANNELS),
        takes=_LIKE_SIBLINGS.format((ROWS - BINS) * CHANNELS) + ", likelihood ratios among them",
        sees_rate=True,
        recipe=Recipe(epochs=10, batch=512, learning_rate=3e-3),
    ),
    "chamber-cnn": Architecture(
        build=chamber_cnn,
        inputs=lambda occupancies, bins: layer_residuals(occupancies)[:, :, :ROWS_WITHOUT_RATIOS],
        altered=lambda *layers: altered_residuals(*layers)[:, :ROWS_WITHOUT_RATIOS],
        carry_back=residuals_to_cells,
        shape=(ROWS_WITHOUT_RATIOS, CHANNELS),
        takes=_LIKE_SIBLINGS.format((ROWS_WITHOUT_RATIOS - BINS) * CHANNELS),
        sees_rate=True,
        recipe=Recipe(epochs=10, batch=512, learning_rate=3e-3),
    ),
    "row-cnn": Architecture(
        build=row_cnn,
        inputs=lambda occupancies, bins: row_scaled(bins),
        altered=_altered_rows,
        carry_back=rows_to_cells,
        shape=(BINS,),
        takes=f"one layer as {BINS} bins, divided by its greatest bin",
        sees_rate=False,
        recipe=Recipe(epochs=50, batch=256, learning_rate=1e-2),  # the best of 2e-3, 5e-3 and 1e-2
    ),
}


def architecture(name: str) -> Architecture:
    """The architecture of this name.

    Raises:
        InvalidInput: there is none.

    >>> architecture("resnet")
    Traceback (most recent call last):
    ...
    app.errors.InvalidInput: architecture is 'resnet', but must be one of chamber-scan, chamber-cnn, row-cnn.
    """
    if name not in ARCHITECTURES:
        raise InvalidInput("architecture", name, f"one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
