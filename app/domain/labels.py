"""Label events of an item, an append-only list, and the current label that is derived from them.

No database access. Events are never changed or removed; withdrawing one is itself an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.domain.judgement import Judgement
from app.domain.strategies import Strategy
from app.domain.vocabulary import BAD

MOST_SEQ = 2**31 - 1  # events of one item
MOST_COPIED = 64  # events copy the scores of up to so many parts; beyond, `model` and `scored_at` identify them


class EventKind(StrEnum):
    LABEL = "label"  # the parts have these classes
    SKIP = "skip"  # this person gives no answer; others may
    UNDO = "undo"  # withdraws an event of the same person
    RESOLVE = "resolve"  # an expert settles a disagreement


ANSWERS = (EventKind.LABEL, EventKind.RESOLVE)  # kinds that give the classes of parts


class SkipReason(StrEnum):
    NONE = ""
    UNCLEAR = "unclear"
    LOW_STATISTICS = "low_statistics"
    DETECTOR_OFF = "detector_off"
    PLOT_BROKEN = "plot_broken"


class LabelState(StrEnum):
    LABELLED = "labelled"
    SKIPPED = "skipped"  # not labelled yet, but somebody skipped it
    DISPUTED = "disputed"  # two people gave different labels without seeing each other's
    RESOLVED = "resolved"  # an expert decided


LABELLED = frozenset({LabelState.LABELLED, LabelState.DISPUTED, LabelState.RESOLVED})


@dataclass(frozen=True)
class LabelEvent:
    """One statement by one person about one item.

    Attributes:
        key: the client's idempotency key (a UUID): sending it twice stores one event.
        place: identifies the item within the run, as the subsystem's own type.
        seq: 1, 2, … within the item.
        bad: parts whose class is a fault, ascending; empty for a good item, a skip or an undo.
        classes: {part: class} of the parts that differ from the default class, if there are more classes than good
            and bad; otherwise empty, as `bad` says it all.
        model, scores, verdicts, scored_at: what was shown, with one entry per part, from part 1. Scores and verdicts
            of items with many parts are not copied: see `shown`.
        chosen: how the item was chosen: {"strategy", "control", "score", "rank", "of"} and the part that mattered, if
            known; strategy "direct" if the person opened the item without the queue.
        seconds: time spent on it, as measured by the page.
        undoes: id of the event that an UNDO withdraws.
        blind: a second opinion, given without seeing the first.
        second: a first label for which a second opinion is wanted.
        withdrawn: a later UNDO withdrew it.
        simulated: the item is from a demonstration.
    """

    id: str
    key: str
    run: int
    place: Any
    seq: int
    kind: EventKind
    by: str
    at: datetime
    bad: tuple[int, ...] = ()
    classes: Mapping[int, str] = field(default_factory=dict)
    reason: SkipReason = SkipReason.NONE
    comment: str = ""
    model: str = ""
    scores: tuple[float | None, ...] = ()
    verdicts: tuple[str, ...] = ()
    scored_at: datetime | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    undoes: str | None = None
    blind: bool = False
    second: bool = False
    withdrawn: bool = False
    simulated: bool = False

    @property
    def said(self) -> tuple[tuple[int, str], ...]:
        """The answer: (part, class) of each part that differs from the default class, by part."""
        return tuple(sorted(self.classes.items())) if self.classes else tuple((part, BAD.name) for part in self.bad)


@dataclass(frozen=True)
class Seen:
    """The state that a person saw when deciding; a submit must find the same state.

    Attributes:
        seq: number of the item's newest event; 0 if there was none (`Item.seq`).
        model, scored_at: of the scores (`Item.model`, `Item.scored_at`).
    """

    seq: int
    model: str
    scored_at: datetime | None

    @classmethod
    def of(cls, item: Any) -> Seen:
        return cls(item.seq, item.model, item.scored_at)


@dataclass(frozen=True)
class Projection:
    """The state derived from an item's events, as stored with the item.

    Attributes:
        seq: number of the newest event taken into account.
        evaluation: {"seq", "label" (its id), "kind", "by", "at", "bad", "reason", "comment", "state", "people"}, and
            "classes" if the event has them; None if there is no valid event.
        labelled: it has a label.
        waiting: it needs a label: the first, or a second opinion.
        recheck: labelled, and not yet revisited because of its contamination.
        skipped_by, labelled_by: names.
    """

    seq: int
    evaluation: Mapping[str, Any] | None
    labelled: bool
    waiting: bool
    recheck: bool
    skipped_by: tuple[str, ...]
    labelled_by: tuple[str, ...]


def shown(judgement: Judgement | None) -> dict[str, tuple[Any, ...]]:
    """The shown scores that an event stores: none for an item with more than `MOST_COPIED` parts."""
    if judgement is None or len(judgement.scores) > MOST_COPIED:
        return {"scores": (), "verdicts": ()}
    return {"scores": judgement.scores, "verdicts": tuple(map(str, judgement.verdicts))}


def standing(events: Sequence[LabelEvent]) -> list[LabelEvent]:
    """The valid events, oldest first, without withdrawn ones and withdrawals."""
    undone = {event.undoes for event in events if event.kind is EventKind.UNDO}
    return [event for event in events if event.kind is not EventKind.UNDO and event.id not in undone]


def independent_labels(events: Sequence[LabelEvent]) -> list[LabelEvent]:
    """The independent labels: the first valid one, and the blind ones."""
    labels = [event for event in standing(events) if event.kind is EventKind.LABEL]
    return labels[:1] + [event for event in labels[1:] if event.blind]


def project(events: Sequence[LabelEvent]) -> Projection:
    """Derive the state of one item from all its events.

    The newest label is the current one. If two people who had not seen each other's label differ, the item is disputed
    until one of them changes their label or an expert decides.

    Args:
        events: all of them, by seq.
    """
    valid = standing(events)
    last = {event.by: event for event in valid if event.kind in (EventKind.LABEL, EventKind.SKIP)}  # of each person
    decisions = [event for event in valid if event.kind in ANSWERS]
    labels = {event.by: event for event in decisions if event.kind is EventKind.LABEL}
    first = next((event for event in decisions if event.kind is EventKind.LABEL), None)

    seq = events[-1].seq if events else 0
    evaluation = None
    if decisions:
        answers = {labels[event.by].said for event in independent_labels(valid)}
        if decisions[-1].kind is EventKind.RESOLVE:
            state = LabelState.RESOLVED
        elif len(answers) > 1 and not any(event.kind is EventKind.RESOLVE for event in decisions):
            state = LabelState.DISPUTED
        else:
            state = LabelState.LABELLED
        evaluation = _evaluation(seq, decisions[-1], state, len(labels))
    elif valid:
        evaluation = _evaluation(seq, valid[-1], LabelState.SKIPPED, 0)
    wants_second = first is not None and first.second and len(labels) == 1
    return Projection(
        seq=seq,
        evaluation=evaluation,
        labelled=bool(decisions),
        waiting=not decisions or (wants_second and decisions[-1].kind is EventKind.LABEL),
        recheck=bool(decisions) and decisions[-1].chosen.get("strategy") != Strategy.CONTAMINATION,
        skipped_by=tuple(sorted(name for name, event in last.items() if event.kind is EventKind.SKIP)),
        labelled_by=tuple(sorted(labels)),
    )


def unseen(events: Sequence[LabelEvent], seq: int) -> list[LabelEvent]:
    """Valid labels and decisions newer than what a person saw, oldest first."""
    return [event for event in standing(events) if event.kind in ANSWERS and event.seq > seq]


def _evaluation(seq: int, event: LabelEvent, state: LabelState, people: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "label": event.id,
        "kind": str(event.kind),
        "by": event.by,
        "at": event.at,
        "bad": list(event.bad),
        "reason": str(event.reason),
        "comment": event.comment,
        "state": str(state),
        "people": people,
    } | ({"classes": {str(part): name for part, name in event.classes.items()}} if event.classes else {})
