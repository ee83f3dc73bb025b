"""Two models on the same chambers: the contents of `/models/<name>/compare/`.

The frozen sets are the simulated test set and the labelled chambers of the test part of the split, on which no model
was trained. Among the latter, those drawn at random represent ordinary runs: only they tell how often a model errs in
reality. In addition, all labels show where both models contradict a label, and the latest runs show what would change.
Not for reading any of it from the store: see `app.jobs.compare`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.domain.judgement import Judgement, Verdict
from app.errors import Conflict, TooFewLabels
from app.ml.curves import CONFIDENCE, RESAMPLES, Interval
from app.ml.json_record import JsonRecord
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.evaluation import compare
from app.subsystems.dt.learning.evaluation_figures import Comparison
from app.subsystems.dt.learning.known_chambers import LabelledChamber, simulated_test_set
from app.subsystems.dt.learning.learning_curve import LearningPoint, learning_curve
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import SIMULATOR_VERSION

SEED = 302_635
CHAMBERS = 2_000  # simulated, for the test
BINS = 20  # bins of a cell's distribution of scores
MOST_IN_CELL = 200  # chambers listed per cell of a matrix
MOST_LISTED = 30  # chambers on which the two disagree, labels that both contradict
MOST_OF_RUN = 40  # chambers of a run that change
CELLS = ("found", "missed", "false alarms", "passed")  # bad layers called bad and good, then good layers


class Where(JsonRecord):
    """A chamber of a run."""

    run: int
    wheel: int
    station: int
    sector: int


class Cell(JsonRecord):
    """A cell of a confusion matrix.

    Attributes:
        layers: how many.
        scores: number of layers with a score in each twentieth of 0…1.
        chambers: the chambers of these layers; none for simulated ones.
        more: number of chambers not listed.
    """

    layers: int
    scores: tuple[int, ...]
    chambers: tuple[Where, ...]
    more: int


class Matrix(JsonRecord):
    """A model's confusion matrix at its threshold, in the order of `CELLS`."""

    model: str
    threshold: float
    cells: tuple[Cell, ...]


class Estimate(JsonRecord):
    """A model's rates on chambers drawn at random, as they occur in runs.

    Attributes:
        false_alarms: share of good layers called bad; None if there are none.
        found: share of bad layers called bad; None if there are none.
    """

    model: str
    false_alarms: Interval | None
    found: Interval | None


class FrozenSet(JsonRecord):
    """One set of chambers.

    Attributes:
        name: "simulated", "labelled" or "control".
        estimates: only for the control.
    """

    name: str
    comparison: Comparison
    matrices: tuple[Matrix, ...]
    estimates: tuple[Estimate, ...] = ()


class Layer(JsonRecord):
    """A noteworthy layer; `label`: whether people called it bad, None if unlabelled."""

    where: Where
    layer: int
    scores: tuple[float, float]
    label: bool | None


class Change(JsonRecord):
    """The changes in one run: chambers with the layers that would become bad, or no longer be."""

    run: int
    chambers: int
    appear: int
    go: int
    changed: tuple[tuple[Where, tuple[int, ...], tuple[int, ...]], ...]
    more: int


class SideBySide(JsonRecord):
    """The whole comparison; `models` in the order of all pairs: the one in question, then the other.

    Attributes:
        left_out: labelled chambers in no part of the split.
        learning: the learning curve of a model trained without labels, and which; or why there is none.
    """

    models: tuple[str, str]
    thresholds: tuple[float, float]
    simulator_version: int
    seed: int
    resamples: int
    left_out: int
    sets: tuple[FrozenSet, ...]
    disagreements: tuple[Layer, ...]
    contradicted: tuple[Layer, ...]
    runs: tuple[Change, ...]
    learning: tuple[LearningPoint, ...] = ()
    learning_of: str = ""
    learning_not: str = ""


@dataclass(frozen=True, eq=False)
class Known:
    """A chamber of a run, with its label.

    Attributes:
        bad: float (12,), P(bad) by the label, NaN for absent layers; None if unlabelled.
        tested: it is in the test part.
        drawn: it was selected at random.
        training: it is in the training part.
    """

    run: int
    occupancy: Occupancy
    bad: np.ndarray | None = None
    tested: bool = False
    drawn: bool = False
    training: bool = False

    @property
    def where(self) -> Where:
        place = self.occupancy.chamber
        return Where(run=self.run, wheel=place.wheel, station=place.station, sector=place.sector)


def side_by_side(
    scorers: tuple[Scorer, Scorer],
    labelled: Sequence[Known],
    runs: Iterable[tuple[int, Sequence[Known]]],
    left_out: int = 0,
    chambers: int = CHAMBERS,
    report: Callable[[str], None] = lambda line: None,
) -> SideBySide:
    """Compare two models.

    Args:
        scorers: the model in question, then the other, each with its current threshold.
        labelled: all labelled chambers of the split.
        runs: the latest ones, newest first, with all their chambers; consumed one by one.
        left_out: labelled chambers in no part of the split, passed on.
        chambers: number of simulated ones to test on.
        report: receives progress messages, one line at a time; may raise, to abort.

    Raises:
        ModelRefused: a network returned something that is not a score.
    """
    report("simulated chambers")
    sets = [_frozen("simulated", scorers, simulated_test_set(chambers, SEED))]
    tested = [one for one in labelled if one.tested]
    for name, some in (("labelled", tested), ("control", [one for one in tested if one.drawn])):
        if some:
            report(f"{name} chambers")
            known = [LabelledChamber(one.occupancy, one.bad, ordinary=one.drawn) for one in some]
            sets.append(_frozen(name, scorers, known, some))
    report("labels")
    layers, contradicted = _about_labels(scorers, labelled)
    changes = []
    for run, those in runs:
        report(f"run {run}")
        change, differ = _change(scorers, run, those)
        changes.append(change)
        layers += differ
    learning = _learning(scorers, labelled, report)
    unique = {(one.where, one.layer): one for one in sorted(layers, key=lambda one: one.label is not None)}
    return SideBySide(
        models=(scorers[0].version, scorers[1].version),
        thresholds=(scorers[0].threshold, scorers[1].threshold),
        simulator_version=SIMULATOR_VERSION,
        seed=SEED,
        resamples=RESAMPLES,
        left_out=left_out,
        sets=tuple(sets),
        disagreements=tuple(sorted(unique.values(), key=_difference, reverse=True)[:MOST_LISTED]),
        contradicted=tuple(contradicted[:MOST_LISTED]),
        runs=tuple(changes),
        **learning,
    )


def _learning(
    scorers: tuple[Scorer, Scorer], labelled: Sequence[Known], report: Callable[[str], None]
) -> dict[str, Any]:
    """The learning curve of the first model trained without labels, preferring the other one to the one in question."""
    why = ""
    training, test = ([(k.occupancy, k.bad) for k in labelled if getattr(k, part)] for part in ("training", "tested"))
    for scorer in reversed(scorers):
        try:
            points = learning_curve(scorer, training, test, lambda line: report(f"learning curve, {line}"))
            return {"learning": points, "learning_of": scorer.version}
        except (Conflict, TooFewLabels) as error:
            why = str(error)
    return {"learning_not": why}


def _frozen(
    name: str, scorers: tuple[Scorer, Scorer], labelled: Sequence[LabelledChamber], known: Sequence[Known] = ()
) -> FrozenSet:
    occupancies, truth = [one.occupancy for one in labelled], np.stack([one.bad for one in labelled])
    matrices, estimates = [], []
    for scorer in scorers:
        scores = _scores(scorer.judge(occupancies))
        counts = ~np.isnan(scores) & ((truth == 0) | (truth == 1))
        called = scores >= scorer.threshold
        matrices.append(_matrix(scorer, scores, called, truth, counts, known))
        if name == "control":
            estimates.append(_estimate(scorer, called, truth, counts))
    return FrozenSet(
        name=name,
        comparison=compare(labelled, scorers, (), SEED, lambda line: None),
        matrices=tuple(matrices),
        estimates=tuple(estimates),
    )


def _matrix(
    scorer: Scorer,
    scores: np.ndarray,
    called: np.ndarray,
    truth: np.ndarray,
    counts: np.ndarray,
    known: Sequence[Known],
) -> Matrix:
    cells = []
    for is_bad, is_called in ((True, True), (True, False), (False, True), (False, False)):
        which = counts & (truth == is_bad) & (called == is_called)
        steps = np.minimum((scores[which] * BINS).astype(int), BINS - 1)
        there = np.flatnonzero(which.any(axis=1)).tolist() if known else []
        cells.append(
            Cell(
                layers=int(which.sum()),
                scores=tuple(np.bincount(steps, minlength=BINS).tolist()),
                chambers=tuple(known[i].where for i in there[:MOST_IN_CELL]),
                more=max(len(there) - MOST_IN_CELL, 0),
            )
        )
    return Matrix(model=scorer.version, threshold=scorer.threshold, cells=tuple(cells))


def _estimate(scorer: Scorer, called: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> Estimate:
    """Shares with intervals from resampling chambers, because the layers of a chamber are correlated."""
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=RESAMPLES)
    shares: list[Interval | None] = []
    for value in (0, 1):
        which = counts & (truth == value)
        layers, flagged = which.sum(axis=1), (which & called).sum(axis=1)
        if not layers.any():
            shares.append(None)
            continue
        many = drawn @ layers
        again = (drawn @ flagged)[many > 0] / many[many > 0]
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(again, (tail, 1 - tail))
        shares.append(Interval(float(flagged.sum() / layers.sum()), float(low), float(high)))
    return Estimate(model=scorer.version, false_alarms=shares[0], found=shares[1])


def _about_labels(scorers: tuple[Scorer, Scorer], labelled: Sequence[Known]) -> tuple[list[Layer], list[Layer]]:
    """The layers of labelled chambers on which the two differ, and those where both contradict an undisputed label,
    the most confident contradiction first."""
    if not labelled:
        return [], []
    scores = np.stack([_scores(scorer.judge([one.occupancy for one in labelled])) for scorer in scorers], axis=-1)
    bad = np.stack([one.bad for one in labelled])
    called = scores >= [scorer.threshold for scorer in scorers]
    said = (bad == 0) | (bad == 1)
    against = said & ~np.isnan(scores).any(axis=-1) & (called != (bad == 1)[..., None]).all(axis=-1)
    rows = [_layer(labelled[i], row, scores[i, row]) for i, row in np.argwhere(against).tolist()]
    contradicted = sorted(rows, key=lambda one: min(abs(score - one.label) for score in one.scores), reverse=True)
    return _worst_layers(labelled, scores), contradicted


def _change(scorers: tuple[Scorer, Scorer], run: int, known: Sequence[Known]) -> tuple[Change, list[Layer]]:
    judged = [scorer.judge([one.occupancy for one in known]) for scorer in scorers]
    changed, appear, go = [], 0, 0
    for one, ours, theirs in zip(known, *judged, strict=True):
        new, old = _bad(ours), _bad(theirs)
        if new != old:
            changed.append((one.where, tuple(sorted(new - old)), tuple(sorted(old - new))))
            appear, go = appear + len(new - old), go + len(old - new)
    changed.sort(key=lambda row: -len(row[1]) - len(row[2]))
    scores = np.stack([_scores(judgements) for judgements in judged], axis=-1)
    more = max(len(changed) - MOST_OF_RUN, 0)
    kept = tuple(changed[:MOST_OF_RUN])
    change = Change(run=run, chambers=len(known), appear=appear, go=go, changed=kept, more=more)
    return change, _worst_layers(known, scores)


def _worst_layers(known: Sequence[Known], scores: np.ndarray) -> list[Layer]:
    """The chambers on which the two differ most, each with the layer of the greatest difference."""
    difference = np.nan_to_num(np.abs(scores[..., 0] - scores[..., 1]), nan=0.0)
    rows = difference.argmax(axis=1)
    most = np.argsort(-difference.max(axis=1), kind="stable")[:MOST_LISTED].tolist()
    return [_layer(known[i], int(rows[i]), scores[i, rows[i]]) for i in most if difference[i, rows[i]] > 0]


def _layer(one: Known, row: int, scores: np.ndarray) -> Layer:
    said = None if one.bad is None or one.bad[row] not in (0, 1) else bool(one.bad[row])
    return Layer(where=one.where, layer=row + 1, scores=(float(scores[0]), float(scores[1])), label=said)


def _difference(one: Layer) -> float:
    return abs(one.scores[0] - one.scores[1])


def _scores(judgements: Sequence[Judgement]) -> np.ndarray:
    """float (n, 12); NaN where a layer is absent or unjudged."""
    return np.array([judgement.scores for judgement in judgements], np.float64).reshape(-1, LAYERS)


def _bad(judgement: Judgement) -> set[int]:
    return {i for i, verdict in enumerate(judgement.verdicts, start=1) if verdict in (Verdict.BAD, Verdict.EMPTY)}


def pictures(found: SideBySide) -> dict[str, bytes]:
    """SVG by name, for the page."""
    from app.subsystems.dt.learning import evaluation_pictures as drawn

    made: dict[str, bytes] = {}
    for one in found.sets:
        if any(method.roc for method in one.comparison.methods):
            made[f"roc-{one.name}"] = drawn.roc(one.comparison, f"{one.name} chambers")
        if any(method.reliability for method in one.comparison.methods):
            made[f"reliability-{one.name}"] = drawn.reliability(one.comparison, f"ordinary {one.name} chambers")
    return made
