"""Imports a foreign model into a folder like our own: `model.keras`, and a card that lists what is unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from app.errors import InvalidInput
from app.ml.backend import numpy_2_forgiven
from app.ml.models import CARD_FILE, MODEL_FILE, SHIFTER, Card, Threshold, is_name, sha256
from app.subsystems.dt.learning.keras2 import read_row_network
from app.subsystems.dt.learning.networks import ARCHITECTURES

ARCHITECTURE = "row-cnn"  # what such networks take and give, however many layers they have


def convert_keras2(path: Path, name: str, parent: Path) -> Path:
    """Make a model of the row network in a Keras 2 `.h5` file.

    Args:
        path: the file.
        name: the model's name.
        parent: the folder in which the model's is created.

    Returns:
        The model's folder.

    Raises:
        InvalidInput: the name is not valid.
        ModelRefused: the file is not such a network, or cannot be trusted; says why.
    """
    if not is_name(name):
        raise InvalidInput("name", name, "small letters, digits, and . _ - between them, such as row-cnn-2018")
    network = read_row_network(path)
    folder = parent / name
    folder.mkdir()
    with numpy_2_forgiven():
        network.save(folder / MODEL_FILE)
    card = Card(
        name=name,
        architecture=ARCHITECTURE,
        takes=ARCHITECTURES[ARCHITECTURE].takes,
        parameters=network.count_params(),
        origin=f"imported from {path.name}, a Keras 2 file with sha256 {sha256(path)}",
        thresholds={SHIFTER: Threshold(score=0.5, false_alarms=None)},
        sha256=sha256(folder / MODEL_FILE),
        created=datetime.now(UTC),
    )
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2), encoding="utf-8")
    return folder
