"""What the toy's models can do: all that one of them learns from labels is from which score a channel is bad.

Tasks are done in another process, which needs this folder in PYTHONPATH.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel
from toy import FULL, Hits, Region, Scorer, write_model

from app.domain.labels import LABELLED
from app.errors import ModelRefused, TooFewLabels
from app.given import within
from app.ml.cards import Known

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="{width}" height="20"/></svg>'
TESTED = ((FULL, FULL, 0, 50), (FULL, 70, 0, 0))  # hits of the channels of a region; bad below 60


@dataclass(frozen=True)
class Plan:
    seed: int = 2018
    note: str = ""

    architecture: ClassVar[str] = "toy"

    def __post_init__(self) -> None:
        within("seed", self.seed, range(1_000_000))

    def to_args(self) -> dict[str, Any]:
        return asdict(self)


class Forgotten(BaseModel):
    """Scores of channels that people call bad, and the active model does, and the candidate does not."""

    against: str
    scores: tuple[float, ...]

    @property
    def forgotten(self) -> tuple[float, ...]:
        return self.scores


@dataclass(frozen=True)
class Order:
    """Scores of channels that people call good, and of those they call bad."""

    folder: Path
    active: Path
    good: tuple[float, ...]
    bad: tuple[float, ...]

    notes: ClassVar[tuple[str, ...]] = ()

    @property
    def summary(self) -> dict[str, int]:
        return {"good_channels": len(self.good), "bad_channels": len(self.bad)}

    @property
    def task(self) -> Making:
        return Making(self)


@dataclass(frozen=True)
class Making:
    order: Order

    def __call__(self, tell: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        return make(self.order, lambda line: tell({"words": line})).model_dump()


def make(order: Order, report: Callable[[str], None]) -> Forgotten:
    report(f"looking at {len(order.good) + len(order.bad)} channels")
    good, bad = max(order.good), min(order.bad)
    bad_from = (good + bad) / 2 if good < bad else min(good + 0.01, 1)
    write_model(order.folder, bad_from, f"learnt from {len(order.good) + len(order.bad)} channels")
    before = Scorer(order.active).threshold
    return Forgotten(against=order.active.name, scores=tuple(one for one in order.bad if before <= one < bad_from))


@dataclass(frozen=True)
class Evaluating:
    folders: tuple[tuple[Path, float], ...]
    items: int

    def __call__(self, tell: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        tell({"words": "judging what is known"})
        scorer = Scorer(self.folders[0][0]).at(self.folders[0][1])
        tested = [Hits(Region(1, 1), TESTED[number % len(TESTED)]) for number in range(self.items)]
        hits = [hits for one in tested for hits in one.channels]
        bad, good = ([1 - n / FULL for n in hits if (n < 60) == is_bad] for is_bad in (True, False))
        figures = {
            "items": self.items,
            "bad_from": scorer.threshold,
            "found": sum(score >= scorer.threshold for score in bad) / len(bad),
            "false_alarms": sum(score >= scorer.threshold for score in good) / len(good),
        }
        return {"figures": json.dumps(figures), "pictures": {"found": SVG.format(width=round(40 * figures["found"]))}}


def scores_of(one: Hits) -> list[float]:
    return [1 - hits / FULL for hits in one.channels]


class ToyLearning:
    """Judging, training and comparing; nothing explains what needs no explanation."""

    cannot: Mapping[str, str] = {}
    drift = None
    test_items: Mapping[str, int] = {"evaluation": 2, "comparison": 1}

    def scorer(self, folder: Path) -> Scorer:
        return Scorer(folder)

    def require_working(self, folder: Path) -> None:
        Scorer(folder)

    def explainer(self, scorer: Scorer) -> None:
        return None

    known = staticmethod(Known)

    def convert(self, file: Path, name: str, parent: Path) -> Path:
        try:
            bad_from = json.loads(file.read_bytes())["bad_from"]
        except (OSError, ValueError, KeyError):
            raise ModelRefused(f"{file.name} has no bad_from.") from None
        write_model(parent / name, bad_from, f"the file {file.name}")
        return parent / name

    def plan_of(self, args: Mapping[str, Any]) -> Plan:
        return Plan(**args)

    def require_enough(self, store: Any, plan: Plan) -> None:
        _labelled(store)

    def order(self, store: Any, plan: Plan, folder: Path, active: Path, settings: Any) -> Order:
        return Order(folder, active, *_labelled(store))

    def make(self, order: Order, report: Callable[[str], None]) -> Forgotten:
        return make(order, report)

    def found(self, result: Mapping[str, Any]) -> Forgotten:
        return Forgotten.model_validate(result)

    def evaluation(self, folders: Sequence[tuple[Path, float]], items: int) -> Evaluating:
        return Evaluating(tuple(folders), items)

    def compare(
        self, store: Any, scorers: tuple[Scorer, Scorer], runs: int, items: int, report: Callable[[str], None]
    ) -> tuple[str, dict[str, str]]:
        report("judging the last runs")
        changes = []
        for run in store.runs.find(limit=runs):
            hits = [item.histogram for item in store.items.of_run(run.number, histograms=True) if item.histogram]
            ours, theirs = ([one.verdicts for one in scorer.judge(hits)] for scorer in scorers)
            differ = sum(a != b for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True))
            changes.append({"run": run.number, "channels_that_differ": differ})
        figures = {"models": [scorer.version for scorer in scorers], "runs": changes}
        return json.dumps(figures), {"differ": SVG.format(width=len(changes))}


def _labelled(store: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scores of channels that people call good, and of those they call bad.

    Raises:
        TooFewLabels: there is none of one of the kinds.
    """
    good: list[float] = []
    bad: list[float] = []
    for run in store.labels.runs():
        for item in store.items.of_run(run, histograms=True):
            if item.evaluation and item.evaluation["state"] in LABELLED and item.histogram:
                for channel, score in enumerate(scores_of(item.histogram), start=1):
                    (bad if channel in item.evaluation["bad"] else good).append(score)
    if not good or not bad:
        raise TooFewLabels(f"Too few labels: {len(good)} good channels and {len(bad)} bad ones, of at least 1 each.")
    return tuple(good), tuple(bad)
