"""The networks by name: what each is built of and what it takes. Not for their weights: see `models`.

A further network is a function that builds it and a line in `ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import InvalidInput
from app.ml.backend import keras
from app.subsystems.dt.preprocess import BINS, row_scaled

if TYPE_CHECKING:
    from keras import Model

BAD = 1  # which of the two outputs is the score; the other is its complement


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Attributes:
        build: makes one, untrained; it takes (layers, …) and gives (layers, 2): P(good), P(bad).
        inputs: makes what it takes of one layer from float32 (n, 12, 47) bins in hits a cell: (n, 12, …).
        takes: the same for a person, for the card.
        sees_rate: whether a layer that has fewer hits than its siblings looks any different to it. If not, layers
            of which nothing else is wrong are left out of its training: they would teach it that good is bad.
    """

    build: Callable[[], Model]
    inputs: Callable[[np.ndarray], np.ndarray]
    takes: str
    sees_rate: bool


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


ARCHITECTURES = {
    "row-cnn": Architecture(
        build=row_cnn,
        inputs=row_scaled,
        takes=f"one layer as {BINS} bins, divided by its greatest bin",
        sees_rate=False,
    ),
}


def architecture(name: str) -> Architecture:
    """The architecture of this name.

    Raises:
        InvalidInput: there is none.

    >>> architecture("resnet")
    Traceback (most recent call last):
    ...
    app.errors.InvalidInput: architecture is 'resnet', but must be one of row-cnn.
    """
    if name not in ARCHITECTURES:
        raise InvalidInput("architecture", name, f"one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
