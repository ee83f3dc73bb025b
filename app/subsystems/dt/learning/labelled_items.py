"""Labels of items, as training data for a network: `labelled_items`.

Label events give the targets, items the histograms. The frozen split assigns each item to a part: see `split`. For the
treatment of soft, disputed and skipped labels, and of the selection of items, see `Labelled` and `_Strata`;
`Composition` counts everything, for the card. Not for simulated chambers: see `known_chambers`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.items import Item
from app.domain.judgement import Verdict
from app.domain.labels import ANSWERS, EventKind, LabelEvent, LabelState, independent_labels, project, standing
from app.domain.run_numbers import run_range
from app.domain.strategies import DIRECT, Strategy
from app.errors import InvalidInput, TooFewLabels
from app.ml.models import Composition, PartCount
from app.ml.split import BLOCK, SPLIT, Split, is_test_run, part_of
from app.store import Store
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.histogram_file import Histogram, HistogramFile
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.verdict import judge_before

# Per part: with fewer, its figures are mostly chance.
LEAST_ITEMS = {Split.TRAINING: 20, Split.VALIDATION: 5, Split.TEST: 5}
LEAST_BAD = LEAST_GOOD = 3  # layers of each part

NO_HISTOGRAM, ELSEWHERE = "no histogram", "run and chamber in different parts"  # why items are left out

CERTAINTIES = (0.1, 0.2, 0.3, 0.4)  # edges of the strata
MOST_WEIGHT = 10.0  # of an item, as a multiple of the mean: rare strata must not dominate

SIMULATED_RUN = "of simulated runs, since there are labels of real ones"

_NAMED_RUNS = 3  # in a sentence about where labels are missing
_LOOKED_AT = 100  # newest runs among which they are sought

Stratum = tuple[int, bool] | None  # of items that are about as likely to be labelled: see `_Strata`


@dataclass(frozen=True)
class Choice:
    """Which labels are used.

    Attributes:
        first_run, last_run: the range of runs, inclusive; None for no limit.
        resolved_only: only items on which an expert resolved a disagreement.
    """

    first_run: int | None = None
    last_run: int | None = None
    resolved_only: bool = False

    @classmethod
    def of(cls, runs: str = "", resolved_only: bool = False) -> Choice:
        """The choice from a range of runs as typed by a user; "" for all runs.

        Raises:
            InvalidInput: field "runs".

        >>> Choice.of("302634-302640").last_run
        302640
        """
        if not runs.strip():
            return cls(resolved_only=resolved_only)
        try:
            return cls(*run_range(runs), resolved_only)
        except InvalidInput:  # of the whole range, not of half of it
            raise InvalidInput("runs", runs, "a run or a range of runs, such as 302634-302640") from None

    @property
    def runs(self) -> str:
        """The range as a user would type it; empty without limits."""
        return "" if self.first_run is None else f"{self.first_run}-{self.last_run}"


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labels of one item.

    Attributes:
        bad: P(bad) of each part of the item, by its number. 0 or 1 by the current label, the last one or an expert's
            decision. Each part of a disputed item has the share of people who call it bad, among those who did not see
            other answers: parts on which they agree are as certain as any.
        strategy: how the item was selected for its first label: a `Strategy`, "direct", or what the event says.
        drawn: it was drawn at random, as a control or on request.
        people: the authors of the labels or of the decision.
    """

    run: int
    place: Any
    state: LabelState
    bad: Mapping[int, float]
    part: Split | None
    strategy: str
    drawn: bool
    people: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LabelledItem(Labelled):
    """The same with its histogram.

    Attributes:
        histogram: where its histogram is: see `occupancy`.
        targets: float32 (12,): `bad`, the first entry for layer 1; NaN for absent layers.
        open: bool (12,): layers for a network to judge; the others are empty or have too few hits.
        weight: inverse propensity, mean 1 over all labelled items: the number of items of the labelled runs that it
            represents.
    """

    histogram: Histogram = field(kw_only=True)
    targets: np.ndarray = field(kw_only=True)
    open: np.ndarray = field(kw_only=True)
    weight: float = field(kw_only=True, default=1.0)

    @property
    def occupancy(self) -> Occupancy:
        """Its histogram, read when it is asked for and not kept."""
        return self.histogram.read()


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """All selected items.

    Attributes:
        items: those in a part, by run and place.
        composition: what there was, what was left out and why.
    """

    items: tuple[LabelledItem, ...]
    composition: Composition

    def of(self, part: Split) -> list[LabelledItem]:
        return [item for item in self.items if item.part is part]


@dataclass(frozen=True)
class Outlook:
    """The labels that a training would use, counted without reading histograms.

    Attributes:
        labelled: items that match the choice.
        counts: the contents of each part, layers by label, except those judged before any network.
        left_out: why → items.
        layers_left_out: layers of the items that count which are judged before any network.
    """

    labelled: int
    counts: Mapping[Split, PartCount]
    left_out: Mapping[str, int]
    layers_left_out: int


def outlook(store: Store, choice: Choice) -> Outlook:
    """What would count if a training started now. Unscored items count with all their layers."""
    labels, left_out = labels_of(store, choice)
    verdicts = store.lists.labelled_verdicts(choice.first_run, choice.last_run)
    here = [one for one in labels if (one.run, one.place) in verdicts]
    kept = [_without_judged(one, verdicts[one.run, one.place]) for one in here if one.part is not None]
    left_out |= {NO_HISTOGRAM: len(labels) - len(here), ELSEWHERE: len(here) - len(kept)}
    return Outlook(
        labelled=len(labels),
        counts=counts_of(kept),
        left_out={why: number for why, number in sorted(left_out.items()) if number},
        layers_left_out=sum(len(one.bad) for one in here if one.part) - sum(len(one.bad) for one in kept),
    )


def labels_of(store: Store, choice: Choice) -> tuple[list[Labelled], Counter[str]]:
    """The labels, without histograms; reads only the labelled items.

    Returns:
        the labelled items by run and place, including those in no part, and the numbers of others: "skipped" (by
        everybody who looked), "withdrawn", "not resolved" (if only resolved ones are wanted) and `SIMULATED_RUN`.
    """
    found, others = [], Counter[str]()
    aside, first_runs = _set_aside(store), store.labels.first_runs()
    for run in store.labels.runs(choice.first_run, choice.last_run):
        if run in aside:
            others[SIMULATED_RUN] += len(store.labels.places(run))
            continue
        for place, events in sorted(store.labels.of_run(run).items(), key=lambda pair: _order(store, pair[0])):
            state = _state(events)
            if state in (None, LabelState.SKIPPED):
                others["withdrawn" if state is None else "skipped"] += 1
            elif choice.resolved_only and state is not LabelState.RESOLVED:
                others["not resolved"] += 1
            else:
                found.append(_labelled(store, run, place, events, state, first_runs[place]))
    return found, others


def labelled_items(store: Store, choice: Choice, path: Path | None = None) -> LabelledSet:
    """The training data from labels. Items whose run was deleted have no histogram and are left out.

    The same labels, histograms and scores (which only affect the weights) always give the same set.
    Histograms of no more than a run are in memory at a time.

    Args:
        path: the file that their histograms are written to, where another process is to read them.
    """
    labels, left_out = labels_of(store, choice)
    strata, histograms = _Strata(), HistogramFile(path)
    found: list[tuple[LabelledItem, Stratum]] = []
    by_run: dict[int, list[Labelled]] = {}
    for one in labels:
        by_run.setdefault(one.run, []).append(one)
    for run, those in by_run.items():
        of_run = {item.place: item for item in store.items.of_run(run, histograms=True)}
        strata.add_population(of_run.values())
        here = [(one, of_run[one.place]) for one in those if _has_histogram(of_run.get(one.place))]
        left_out[NO_HISTOGRAM] += len(those) - len(here)
        strata.add_labelled(item for _, item in here)
        found += _with_layers(here, histograms)
    items = [replace(item, weight=strata.weight(stratum)) for item, stratum in found]
    kept = tuple(item for item in items if item.part is not None)
    left_out[ELSEWHERE] = len(items) - len(kept)
    return LabelledSet(kept, _composition(kept, items, left_out, strata, choice))


def require_enough(
    counts: Mapping[Split, PartCount], store: Store, least_items: Mapping[Split, int] = LEAST_ITEMS
) -> None:
    """Refuse to train if a part has too few labels, or none of a class.

    Args:
        least_items: the number of items needed in each required part; by default those of a training.

    Raises:
        TooFewLabels: says for every part what it has, what it needs, and in which runs labels count for it.
    """
    missing = []
    for part, least_of_part in least_items.items():
        has = counts.get(part, PartCount())
        wanted = [
            f"{has_now} of at least {least} {what}"
            for what, has_now, least in (
                ("chambers", has.items, least_of_part),
                ("bad layers", has.bad, LEAST_BAD),
                ("good layers", has.good, LEAST_GOOD),
            )
            if has_now < least
        ]
        if wanted:
            missing.append(f"{part} has {', '.join(wanted)} ({_where(part, store)})")
    if missing:
        raise TooFewLabels(f"Too few labels: {'; '.join(missing)}.")


def counts_of(labels: Sequence[Labelled]) -> dict[Split, PartCount]:
    """The contents of each part, by label: all layers of `Labelled`, and those for a network of `LabelledItem`."""
    return {part: _count([one for one in labels if one.part is part]) for part in Split}


def _set_aside(store: Store) -> frozenset[int]:
    """The simulated runs, if there are labels of real ones: a network never learns from both."""
    simulated = frozenset(store.labels.simulated_runs())
    return frozenset() if simulated.issuperset(store.labels.runs()) else simulated


# --- one item ---


def _without_judged(one: Labelled, verdicts: Sequence[str]) -> Labelled:
    """Only with the layers for a network to judge, as far as known."""
    before = {
        number for number, verdict in enumerate(verdicts, start=1) if verdict in (Verdict.EMPTY, Verdict.UNJUDGED)
    }
    return replace(one, bad={number: p for number, p in one.bad.items() if number not in before})


def _order(store: Store, place: Any) -> tuple[int, ...]:
    return tuple(store.subsystem.at(place).values())


def _state(events: Sequence[LabelEvent]) -> LabelState | None:
    evaluation = project(events).evaluation
    return LabelState(evaluation["state"]) if evaluation else None


def _labelled(
    store: Store, run: int, place: Any, events: Sequence[LabelEvent], state: LabelState, first_run: int
) -> Labelled:
    first = next(event for event in standing(events) if event.kind in ANSWERS)
    answers = _answers(events, state)
    return Labelled(
        run=run,
        place=place,
        state=state,
        bad=_shares(list(answers.values()), store.subsystem.parts(place)),
        part=part_of(store.subsystem, run, place, first_run),
        strategy=first.chosen.get("strategy", DIRECT),
        drawn=bool(first.chosen.get("control")) or first.chosen.get("strategy") == Strategy.RANDOM,
        people=tuple(sorted(answers)),
    )


def _answers(events: Sequence[LabelEvent], state: LabelState) -> dict[str, tuple[int, ...]]:
    """name → bad layers, for those whose label counts."""
    if state is not LabelState.DISPUTED:
        evaluation = project(events).evaluation
        return {evaluation["by"]: tuple(evaluation["bad"])}
    last = {event.by: event.bad for event in standing(events) if event.kind is EventKind.LABEL}
    return {event.by: last[event.by] for event in independent_labels(events)}


def _shares(answers: Sequence[tuple[int, ...]], parts: Collection[int]) -> dict[int, float]:
    return {part: sum(part in bad for bad in answers) / len(answers) for part in parts}


def _has_histogram(item: Item | None) -> bool:
    return item is not None and item.histogram is not None


# --- how items were selected ---


class _Strata:
    """The numbers of items, and of labelled items, in each stratum.

    The queue selects items by their scores: the least certain, the worst. Labelled items are therefore not
    representative. An event records (strategy, control or not, the layer, its score, the rank among how many) how an
    item was selected, but not how likely that was, because it depended on what else waited. So propensities are
    estimated. Items of the labelled runs are divided into strata by what the queue selects on, their certainty and
    whether a layer is bad by its score; the propensity of a stratum is the share of its items that are labelled. This
    holds for any strategy, and for labels given outside the queue as far as they follow the scores; the random control
    is part of the labelled items, and ensures that every stratum has some.
    """

    def __init__(self) -> None:
        self._all: Counter[Any] = Counter()
        self._labelled: Counter[Any] = Counter()

    def add_population(self, items: Iterable[Item]) -> None:
        self._all.update(map(_stratum, items))

    def add_labelled(self, items: Iterable[Item]) -> None:
        self._labelled.update(map(_stratum, items))

    def weight(self, stratum: Stratum) -> float:
        """Items for each labelled one of a stratum, over the same of all strata; at most `MOST_WEIGHT`."""
        if stratum is None:  # unknown without scores
            return 1.0
        labelled = sum(self._labelled.values()) - self._labelled[None]
        everything = sum(self._all[key] for key in self._labelled if key is not None)
        weight = self._all[stratum] / self._labelled[stratum] * labelled / everything
        return min(weight, MOST_WEIGHT)

    @property
    def not_represented(self) -> int:
        """Items in strata without labelled ones."""
        return sum(number for key, number in self._all.items() if key is not None and not self._labelled[key])


def _stratum(item: Item) -> Stratum:
    judgement = item.judgement
    if judgement is None or judgement.certainty is None:
        return None
    return sum(judgement.certainty >= edge for edge in CERTAINTIES), judgement.bad > 0


# --- all items ---


def _with_layers(
    found: Sequence[tuple[Labelled, Item]], histograms: HistogramFile
) -> Iterator[tuple[LabelledItem, Stratum]]:
    """Those of a run, not weighted yet: that takes the strata of all runs."""
    if not found:
        return
    occupancies = [item.histogram for _, item in found]
    layers = judge_before(occupancies, layer_bins(occupancies)).open
    for (one, item), is_open in zip(found, layers, strict=True):
        targets = np.array([one.bad.get(layer, np.nan) for layer in range(1, LAYERS + 1)], np.float32)
        kept = {"histogram": histograms.add(item.histogram), "targets": targets, "open": is_open}
        yield LabelledItem(**vars(one), **kept), _stratum(item)


def _count(those: Sequence[Labelled]) -> PartCount:
    layers = [p for one in those for number, p in one.bad.items() if _is_open(one, number)]
    weights = np.array([getattr(one, "weight", 1.0) for one in those])
    return PartCount(
        items=len(those),
        runs=len({one.run for one in those}),
        places=len({one.place for one in those}),
        bad=sum(p == 1 for p in layers),
        good=sum(p == 0 for p in layers),
        soft=sum(0 < p < 1 for p in layers),
        effective_items=round(float(weights.sum() ** 2 / (weights**2).sum()), 1) if len(those) else 0.0,
    )


def _is_open(one: Labelled, number: int) -> bool:
    return bool(one.open[number - 1]) if isinstance(one, LabelledItem) else True


def _composition(
    kept: Sequence[LabelledItem],
    everything: Sequence[LabelledItem],
    left_out: Counter[str],
    strata: _Strata,
    choice: Choice,
) -> Composition:
    return Composition(
        split=SPLIT,
        runs=choice.runs,
        resolved_only=choice.resolved_only,
        labelled=len(everything) + left_out[NO_HISTOGRAM],
        parts={str(part): count for part, count in counts_of(kept).items()},
        left_out={why: number for why, number in sorted(left_out.items()) if number},
        layers_left_out=sum(int((~one.open[np.isfinite(one.targets)]).sum()) for one in kept),
        states=_sorted_counts(str(one.state) for one in kept),
        people=_sorted_counts(name for one in kept for name in one.people),
        strategies=_sorted_counts(one.strategy for one in kept),
        drawn=sum(one.drawn for one in kept),
        not_represented=strata.not_represented,
        digest=_digest(kept),
    )


def _sorted_counts(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _digest(items: Sequence[LabelledItem]) -> str:
    """A digest of the set: runs, places, labels, histograms and weights."""
    digest = hashlib.sha256()
    for one in items:
        digest.update(f"{one.run} {one.place} {one.part} {one.weight:.6f}".encode())
        digest.update(one.targets.tobytes() + one.occupancy.to_bytes())
    return digest.hexdigest()


def _where(part: Split, store: Store) -> str:
    """Which labels count for a part."""

    def counts(run: int) -> bool:
        return is_test_run(run) == (part is Split.TEST)

    runs = [run.number for run in store.runs.find(limit=_LOOKED_AT, together=True)]
    those = [str(run) for run in runs if counts(run)][:_NAMED_RUNS]
    if those:
        which = {
            Split.VALIDATION: " of every fifth chamber",
            Split.TEST: " of chambers not labelled in other runs before",
        }
        return f"labels of the run{'s' * (len(those) > 1)} {', '.join(those)} count there{which.get(part, '')}"
    near = max(runs, default=0)
    following = next(run for run in range(near + 1, near + 2 * BLOCK + 1) if counts(run))
    return f"no run that is loaded counts there; {following} would"
