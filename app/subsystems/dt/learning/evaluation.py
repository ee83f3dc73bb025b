"""Networks against yardsticks, in one run on the same layers: the work of `flask evaluate-model`.

Samples are split by chamber, never by layer: test chambers differ from those to which yardsticks are fitted, and from
those on which any network was trained (see `known_chambers`). Not for display: see `evaluation_tables` and
`evaluation_pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nextafter

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from app.domain.judgement import Verdict
from app.errors import InvalidInput
from app.ml.curves import (
    LEAST_FALSE_ALARMS,
    RESAMPLES,
    Bin,
    Interval,
    Ranking,
    bootstrap,
    last_allowed,
    reliability,
    representative,
    thinned,
)
from app.ml.models import SHIFTER
from app.subsystems.dt.learning.known_chambers import LabelledChamber, fitting_seed, simulated_test_set
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.learning.yardsticks import STATISTICS as STATISTICS_NAME
from app.subsystems.dt.learning.yardsticks import Yardstick, yardsticks
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import SIMULATOR_VERSION
from app.subsystems.dt.verdict import judge_before

SEED = 302_635
LEAST_CHAMBERS = 50  # with fewer, there can be no bad layer
FALSE_ALARMS = (0.001, 0.01, 0.05)  # shares of the good layers
SHOWN = FALSE_ALARMS.index(0.01)  # the one used in the tables by kind and statistics
BAND = tuple(np.geomspace(LEAST_FALSE_ALARMS, 1, 25).tolist())  # where the interval of a ROC is computed
OWN = "own"  # a rule's own threshold

# Hits per cell of the chamber where it is alive: from, to. The last is the range for which bounds are promised.
STATISTICS = {
    "< 2": (0.0, 2.0),
    "2–6": (2.0, 6.0),
    "6–20": (6.0, 20.0),
    "20–80": (20.0, 80.0),
    "> 80": (80.0, np.inf),
}
ALL, FROM_6 = "all", "from 6"
LEVELS = {**STATISTICS, FROM_6: (6.0, np.inf), ALL: (0.0, np.inf)}
ALL_KINDS = "all"

_AT_ONCE = 500  # chambers: some 100 MB of a network's inputs


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Found(_Part):
    """The share that a method finds when at most this share of all good layers is flagged."""

    false_alarms: float
    found: Interval


class Group(_Part):
    """The bad layers of one kind at one level of statistics.

    Attributes:
        kind, statistics: which; "all" for all.
        layers: how many.
        found: the share found at each of `FALSE_ALARMS`, of all good layers.
    """

    kind: str
    statistics: str
    layers: int
    found: tuple[float, ...]


class Rate(_Part):
    statistics: str
    layers: int
    share: float


class Called(_Part):
    """How many of some bad layers are called bad.

    Attributes:
        kind, statistics: which layers; "all" for all.
        layers: how many.
        share: of them called bad.
    """

    kind: str
    statistics: str
    layers: int
    share: float


class AtThreshold(_Part):
    """The meaning of a threshold: the confusion matrix, and the false alarms at each level of statistics.

    Attributes:
        use: what the threshold is for; "own" for that of a rule.
        score: from which a layer is called bad.
        found, missed: bad layers called bad, and good.
        false_alarms, passed: good layers called bad, and good.
        by_statistics: the share of good layers called bad.
        by_kind: for bad layers of each kind at each level of statistics. Empty if written by an earlier version.
    """

    use: str
    score: float
    found: int
    missed: int
    false_alarms: int
    passed: int
    by_statistics: tuple[Rate, ...]
    by_kind: tuple[Called, ...] = ()

    def called_bad(self, kind: str = ALL_KINDS, statistics: str = ALL) -> float | None:
        """The share of these bad layers that is called bad; None if there are none."""
        return next((one.share for one in self.by_kind if (one.kind, one.statistics) == (kind, statistics)), None)

    def good_called_bad(self, statistics: str = ALL) -> float | None:
        """The share of good layers that is called bad; None if there are none."""
        return next((one.share for one in self.by_statistics if one.statistics == statistics), None)


class CurvePoint(_Part):
    """The meaning of a score as a threshold.

    Attributes:
        score: from which a layer is called bad.
        false_alarms: share of the good layers called bad.
        found: share of the bad ones.
        by_statistics: the first at each of `LEVELS`, in order; None if there are no good layers.
        down_to: the next lower score of a layer, −1 if none: all scores above it and up to `score` mean the same.
    """

    score: float
    down_to: float
    false_alarms: float
    found: float
    by_statistics: tuple[float | None, ...]

    @property
    def by_hits(self) -> dict[str, float]:
        """Level of statistics → share of its good layers called bad, where there are any."""
        return {level: share for level, share in zip(LEVELS, self.by_statistics, strict=True) if share is not None}


class Method(_Part):
    """One method on one set of chambers.

    Attributes:
        name, words: what it is.
        network: whether it is one, whose scores are probabilities.
        area: under the ROC curve, with its interval; None if the set lacks good or bad layers (`found` is then empty).
        roc: (share of good layers flagged, share of bad ones found), thinned.
        band: for networks, the second with its interval at some values of the first.
        reliability, calibration_error: for networks, on the ordinary chambers of the set.
        curve: for networks, the meaning of thresholds, by falling score; thinned. Empty if written by an earlier
            version.
        beside: for networks, the bad layers above the cut with the false alarms of the simple statistics at their own
            threshold, from 6 hits per cell, by kind and statistics; and those of the statistics themselves.
    """

    name: str
    words: str
    network: bool
    area: Interval | None
    found: tuple[Found, ...]
    roc: tuple[tuple[float, float], ...]
    groups: tuple[Group, ...]
    thresholds: tuple[AtThreshold, ...]
    reliability: tuple[Bin, ...]
    calibration_error: float | None
    curve: tuple[CurvePoint, ...] = ()
    band: tuple[Found, ...] = ()
    beside: tuple[Called, ...] = ()

    @property
    def shipped(self) -> AtThreshold | None:
        """At the shifters' threshold, or a rule's own. None for methods that only rank."""
        return next((at for at in self.thresholds if at.use in (SHIFTER, OWN)), None)

    def beside_statistics(self, kind: str = ALL_KINDS, statistics: str = FROM_6) -> float | None:
        """The share found at the false alarms of the simple statistics; None if there are no such layers."""
        return next((one.share for one in self.beside if (one.kind, one.statistics) == (kind, statistics)), None)

    def meaning(self, score: float) -> CurvePoint | None:
        """The meaning of a threshold, to the resolution of the curve: never understates its false alarms.

        Returns:
            None without a curve.
        """
        if not self.curve:
            return None
        if score > self.curve[0].score:
            none = tuple(None if share is None else 0.0 for share in self.curve[0].by_statistics)
            return CurvePoint(score=score, down_to=self.curve[0].score, false_alarms=0.0, found=0.0, by_statistics=none)
        means = (point for point in self.curve if point.down_to < score)  # the first one, or the next one stored
        return next(means).model_copy(update={"score": score, "down_to": nextafter(score, -1)})

    def for_false_alarms(self, share: float) -> CurvePoint | None:
        """The lowest threshold at which at most this share of good layers is called bad; None if there is none."""
        return next((point for point in reversed(self.curve) if point.false_alarms <= share), None)

    def share(self, kind: str = ALL_KINDS, statistics: str = ALL) -> float | None:
        """The share found at 1 % false alarms; None if there are no such layers."""
        group = self._group(kind, statistics)
        return group.found[SHOWN] if group else None

    def layers(self, kind: str = ALL_KINDS, statistics: str = ALL) -> int:
        """The number of bad layers of a kind."""
        group = self._group(kind, statistics)
        return group.layers if group else 0

    def _group(self, kind: str, statistics: str) -> Group | None:
        return next((group for group in self.groups if (group.kind, group.statistics) == (kind, statistics)), None)


class Comparison(_Part):
    """All methods on the same layers of one set of chambers.

    Attributes:
        chambers: of the set.
        good, bad: layers that count.
        ambiguous: judged layers that do not count, because they are neither good nor bad, or unknown.
        unjudged: layers left out because their chamber has too few hits.
        kinds: those of any bad layer.
        places: the parts of the detector with any bad layer, in words; groups of all statistics.
    """

    chambers: int
    good: int
    bad: int
    ambiguous: int
    unjudged: int
    kinds: tuple[str, ...]
    methods: tuple[Method, ...]
    places: tuple[str, ...] = ()

    @property
    def kinds_and_all(self) -> tuple[str, ...]:
        return (*self.kinds, ALL_KINDS)

    @property
    def levels_with_layers(self) -> list[str]:
        """The levels of statistics at which the set has layers, in order."""
        seen = {group.statistics for method in self.methods for group in method.groups}
        seen |= {rate.statistics for method in self.methods for at in method.thresholds for rate in at.by_statistics}
        return [level for level in LEVELS if level in seen]

    def network(self, name: str) -> Method | None:
        """The network with this name; None if it is not compared."""
        return next((method for method in self.methods if method.name == name and method.network), None)

    def behind(self, method: Method) -> list[str]:
        """The kinds of which a network finds less than the simple statistics, at their false alarms, from 6 hits."""
        simple = self.statistics
        if simple is None:
            return []
        return [kind for kind in self.kinds if _less(method.beside_statistics(kind), simple.beside_statistics(kind))]

    @property
    def statistics(self) -> Method | None:
        """The simple statistics; None if an earlier version wrote the comparison without them."""
        return next((method for method in self.methods if method.name == STATISTICS_NAME), None)


def _less(ours: float | None, theirs: float | None) -> bool:
    return ours is not None and theirs is not None and ours < theirs


class Evaluation(_Part):
    """The result of `evaluate`; the same seed, models and simulator give the same."""

    simulator_version: int
    seed: int
    resamples: int
    simulated: Comparison
    real: Comparison | None

    def to_json(self) -> str:
        """JSON without NaN; `from_json` makes the same again."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Evaluation:
        return cls.model_validate_json(text)

    @classmethod
    def readable(cls, text: str | bytes) -> Evaluation | None:
        """The same; None if it was written by another version in a form that this one cannot read."""
        try:
            return cls.from_json(text)
        except ValidationError:
            return None

    def of(self, model: str) -> Method | None:
        """A network on the simulated chambers, by its name."""
        return self.simulated.network(model)


def evaluate(
    scorers: Sequence[Scorer],
    chambers: int = 4_000,
    seed: int = SEED,
    real: Sequence[LabelledChamber] = (),
    report: Callable[[str], None] = print,
) -> Evaluation:
    """Compare networks with the yardsticks.

    Args:
        scorers: the networks, the one in question first; of different names.
        chambers: how many to simulate for the test.
        seed: of that simulation, of what the yardsticks are fitted to, and of the bootstrap.
        real: labelled real chambers, compared apart.
        report: receives progress messages, one line at a time.

    Raises:
        InvalidInput: the seed or the number of chambers is out of range, or two networks have one name.
        ModelRefused: a network gave something that is not a score.
    """
    if chambers < LEAST_CHAMBERS:
        raise InvalidInput("chambers", chambers, f"a whole number, {LEAST_CHAMBERS} or more")
    names = [scorer.version for scorer in scorers]
    if len(set(names)) < len(names):
        raise InvalidInput("models", ", ".join(names), "different models")
    simulated = simulated_test_set(chambers, seed)
    report(f"{chambers} chambers are simulated")
    others = yardsticks(fitting_seed(seed))
    report("the yardsticks are fitted")
    return Evaluation(
        simulator_version=SIMULATOR_VERSION,
        seed=seed,
        resamples=RESAMPLES,
        simulated=compare(simulated, scorers, others, seed, report),
        real=compare(real, scorers, others, seed, report) if real else None,
    )


def compare(
    labelled: Sequence[LabelledChamber],
    scorers: Sequence[Scorer],
    others: Sequence[Yardstick],
    seed: int,
    report: Callable[[str], None],
) -> Comparison:
    """All methods on all judged layers of these chambers that are known to be good or bad."""
    scores, judged, rates, unjudged = _scores(labelled, scorers, others)
    truth = np.stack([one.bad for one in labelled])
    counts = judged & ((truth == 0) | (truth == 1))
    bad, layer_rates = truth[counts] == 1, np.repeat(rates[:, None], truth.shape[1], axis=1)[counts]
    chamber, row = np.nonzero(counts)
    layer_kinds = [labelled[i].kinds[j] for i, j in zip(chamber.tolist(), row.tolist(), strict=True)]
    kinds = tuple(sorted({kind for some in layer_kinds for kind in some}))
    masks = {kind: np.array([kind in some for some in layer_kinds], bool) for kind in kinds}
    masks[ALL_KINDS] = np.ones(len(bad), bool)
    where = [_places(one) for one in labelled]
    masks_of_places = {
        place: mask
        for place in sorted({place for some in where for place in some})
        if (mask := np.array([place in where[i] for i in chamber], bool))[bad].any()
    }
    ordinary = np.array([one.ordinary for one in labelled], bool)[chamber]
    layers = _Layers(bad, chamber, ordinary, layer_rates, masks, masks_of_places)

    allowed = _allowed_beside(others, scores, counts, layers)
    methods = []
    every: list[Scorer | Yardstick] = [*scorers, *others]
    for method in every:
        if isinstance(method, Scorer):
            name, words, cuts = method.version, f"the network: {method.card.takes}", _thresholds(method)
        else:
            name, words = method.name, method.words
            cuts = {} if method.threshold is None else {OWN: method.threshold}
        found = _method(name, words, isinstance(method, Scorer), scores[name][counts], cuts, layers, seed, allowed)
        methods.append(found)
        report(f"{name}: area {found.area.value:.4f}" if found.area else f"{name}: no area without good and bad layers")
    return Comparison(
        chambers=len(labelled),
        good=int((~bad).sum()),
        bad=int(bad.sum()),
        ambiguous=int((judged & ~counts).sum()),
        unjudged=unjudged,
        kinds=kinds,
        methods=tuple(methods),
        places=tuple(masks_of_places),
    )


def _places(one: LabelledChamber) -> tuple[str, str]:
    """Parts of the detector that a chamber belongs to, in words."""
    chamber = one.occupancy.chamber
    return f"station {chamber.station}", f"wheel {chamber.wheel:+d}".replace("-", "−").replace("+0", "0")


class _Layers:
    """The truth about the layers that count; arrays of one length."""

    def __init__(
        self,
        bad: np.ndarray,
        chamber: np.ndarray,
        ordinary: np.ndarray,
        rates: np.ndarray,
        masks: dict[str, np.ndarray],
        places: dict[str, np.ndarray],
    ) -> None:
        self.bad, self.chamber, self.ordinary, self.masks, self.places = bad, chamber, ordinary, masks, places
        self.levels = {name: (rates >= low) & (rates < high) for name, (low, high) in LEVELS.items()}


def _scores(
    labelled: Sequence[LabelledChamber], scorers: Sequence[Scorer], others: Sequence[Yardstick]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, int]:
    """Scores (n, 12) by method; the judged layers, bool (n, 12); hits per cell (n,); the number of unjudged layers."""
    scores: dict[str, list[np.ndarray]] = {
        name: [] for name in (*(s.version for s in scorers), *(o.name for o in others))
    }
    judged, rates, unjudged = [], [], 0
    for start in range(0, len(labelled), _AT_ONCE):
        occupancies = [one.occupancy for one in labelled[start : start + _AT_ONCE]]
        bins = layer_bins(occupancies)
        before = judge_before(occupancies, bins)
        unjudged += int((before.verdicts == Verdict.UNJUDGED).sum())
        here = before.open | (before.verdicts == Verdict.EMPTY)
        for scorer in scorers:
            given = np.array([judgement.scores for judgement in scorer.judge(occupancies)], np.float64)  # None is NaN
            scores[scorer.version].append(given)
            here &= ~np.isnan(given)
        for other in others:
            scores[other.name].append(other.scores(occupancies, bins))
        judged.append(here)
        rates.append(before.rates)
    return (
        {name: np.concatenate(parts) for name, parts in scores.items()},
        np.concatenate(judged),
        np.concatenate(rates),
        unjudged,
    )


def _thresholds(scorer: Scorer) -> dict[str, float]:
    return {use: one.score for use, one in scorer.card.thresholds.items()} | {SHIFTER: scorer.threshold}


def _allowed_beside(
    others: Sequence[Yardstick], scores: dict[str, np.ndarray], counts: np.ndarray, layers: _Layers
) -> int | None:
    """The number of good layers from 6 hits per cell that the simple statistics call bad; None if there are none."""
    good = layers.levels[FROM_6] & ~layers.bad
    cuts = {other.name: other.threshold for other in others}
    if STATISTICS_NAME not in cuts or not good.any():
        return None
    return int((scores[STATISTICS_NAME][counts][good] >= cuts[STATISTICS_NAME]).sum())


def _method(
    name: str,
    words: str,
    network: bool,
    scores: np.ndarray,
    cuts: dict[str, float],
    layers: _Layers,
    seed: int,
    allowed: int | None,
) -> Method:
    bad = layers.bad
    both = bool(bad.any() and not bad.all())
    area: Interval | None = None
    found: tuple[Found, ...] = ()
    band: tuple[Found, ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    groups: tuple[Group, ...] = ()
    points: tuple[CurvePoint, ...] = ()
    if both:
        ranking = Ranking.of(bad, scores)
        rates = (*FALSE_ALARMS, *(BAND if network else ()))
        area, *shares = bootstrap(ranking, layers.chamber, rates, seed)
        each = tuple(Found(false_alarms=f, found=share) for f, share in zip(rates, shares, strict=True))
        found, band = each[: len(FALSE_ALARMS)], each[len(FALSE_ALARMS) :]
        roc, groups = tuple(thinned(bad, scores)), _groups(ranking, scores, layers)
        points = _curve(ranking, scores, layers) if network else ()
    usual = layers.ordinary
    curve, error = reliability(bad[usual], scores[usual]) if network and usual.any() else ((), None)
    return Method(
        name=name,
        words=words,
        network=network,
        area=area,
        found=found,
        roc=roc,
        groups=groups,
        thresholds=tuple(_at_threshold(use, cut, scores, layers) for use, cut in cuts.items()),
        reliability=curve,
        calibration_error=error,
        curve=points,
        band=band,
        beside=_beside(name, network, scores, cuts, layers, allowed),
    )


def _beside(
    name: str, network: bool, scores: np.ndarray, cuts: dict[str, float], layers: _Layers, allowed: int | None
) -> tuple[Called, ...]:
    """Bad layers above the cut with this many false alarms from 6 hits per cell; the statistics, at their own cut."""
    if allowed is None or not (network or name == STATISTICS_NAME):
        return ()
    if name == STATISTICS_NAME:
        return _called(scores >= cuts[OWN], layers)
    good = np.sort(scores[layers.levels[FROM_6] & ~layers.bad])[::-1]
    return _called(scores > good[allowed] if allowed < len(good) else np.ones(len(scores), bool), layers)


def _called(flagged: np.ndarray, layers: _Layers) -> tuple[Called, ...]:
    return tuple(
        Called(kind=kind, statistics=statistics, layers=int(which.sum()), share=float(flagged[which].mean()))
        for kind, of_kind in layers.masks.items()
        for statistics, level in layers.levels.items()
        if (which := layers.bad & of_kind & level).any()
    )


def _curve(ranking: Ranking, scores: np.ndarray, layers: _Layers) -> tuple[CurvePoint, ...]:
    good, bad = ranking.above()
    kept = representative(ranking)
    cuts = ranking.cuts[kept]
    shares = []
    for level in layers.levels.values():
        ordered = np.sort(scores[level & ~layers.bad])
        above = len(ordered) - np.searchsorted(ordered, cuts, side="left")
        shares.append((above / len(ordered)).tolist() if len(ordered) else [None] * len(cuts))
    columns = (
        cuts.tolist(),
        np.append(ranking.cuts, -1.0)[kept + 1].tolist(),
        (good[kept] / good[-1]).tolist(),
        (bad[kept] / bad[-1]).tolist(),
        zip(*shares, strict=True),
    )
    return tuple(
        CurvePoint(score=score, down_to=below, false_alarms=false, found=found, by_statistics=tuple(by))
        for score, below, false, found, by in zip(*columns, strict=True)
    )


def _groups(ranking: Ranking, scores: np.ndarray, layers: _Layers) -> tuple[Group, ...]:
    good, _ = ranking.above()
    last = [int(last_allowed(good, rate)) for rate in FALSE_ALARMS]
    flagged = [scores >= (ranking.cuts[i] if i >= 0 else np.inf) for i in last]
    groups = []
    for kind, of_kind in layers.masks.items():
        for statistics, level in layers.levels.items():
            which = layers.bad & of_kind & level
            if which.any():
                shares = tuple(float(some[which].mean()) for some in flagged)
                groups.append(Group(kind=kind, statistics=statistics, layers=int(which.sum()), found=shares))
    for place, there in layers.places.items():
        which = layers.bad & there
        shares = tuple(float(some[which].mean()) for some in flagged)
        groups.append(Group(kind=place, statistics=ALL, layers=int(which.sum()), found=shares))
    return tuple(groups)


def _at_threshold(use: str, cut: float, scores: np.ndarray, layers: _Layers) -> AtThreshold:
    flagged, bad = scores >= cut, layers.bad
    rates = []
    for statistics, level in layers.levels.items():
        good = level & ~bad
        if good.any():
            rates.append(Rate(statistics=statistics, layers=int(good.sum()), share=float(flagged[good].mean())))
    return AtThreshold(
        use=use,
        score=cut,
        found=int((flagged & bad).sum()),
        missed=int((~flagged & bad).sum()),
        false_alarms=int((flagged & ~bad).sum()),
        passed=int((~flagged & ~bad).sum()),
        by_statistics=tuple(rates),
        by_kind=_called(flagged, layers),
    )


def in_words(kind: str) -> str:
    """A kind of defect for a person."""
    return kind.replace("_", " ")
