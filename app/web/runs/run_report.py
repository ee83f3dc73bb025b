"""The result of a run: its bad items, what is new against a reference run, and a sentence for the logbook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from app.domain.items import Item, ItemState
from app.domain.judgement import Judgement, Verdict
from app.domain.run_numbers import run_number
from app.domain.runs import Run, RunState
from app.domain.words import plural
from app.driftwatch import Driftwatch
from app.errors import InvalidInput, NotFound
from app.web.shared.application import current_subsystem
from app.web.shared.display import part_or_parts, place_name

NEAR = 20  # finished runs before and after this one that are considered as reference
LEAST_JUDGED = 0.9  # minimum share of judged items in a reference: enough statistics
MOST_NAMED = 6  # items in one part of the sentence

_BAD = (Verdict.BAD, Verdict.EMPTY)
_JUDGED = (*_BAD, Verdict.GOOD)


@dataclass(frozen=True)
class Change:
    """How an item's parts changed since the reference run.

    Attributes:
        new, stayed, gone: parts that are bad now and were good; that are bad in both; that are good now and were bad.
            Parts that were not judged in one of the two runs are in none of them.
        comparable: both runs have scores for the item.
    """

    new: tuple[int, ...] = ()
    stayed: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    comparable: bool = True

    @classmethod
    def between(cls, then: Sequence[Verdict] | None, now: Sequence[Verdict]) -> Change:
        """The changes between the verdicts of two runs; not comparable if either has none."""
        if then is None:
            return cls(comparable=False)
        pairs = list(enumerate(zip(then, now, strict=True), start=1))

        def parts(were: tuple[Verdict, ...], are: tuple[Verdict, ...]) -> tuple[int, ...]:
            return tuple(part for part, (before, after) in pairs if before in were and after in are)

        good = (Verdict.GOOD,)
        return cls(parts(good, _BAD), parts(_BAD, _BAD), parts(_BAD, good))


@dataclass(frozen=True)
class RunReport:
    """A run, and its changes since a reference run.

    Attributes:
        items: its stored items.
        reference: the run compared with; None if there is none.
        proposed: the reference was not chosen by the user.
        changes: for the items that have scores.
    """

    run: Run
    items: Sequence[Item]
    reference: Run | None = None
    proposed: bool = True
    changes: Mapping[Any, Change] = field(default_factory=dict)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of items in each state, and of bad ones, counted from what the page shows."""
        counts = {str(state): sum(item.state is state for item in self.items) for state in ItemState}
        bad = [item.judgement.bad for item in self.bad]
        judged = [verdict for item in self.items if item.judgement for verdict in item.judgement.verdicts]
        parts = sum(verdict in _JUDGED for verdict in judged)
        labelled = sum(item.labelled for item in self.items)
        counts |= {"bad_items": len(bad), "bad_parts": sum(bad), "parts": parts, "items": len(self.items)}
        return counts | {"labelled": labelled}

    @cached_property
    def bad(self) -> list[Item]:
        """Items with bad parts: those with new ones first, then by the number of bad parts weighted by score."""
        bad = [item for item in self.items if item.judgement and item.judgement.bad]
        return sorted(bad, key=lambda item: (not self.change(item).new, -weight(item.judgement), item.place))

    @cached_property
    def appeared(self) -> list[tuple[Any, tuple[int, ...]]]:
        """(place, parts that are bad now and were good)."""
        return [(item.place, self.change(item).new) for item in self.bad if self.change(item).new]

    @cached_property
    def stayed(self) -> list[tuple[Any, tuple[int, ...]]]:
        """(place, parts that are bad in both runs)."""
        return [(item.place, self.change(item).stayed) for item in self.bad if self.change(item).stayed]

    @cached_property
    def went(self) -> list[tuple[Any, tuple[int, ...]]]:
        """(place, parts that are good now and were bad)."""
        return sorted((place, change.gone) for place, change in self.changes.items() if change.gone)

    def change(self, item: Item) -> Change:
        return self.changes.get(item.place, Change(comparable=False))

    @cached_property
    def sentence(self) -> str:
        """The run in one sentence, for the logbook."""
        counts, kinds = self.counts, {item.place: item.bad_kinds for item in self.bad}
        judged, item, part = counts["judged"], current_subsystem().item, current_subsystem().part
        parts = [
            f"Run {self.run.number}: {plural(len(self.bad), f'bad {item}')} of {judged:,} judged"
            + (f" ({plural(counts['bad_parts'], f'bad {part}')} of {counts['parts']:,})" if self.bad else "")
        ]
        if self.reference is None:
            if self.bad:
                parts.append("bad: " + _named([(item.place, tuple(kinds[item.place])) for item in self.bad], kinds))
        elif self.appeared:
            parts.append(f"new since run {self.reference.number}: {_named(self.appeared, kinds)}")
        else:
            parts.append(f"nothing new since run {self.reference.number}")
        if self.stayed:
            parts.append(f"{plural(len(self.stayed), item)} as before")
        if self.went:
            parts.append(f"gone: {_named(self.went, {})}")
        if counts["unjudged"]:
            parts.append(f"{counts['unjudged']} with too few hits")
        if self.run.missing:
            parts.append(f"{self.run.missing} missing")
        return "; ".join([*parts, f"scores by {self.run.model or 'several models'}"]) + "."


def report(driftwatch: Driftwatch, number: int, reference: str | None = None) -> RunReport:
    """Build the report of a run.

    Args:
        reference: number of the run to compare with, as entered; None for the proposed one.

    Raises:
        NotFound: the run is not loaded.
        InvalidInput: field "reference": it is not the number of another loaded run.
    """
    store = driftwatch.store
    run = store.runs.get(number)
    chosen = proposed_reference(run, store.runs.near(number, run.model, NEAR)) if run.model else None
    if reference is not None:
        chosen = _reference(driftwatch, reference, number)
    items = store.items.of_run(number)
    changes = {}
    if chosen:
        then = store.items.verdicts(chosen.number)
        changes = {
            item.place: Change.between(then.get(item.place), item.judgement.verdicts)
            for item in items
            if item.state is ItemState.JUDGED
        }
    return RunReport(run, items, chosen, reference is None, changes)


def proposed_reference(run: Run, near: Iterable[Run]) -> Run | None:
    """Propose a reference: the nearest run by number with enough statistics that is no worse than most.

    Args:
        near: finished runs of the same model. Runs with less than `LEAST_JUDGED` of their items judged are excluded.
            Of the others, the share of bad parts must be at most the median. At equal distance, the earlier run wins.
    """
    shares = [
        (other, other.summary["bad_parts"] / other.summary["parts"])
        for other in near
        if other.summary.get("parts") and other.summary["judged"] >= LEAST_JUDGED * other.total
    ]
    if not shares:
        return None
    middle = median(share for _, share in shares)
    good = [other for other, share in shares if share <= middle]
    return min(good, key=lambda other: (abs(other.number - run.number), other.number))


def weight(judgement: Judgement) -> float:
    """How bad an item is: the number of bad parts, weighted with their scores."""
    pairs = zip(judgement.scores, judgement.verdicts, strict=True)
    return sum(score for score, verdict in pairs if verdict in _BAD)


def _reference(driftwatch: Driftwatch, written: str, number: int) -> Run:
    other = run_number(written, field="reference")
    try:
        found = driftwatch.store.runs.get(other)
    except NotFound:
        found = None
    if other == number or found is None or found.state is not RunState.FINISHED:
        raise InvalidInput("reference", other, "the number of another run that is finished")
    if found.simulated != driftwatch.store.runs.is_simulated(number):
        both = "simulated as this one is" if not found.simulated else "not simulated, as this one is not"
        raise InvalidInput("reference", other, f"a run that is {both}")
    return found


def _named(changed: Sequence[tuple[Any, tuple[int, ...]]], kinds: Mapping[Any, Mapping[int, str]]) -> str:
    """ "R2 lumi 3 channels 2–4 (dead), …": the first few items, each with its faults."""

    of_kind = current_subsystem().kind_words

    def name(place: Any, parts: tuple[int, ...]) -> str:
        found = [kinds[place][part] for part in parts] if place in kinds else []
        words = dict.fromkeys(of_kind.get(kind, kind) for kind in found)
        return f"{place_name(place)} {part_or_parts(parts)}" + (f" ({', '.join(words)})" if words else "")

    names = ", ".join(name(*one) for one in changed[:MOST_NAMED])
    return names + (f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else "")
