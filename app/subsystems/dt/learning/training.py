"""Training a network on simulated and optionally labelled chambers, and writing it with its card.

The same command gives the same weights; with labels, as long as the digest on the card is the same. Training,
validation and test are split by chamber, never by layer. Simulated chambers for the first two are rich in faults; the
others have as many as ordinary data, and on these a score of 0.8 means 80 %. Not for the samples: see `samples`; nor
for choosing the active model: see `models.default_model`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import Conflict, InvalidInput
from app.ml.backend import numpy_2_forgiven
from app.ml.curves import Ranking, area_under_roc, found_at, reliability
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
from app.ml.split import Split
from app.subsystems.dt.faults import FAULTS
from app.subsystems.dt.learning.fitting import Epoch, fit, log_odds, scores, seeded
from app.subsystems.dt.learning.networks import BAD, Architecture, architecture
from app.subsystems.dt.learning.samples import Sample, labelled_sample, nearer_ordinary, sample, varied_sample
from app.subsystems.dt.learning.teaching import Taught, beginning, teach
from app.subsystems.dt.simulate import ORDINARY, RICH, SIMULATOR_VERSION, DefectKind, simulate_chambers
from app.subsystems.dt.verdict import LEAST_HITS_A_CELL

if TYPE_CHECKING:
    from keras import Model

LEAST_CHAMBERS = 400  # with fewer, validation or test may lack bad layers
SHARES = {  # of the chambers; and of faulty ones among these
    "training": (0.6, RICH),
    "validation": (0.1, RICH),
    "calibration": (0.15, ORDINARY),
    "test": (0.15, ORDINARY),
}
SCORES = {SHIFTER: 0.25, ALARM: 0.95}  # at 0.25 a missed bad layer costs as much as three false alarms
HITS = (LEAST_HITS_A_CELL, 4.0, 12.0, 50.0, np.inf)  # a cell: levels at which false alarms are counted


def train(
    architecture_name: str,
    seed: int,
    folder: Path,
    chambers: int,
    report: Callable[[str], None],
    replace: bool = False,
    taught: Taught | None = None,
    after_epoch: Callable[[Epoch], None] = lambda epoch: None,
    without: Sequence[DefectKind] = (),
) -> Card:
    """Train a network and write `folder/model.keras` and `folder/card.json`, both or neither.

    Args:
        architecture_name: one of `networks.ARCHITECTURES`.
        seed: of the simulation, the first weights and the order of the batches; 0 to 2³² − 1.
        folder: where to write it; its name becomes the model's.
        chambers: how many to simulate, at least 400: 60 % for training, 10 % for validation, 15 % to calibrate the
            scores, 15 % for the figures.
        report: receives progress messages, one line at a time.
        replace: overwrite a model with that name.
        taught: labelled chambers to train on as well.
        after_epoch: called after each epoch.
        without: kinds of fault that no simulated chamber has, not even those for the figures.

    Raises:
        InvalidInput: unknown architecture, seed or number of chambers out of range, invalid name, or no kind of fault
            left.
        Conflict: the folder exists, and `replace` was not given.
    """
    kind = checked(architecture_name, seed, chambers)
    without = _checked_kinds(without)
    _check_folder(folder, replace)

    samples = {}
    for stream, (name, (share, faulty)) in enumerate(SHARES.items()):
        drawn = simulate_chambers(round(share * chambers), _seed(seed, stream), faulty, without)
        samples[name] = sample(kind, drawn) if faulty == ORDINARY else nearer_ordinary(kind, drawn, faulty)
        report(f"{name}: {_described(samples[name])}")
    # Taken out to free memory early: these are hundreds of megabytes.
    shown, validation, ordinary = (samples.pop(name).seen for name in ("training", "validation", "calibration"))
    test, labelled_test = samples.pop("test"), None
    more: dict[str, Any] = {}
    if taught:
        real = {}
        for part in Split:
            items = taught.labelled.of(part)
            report(f"labelled, {part}: {len(items)} chambers")
            real[part] = labelled_sample(kind, items) if part is Split.TEST else varied_sample(kind, items, seed)
        network, known = beginning(kind, taught.active, seed)
        simulated, weight = (shown, validation), taught.simulated_weight
        lesson = teach(network, bool(known), kind.recipe, seed, simulated, real, weight, report, after_epoch)
        shown, ordinary, test = lesson.shown, lesson.settle(ordinary), lesson.settle(test)
        labelled_test = real[Split.TEST]
        more = {
            "labels": taught.labelled.composition,
            "simulated_weight": weight,
            "bad_weight": lesson.bad_weight,
            "went_on_from": known,
            "contradicted": lesson.contradicted,
        }
    else:
        seeded(seed)
        network = kind.build()
        fit(network, kind.recipe, seed, shown, validation, report, after_epoch)

    calibration = calibrated(ordinary.bad, log_odds(network, ordinary.inputs))
    _fold_in(network, calibration)
    found = scores(network, test.inputs)
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
            left_out=_left_out(kind, without),
            without=tuple(map(str, without)),
            command=_command(architecture_name, seed, chambers, folder, taught, without),
            **more,
        ),
        figures=figures(test.bad[test.visible], found[test.visible]),
        figures_all_faults=figures(test.bad, found),
        figures_labelled=_figures(labelled_test, scores(network, labelled_test.inputs)) if labelled_test else None,
        calibration=calibration,
        reliability=[
            ReliabilityBin(score=one.mean_score, bad=one.bad, layers=one.layers)
            for one in reliability(test.bad[test.visible], found[test.visible])[0]
            if one.layers
        ],
        thresholds={use: threshold(score, test.bad, found, test.hits) for use, score in SCORES.items()},
        sha256="0" * 64,  # of the file, set when it is written
        created=datetime.now(UTC),
    )
    card = _written(network, card, folder)
    report(f"area under the ROC curve {card.figures.area_under_roc:.4f}; {folder} is written")
    return card


def checked(architecture_name: str, seed: int, chambers: int) -> Architecture:
    """The architecture with this name, after checking the other arguments.

    Raises:
        InvalidInput: unknown architecture, or seed or number of chambers out of range.
    """
    kind = architecture(architecture_name)
    if not 0 <= seed < 2**32:
        raise InvalidInput("seed", seed, "a whole number from 0 to 4,294,967,295")
    if chambers < LEAST_CHAMBERS:
        raise InvalidInput("chambers", chambers, f"a whole number, {LEAST_CHAMBERS} or more")
    return kind


def calibrated(bad: np.ndarray, log_odds: np.ndarray, weights: np.ndarray | None = None) -> Calibration:
    """The temperature and the shift that make scores likelihoods: Platt (1999), by Newton's method.

    Args:
        bad: float (layers,), P(bad).
        log_odds: float (layers,), the network's log P(bad) / P(good).
        weights: float (layers,), the weight of each layer; 1 if not given.
    """
    x = np.stack((log_odds.astype(np.float64), np.ones(len(log_odds))))
    counts = 1.0 if weights is None else weights.astype(np.float64)
    line = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(line @ x, -30, 30)))
        # a weak prior towards unchanged scores decides if nothing else does
        gradient = x @ (counts * (p - bad)) + 0.1 * (line - (1, 0))
        step = np.linalg.solve((x * (counts * p * (1 - p))) @ x.T + 0.1 * np.eye(2), gradient)
        line -= np.clip(step, -1, 1)
    line[0] = max(line[0], 0.05)
    return Calibration(temperature=float(1 / line[0]), shift=float(line[1]))


def figures(bad: np.ndarray, scores: np.ndarray) -> Figures:
    """The quality of scores on layers with P(bad) 0 or 1; ambiguous ones do not count.

    Args:
        bad: float (layers,), P(bad).
        scores: float (layers,).
    """
    sure = (bad == 0) | (bad == 1)
    bad, scores = bad[sure] == 1, scores[sure]
    if bad.all() or not bad.any():
        raise ValueError("figures need both good and bad layers")
    return Figures(
        layers=bad.size,
        bad_layers=int(bad.sum()),
        area_under_roc=area_under_roc(bad, scores),
        found_at_1_percent_false_alarms=float(found_at(*Ranking.of(bad, scores).above(), 0.01)),
    )


def _figures(labelled: Sample, found: np.ndarray) -> Figures | None:
    """The figures for labelled layers; None if all are good, or all bad."""
    both = (labelled.bad == 0).any() and (labelled.bad == 1).any()
    return figures(labelled.bad, found) if both else None


def threshold(score: float, bad: np.ndarray, scores: np.ndarray, hits: np.ndarray) -> Threshold:
    """A threshold, with the share of good layers at or above it: of all, and by hits per cell of the chamber."""
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


def _fold_in(network: Model, calibration: Calibration) -> None:
    """Fold the calibration into the last layer, so that only a network has to be stored."""
    with numpy_2_forgiven():
        kernel, bias = network.layers[-1].get_weights()
        bias = bias / calibration.temperature
        bias[BAD] += calibration.shift
        network.layers[-1].set_weights([kernel / calibration.temperature, bias])


def _written(network: Model, card: Card, folder: Path) -> Card:
    """Write both files into a temporary folder, then rename it, so that nobody ever sees half a model."""
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
        raise Conflict(f"{folder} already exists; use another name, or request its replacement.")


def _checked_kinds(without: Sequence[DefectKind]) -> tuple[DefectKind, ...]:
    """Each once, in their usual order."""
    if set(FAULTS).issubset(without):
        raise InvalidInput("without", ", ".join(without), f"some of {', '.join(FAULTS)}, not all of them")
    return tuple(kind for kind in DefectKind if kind in without)


def _command(
    architecture_name: str,
    seed: int,
    chambers: int,
    folder: Path,
    taught: Taught | None,
    without: Sequence[DefectKind],
) -> str:
    """The command that reproduces the weights."""
    of_all = f"--architecture {architecture_name} --seed {seed} --chambers {chambers}"
    if taught is None:
        left_out = "".join(f" --without {kind}" for kind in without)
        return f"flask train {of_all}{left_out} --out models/{folder.name}"
    choice = taught.labelled.composition
    runs, resolved = f" --runs {choice.runs}" * bool(choice.runs), " --resolved-only" * choice.resolved_only
    return f"flask train --from-labels {of_all} --simulated-weight {taught.simulated_weight:g}{runs}{resolved}"


def _left_out(kind: Architecture, without: Sequence[DefectKind]) -> str:
    words = "empty layers and chambers with too few hits, which are judged before any network"
    if not kind.sees_rate:
        words += "; layers of which only the rate is low, which a layer scaled by itself cannot show"
    if without:
        words += f"; faults that were not simulated: {', '.join(kind.replace('_', ' ') for kind in without)}"
    return words


def _described(some: Sample) -> str:
    bad = some.bad.sum()
    hidden = (~some.visible).sum()
    return f"{len(some.bad)} layers, {bad:.0f} of them bad ({bad / len(some.bad):.1%}), {hidden} for nothing that shows"


def _seed(seed: int, stream: int) -> int:
    return int(np.random.SeedSequence((seed, stream)).generate_state(1)[0])
