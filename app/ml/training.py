"""Training a network on simulated chambers, and writing it with its card: the service behind `flask train`.

The same command makes the same weights. Chambers, never layers, are dealt to training, validation and test. The first
are rich in faults; the others have as many as ordinary data, and it is on these that a score of 0.8 means 80 %. Not for
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
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.errors import Conflict, InvalidInput
from app.ml.backend import keras, numpy_2_forgiven, tensorflow
from app.ml.models import (
    ALARM,
    CARD_FILE,
    MODEL_FILE,
    SHIFTER,
    Calibration,
    Card,
    Figures,
    ReliabilityBin,
    Threshold,
    TrainedOn,
    is_name,
    sha256,
)
from app.ml.networks import BAD, Architecture, architecture
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import (
    ORDINARY,
    RICH,
    SIMULATOR_VERSION,
    DefectKind,
    SimulatedChamber,
    label,
    simulate_chambers,
)
from app.subsystems.dt.verdict import LEAST_HITS_A_CELL, judge_before

if TYPE_CHECKING:
    from keras import Model

LEAST_CHAMBERS = 400  # with fewer, validation or test can be without bad layers
SHARES = {  # of the chambers; and of faulty ones among these
    "training": (0.6, RICH),
    "validation": (0.1, RICH),
    "calibration": (0.15, ORDINARY),
    "test": (0.15, ORDINARY),
}
PATIENCE = 15  # epochs without a better validation loss
SCORES = {SHIFTER: 0.5, ALARM: 0.95}
AT_ONCE = 2_000  # chambers whose inputs are worked out together: 70 MB
HITS = (LEAST_HITS_A_CELL, 4.0, 12.0, 50.0, np.inf)  # a cell: levels at which false alarms are counted
BINS = 10  # of the reliability curve


@dataclass(frozen=True, eq=False)
class Sample:
    """The layers of some simulated chambers that a network is to judge.

    Attributes:
        inputs: float32 (layers, …), what the architecture takes.
        bad: float32 (layers,), P(bad) by the simulator's rule.
        visible: bool (layers,): the architecture can see what makes the layer bad; always true of a good one.
        hits: float (layers,): hits a cell of its chamber.
    """

    inputs: np.ndarray
    bad: np.ndarray
    visible: np.ndarray
    hits: np.ndarray

    def of(self, which: np.ndarray) -> Sample:
        return Sample(self.inputs[which], self.bad[which], self.visible[which], self.hits[which])


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
        chambers: how many to simulate, at least 400: 60 % to train on, 10 % to know when to stop, 15 % to calibrate
            the scores on, 15 % for the figures.
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
    for stream, (name, (share, faulty)) in enumerate(SHARES.items()):
        samples[name] = sample(kind, simulate_chambers(round(share * chambers), _seed(seed, stream), faulty))
        report(f"{name}: {_described(samples[name])}")
    shown = samples["training"].of(samples["training"].visible)
    validation = samples["validation"].of(samples["validation"].visible)

    network = _fitted(kind, seed, shown, validation, report)
    ordinary = samples["calibration"].of(samples["calibration"].visible)
    calibration = calibrated(ordinary.bad, _log_odds(network, ordinary.inputs))
    _fold_in(network, calibration)
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
        calibration=calibration,
        reliability=reliability(test.bad[test.visible], scores[test.visible]),
        thresholds={use: threshold(score, test.bad, scores, test.hits) for use, score in SCORES.items()},
        sha256="0" * 64,  # of the file, once it is written
        created=datetime.now(UTC),
    )
    card = _written(network, card, folder)
    report(f"area under the ROC curve {card.figures.area_under_roc:.4f}; {folder} is written")
    return card


def sample(kind: Architecture, chambers: list[SimulatedChamber]) -> Sample:
    """The layers of these chambers that a network of this kind would be asked to judge: not empty, not unjudged."""
    parts = [_sample(kind, chambers[i : i + AT_ONCE]) for i in range(0, len(chambers), AT_ONCE)]
    columns = zip(*((part.inputs, part.bad, part.visible, part.hits) for part in parts), strict=True)
    return Sample(*(np.concatenate(column) for column in columns))


def _sample(kind: Architecture, chambers: list[SimulatedChamber]) -> Sample:
    occupancies = [chamber.occupancy for chamber in chambers]
    bins = layer_bins(occupancies)
    before = judge_before(occupancies, bins)
    bad = np.stack([chamber.bad for chamber in chambers])
    visible = np.stack([chamber.bad == _without_rate(chamber) for chamber in chambers]) | kind.sees_rate
    hits = np.broadcast_to(before.rates[:, None], bad.shape)
    inputs = kind.inputs(occupancies, bins)
    return Sample(*(values[before.open] for values in (inputs, bad, visible, hits)))


def calibrated(bad: np.ndarray, log_odds: np.ndarray) -> Calibration:
    """The temperature and the shift that make scores likelihoods: Platt (1999), by Newton's method.

    Args:
        bad: float (layers,), P(bad).
        log_odds: float (layers,), the network's log P(bad) / P(good).
    """
    x = np.stack((log_odds.astype(np.float64), np.ones(len(log_odds))))
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(weights @ x, -30, 30)))
        # a weak pull towards leaving the scores alone decides where nothing else does
        gradient = x @ (p - bad) + 0.1 * (weights - (1, 0))
        step = np.linalg.solve((x * (p * (1 - p))) @ x.T + 0.1 * np.eye(2), gradient)
        weights -= np.clip(step, -1, 1)
    weights[0] = max(weights[0], 0.05)
    return Calibration(temperature=float(1 / weights[0]), shift=float(weights[1]))


def reliability(bad: np.ndarray, scores: np.ndarray) -> list[ReliabilityBin]:
    """Mean score and share of bad layers, in tenths of the score; tenths without layers are left out.

    >>> reliability(np.array([0.0, 1.0]), np.array([0.82, 0.88]))[0].bad
    0.5
    """
    tenth = np.minimum((scores * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(
            score=float(scores[tenth == i].mean()),
            bad=float(bad[tenth == i].mean()),
            layers=int((tenth == i).sum()),
        )
        for i in range(BINS)
        if (tenth == i).any()
    ]


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


def threshold(score: float, bad: np.ndarray, scores: np.ndarray, hits: np.ndarray) -> Threshold:
    """A threshold, with the share of good layers at or above it: of all, and by the chamber's hits a cell."""
    good, alarms = bad == 0, scores >= score
    levels = {
        f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and more": good & (hits >= low) & (hits < high)
        for low, high in pairwise(HITS)
    }
    return Threshold(
        score=score,
        false_alarms=float(alarms[good].mean()),
        false_alarms_by_hits={name: float(alarms[which].mean()) for name, which in levels.items() if which.any()},
    )


def _fitted(kind: Architecture, seed: int, shown: Sample, validation: Sample, report: Callable[[str], None]) -> Model:
    k = keras()
    k.utils.set_random_seed(seed)
    tensorflow().config.experimental.enable_op_determinism()
    network = kind.build()
    recipe = kind.recipe
    steps = recipe.epochs * math.ceil(len(shown.bad) / recipe.batch)
    rate = k.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    network.compile(k.optimizers.Adam(rate), "categorical_crossentropy", steps_per_execution=16)

    def after(epoch: int, logs: dict[str, float]) -> None:
        if epoch % max(1, recipe.epochs // 5) == 0:
            report(f"epoch {epoch + 1}: loss {logs['loss']:.4f}, on validation {logs['val_loss']:.4f}")

    history = network.fit(
        shown.inputs,
        _two_columns(shown.bad),
        validation_data=(validation.inputs, _two_columns(validation.bad)),
        batch_size=recipe.batch,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[
            k.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True),
            k.callbacks.LambdaCallback(on_epoch_end=after),
        ],
    ).history
    report(f"{len(history['loss'])} epochs; best loss on validation {min(history['val_loss']):.4f}")
    return network


def _log_odds(network: Model, inputs: np.ndarray) -> np.ndarray:
    scores = network.predict(inputs, batch_size=4096, verbose=0).astype(np.float64)
    return np.log(scores[:, BAD] + 1e-12) - np.log(scores[:, 1 - BAD] + 1e-12)


def _fold_in(network: Model, calibration: Calibration) -> None:
    """Let the last layer do the calibration: what is kept is a network and nothing beside it."""
    with numpy_2_forgiven():
        kernel, bias = network.layers[-1].get_weights()
        bias = bias / calibration.temperature
        bias[BAD] += calibration.shift
        network.layers[-1].set_weights([kernel / calibration.temperature, bias])


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
