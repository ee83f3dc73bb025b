"""The figures of an evaluation: what is stored as JSON, drawn, and shown as tables; `evaluation` computes them."""

from __future__ import annotations

from math import nextafter

import numpy as np

from app.ml.curves import Bin, Interval
from app.ml.json_record import JsonRecord
from app.ml.models import SHIFTER
from app.subsystems.dt.learning.yardsticks import STATISTICS as STATISTICS_NAME

OWN = "own"  # a rule's own threshold
FALSE_ALARMS = (0.001, 0.01, 0.05)  # shares of the good layers
SHOWN = FALSE_ALARMS.index(0.01)  # the one used in the tables by kind and statistics

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


class Found(JsonRecord):
    """The share that a method finds when at most this share of all good layers is flagged."""

    false_alarms: float
    found: Interval


class Group(JsonRecord):
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


class Rate(JsonRecord):
    statistics: str
    layers: int
    share: float


class Called(JsonRecord):
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


class AtThreshold(JsonRecord):
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


class CurvePoint(JsonRecord):
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


class Method(JsonRecord):
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


class Comparison(JsonRecord):
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


class Evaluation(JsonRecord):
    """The result of `evaluate`; the same seed, models and simulator give the same."""

    simulator_version: int
    seed: int
    resamples: int
    simulated: Comparison
    real: Comparison | None

    def of(self, model: str) -> Method | None:
        """A network on the simulated chambers, by its name."""
        return self.simulated.network(model)


def in_words(kind: str) -> str:
    """A kind of defect for a person."""
    return kind.replace("_", " ")
