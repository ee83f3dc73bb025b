"""Training a network on simulated chambers, and writing it with its card: the service behind `flask train`.

The same command makes the same weights. Chambers, never layers, are dealt to training, validation and test. Not for
choosing which model is used: see `models.default_model`.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.errors import Conflict, InvalidInput
from app.ml.backend import keras, numpy_2_forgiven, tensorflow
from app.ml.models import CARD_FILE, MODEL_FILE, SHIFTER, Card, Figures, Threshold, TrainedOn, is_name, sha256
from app.ml.networks import BAD, Architecture, architecture
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import (
    SIMULATOR_VERSION,
    DefectKind,
    SimulatedChamber,
    label,
    simulate_chambers,
)
from app.subsystems.dt.verdict import judge_before

if TYPE_CHECKING:
    from keras import Model

LEAST_CHAMBERS = 200  # with fewer, a kind of fault can be missing from validation or test
SHARES = {"training": 0.6, "validation": 0.2, "test": 0.2}
EPOCHS = 50  # the most, over which the learning rate falls to nothing; validation can end it sooner
PATIENCE = 15  # epochs without a better validation loss
BATCH = 256  # layers
LEARNING_RATE = 1e-2  # the best of 2e-3, 5e-3 and 1e-2 on validation
SHIFTER_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class Sample:
    """The layers of some simulated chambers that a network is to judge.

    Attributes:
        inputs: float32 (layers, …), what the architecture takes.
        bad: float32 (layers,), P(bad) by the simulator's rule.
        visible: bool (layers,): the architecture can see what makes the layer bad; always true of a good one.
    """

    inputs: np.ndarray
    bad: np.ndarray
    visible: np.ndarray

    def of(self, which: np.ndarray) -> Sample:
        return Sample(self.inputs[which], self.bad[which], self.visible[which])


def train(
    architecture_name: str,
    seed: int,
    folder: Path,
    chambers: int,
    report: Callable[[str], None],
    replace: bool = False,
) -> Card:
    """Train a network on simulated chambers and write `folder/model.keras` and `folder/card.json`, both or neither.

    Args:
        architecture_name: one of `networks.ARCHITECTURES`.
        seed: of the simulation, the first weights and the order of the batches; 0 to 2³² − 1.
        folder: where to; its name becomes the model's.
        chambers: how many to simulate, at least 200: 60 % to train on, 20 % to know when to stop, 20 % for the figures.
        report: told what is going on, a line at a time.
        replace: overwrite a model of that name.

    Raises:
        InvalidInput: no such architecture, a seed or a number of chambers out of range, or a name that no model
            can have.
        Conflict: the folder exists, and `replace` was not given.
    """
    kind = architecture(architecture_name)
    if not 0 <= seed < 2**32:
        raise InvalidInput("seed", seed, "a whole number from 0 to 4,294,967,295")
    if chambers < LEAST_CHAMBERS:
        raise InvalidInput("chambers", chambers, f"a whole number, {LEAST_CHAMBERS} or more")
    _check_folder(folder, replace)

    samples = {}
    for stream, (name, share) in enumerate(SHARES.items()):
        samples[name] = sample(kind, simulate_chambers(round(share * chambers), _seed(seed, stream)))
        report(f"{name}: {_described(samples[name])}")
    shown = samples["training"].of(samples["training"].visible)
    validation = samples["validation"].of(samples["validation"].visible)

    network = _fitted(kind, seed, shown, validation, report)
    test = samples["test"]
    scores = network.predict(test.inputs, batch_size=4096, verbose=0)[:, BAD]
    card = Card(
        name=folder.name,
        architecture=architecture_name,
        takes=kind.takes,
        parameters=network.count_params(),
        trained_on=TrainedOn(
            simulator_version=SIMULATOR_VERSION,
            seed=seed,
            chambers=chambers,
            layers=len(shown.bad),
            bad_layers=round(float(shown.bad.sum()), 1),
            left_out=_left_out(kind),
            command=f"flask train --architecture {architecture_name} --seed {seed} --chambers {chambers} "
            f"--out models/{folder.name}",
        ),
        figures=figures(test.bad[test.visible], scores[test.visible]),
        figures_all_faults=figures(test.bad, scores),
        thresholds={SHIFTER: threshold(SHIFTER_SCORE, test.bad, scores)},
        sha256="0" * 64,  # of the file, once it is written
        created=datetime.now(UTC),
    )
    card = _written(network, card, folder)
    report(f"area under the ROC curve {card.figures.area_under_roc:.4f}; {folder} is written")
    return card


def sample(kind: Architecture, chambers: list[SimulatedChamber]) -> Sample:
    """The layers of these chambers that a network of this kind would be asked to judge: not empty, not unjudged."""
    occupancies = [chamber.occupancy for chamber in chambers]
    bins = layer_bins(occupancies)
    asked = judge_before(occupancies, bins).open
    bad = np.stack([chamber.bad for chamber in chambers])
    visible = np.stack([chamber.bad == _without_rate(chamber) for chamber in chambers]) | kind.sees_rate
    return Sample(kind.inputs(bins)[asked], bad[asked], visible[asked])


def figures(bad: np.ndarray, scores: np.ndarray) -> Figures:
    """What scores are worth, where P(bad) is 0 or 1; what is ambiguous does not count.

    Args:
        bad: float (layers,), P(bad).
        scores: float (layers,).
    """
    good_scores, bad_scores = scores[bad == 0], scores[bad == 1]
    if not good_scores.size or not bad_scores.size:
        raise ValueError("figures need both good and bad layers")
    return Figures(
        layers=good_scores.size + bad_scores.size,
        bad_layers=bad_scores.size,
        area_under_roc=area_under_roc(good_scores, bad_scores),
        found_at_1_percent_false_alarms=found_at(0.01, good_scores, bad_scores),
    )


def area_under_roc(good: np.ndarray, bad: np.ndarray) -> float:
    """The probability that a bad layer scores higher than a good one; a tie counts half (Mann and Whitney 1947).

    >>> area_under_roc(np.array([0.1, 0.4]), np.array([0.4, 0.9]))
    0.875
    """
    ordered = np.sort(good)
    below, up_to = np.searchsorted(ordered, bad, side="left"), np.searchsorted(ordered, bad, side="right")
    return float((below + up_to).mean() / (2 * len(good)))


def found_at(false_alarms: float, good: np.ndarray, bad: np.ndarray) -> float:
    """The share of bad layers above the lowest score that at most this share of the good ones exceeds.

    >>> found_at(0.25, good=np.array([0.1, 0.2, 0.3, 0.6]), bad=np.array([0.2, 0.5, 0.9, 0.95]))
    0.75
    """
    allowed = int(false_alarms * len(good))
    return float((bad > np.sort(good)[len(good) - 1 - allowed]).mean())


def threshold(score: float, bad: np.ndarray, scores: np.ndarray) -> Threshold:
    """A threshold, with the share of good layers at or above it."""
    return Threshold(score=score, false_alarms=float((scores[bad == 0] >= score).mean()))


def _fitted(kind: Architecture, seed: int, shown: Sample, validation: Sample, report: Callable[[str], None]) -> Model:
    k = keras()
    k.utils.set_random_seed(seed)
    tensorflow().config.experimental.enable_op_determinism()
    network = kind.build()
    rate = k.optimizers.schedules.CosineDecay(LEARNING_RATE, EPOCHS * math.ceil(len(shown.bad) / BATCH))
    network.compile(k.optimizers.Adam(rate), "categorical_crossentropy", steps_per_execution=16)

    def after(epoch: int, logs: dict[str, float]) -> None:
        if epoch % 10 == 0:
            report(f"epoch {epoch + 1}: loss {logs['loss']:.4f}, on validation {logs['val_loss']:.4f}")

    history = network.fit(
        shown.inputs,
        _two_columns(shown.bad),
        validation_data=(validation.inputs, _two_columns(validation.bad)),
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[
            k.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True),
            k.callbacks.LambdaCallback(on_epoch_end=after),
        ],
    ).history
    report(f"{len(history['loss'])} epochs; best loss on validation {min(history['val_loss']):.4f}")
    return network


def _written(network: Model, card: Card, folder: Path) -> Card:
    """Write both files into a folder of another name, then rename it: no one ever sees half a model."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with numpy_2_forgiven():
            network.save(making / MODEL_FILE)
        card = card.model_copy(update={"sha256": sha256(making / MODEL_FILE)})
        (making / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        making.chmod(0o755)
        if folder.exists():
            old = making.with_suffix(".old")
            os.rename(folder, old)
            os.rename(making, folder)
            shutil.rmtree(old)
        else:
            os.rename(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return card


def _check_folder(folder: Path, replace: bool) -> None:
    if not is_name(folder.name):
        accepted = "a folder whose name has only small letters, digits, '.', '_' and '-'"
        raise InvalidInput("out", folder.name, accepted)
    if folder.exists() and not replace:
        raise Conflict(f"{folder} exists already; take another name, or ask for it to be replaced.")


def _without_rate(chamber: SimulatedChamber) -> np.ndarray:
    """float32 (12,): what P(bad) would be if no layer had a wrong voltage."""
    others = [defect for defect in chamber.defects if defect.kind is not DefectKind.LOW_RATE]
    return label(chamber.occupancy.chamber, others)


def _left_out(kind: Architecture) -> str:
    everyone = "empty layers and chambers with too few hits, which are judged before any network"
    if kind.sees_rate:
        return everyone
    return f"{everyone}; layers of which only the rate is low, which a layer scaled by itself cannot show"


def _described(some: Sample) -> str:
    bad = some.bad.sum()
    hidden = (~some.visible).sum()
    return f"{len(some.bad)} layers, {bad:.0f} of them bad ({bad / len(some.bad):.1%}), {hidden} for nothing that shows"


def _two_columns(bad: np.ndarray) -> np.ndarray:
    return np.stack([1 - bad, bad], axis=1)


def _seed(seed: int, stream: int) -> int:
    return int(np.random.SeedSequence((seed, stream)).generate_state(1)[0])
