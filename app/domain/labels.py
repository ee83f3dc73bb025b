"""What people said of an item, as a list of events that only grows, and what follows from it: the current label.

Pure: no database. An event is never changed or removed; to withdraw one is an event itself.
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
MOST_COPIED = 64  # parts of an item whose scores each event keeps; of a larger map `model` and `scored_at` name them


class Kind(StrEnum):
    LABEL = "label"  # these parts are of these classes
    SKIP = "skip"  # this person does not say; others may
    UNDO = "undo"  # withdraws an event of the same person
    RESOLVE = "resolve"  # an expert ends a disagreement


class SkipReason(StrEnum):
    NONE = ""
    UNCLEAR = "unclear"
    LOW_STATISTICS = "low_statistics"
    DETECTOR_OFF = "detector_off"
    PLOT_BROKEN = "plot_broken"


class LabelState(StrEnum):
    LABELLED = "labelled"
    SKIPPED = "skipped"  # nobody labelled it yet, but somebody looked at it
    DISPUTED = "disputed"  # two people, neither of whom saw what the other said, said different things
    RESOLVED = "resolved"  # an expert decided


LABELLED = frozenset({LabelState.LABELLED, LabelState.DISPUTED, LabelState.RESOLVED})


@dataclass(frozen=True)
class LabelEvent:
    """One thing that one person said of one item.

    Attributes:
        key: the client's own name for it (a UUID): the same sent twice is one event.
        place: which item of the run, as the subsystem's own type.
        seq: 1, 2, … of this item.
        bad: parts that are of a class that is a fault, ascending; empty for a good item, and for a skip or an undo.
        classes: {part: class} of the parts that are not of the first class, where there are more classes than good and
            bad; empty elsewhere: then `bad` says it all.
        model, scores, verdicts, scored_at: what was shown: an entry a part, the first for part 1. Of an item of many
            parts scores and verdicts are not copied: see `shown`.
        chosen: how the item was chosen: {"strategy", "control", "score", "rank", "of"} and the part that mattered, as
            far as known;
            strategy "direct" where the person went there without the queue.
        seconds: spent on it, as the page measured it.
        undoes: the id of the event that an UNDO withdraws.
        blind: given as a second opinion, without seeing the first.
        second: a first label of which a second opinion is wanted.
        withdrawn: a later UNDO withdrew it.
        simulated: of an item of a demonstration.
    """

    id: str
    key: str
    run: int
    place: Any
    seq: int
    kind: Kind
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
        """The answer: (part, class) of each part that is not of the first class, by part."""
        return tuple(sorted(self.classes.items())) if self.classes else tuple((part, BAD.name) for part in self.bad)


@dataclass(frozen=True)
class Seen:
    """What a person had before them when they decided: the state that a submit must still find.

    Attributes:
        seq: of the newest event of the item; 0 where there was none (`Item.seq`).
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
    """What follows from an item's events, as it stands on the item.

    Attributes:
        seq: of the newest event that counted here.
        evaluation: {"seq", "label" (its id), "kind", "by", "at", "bad", "reason", "comment", "state", "people"}, and
            "classes" where the event has them; None where nothing stands.
        labelled: somebody labelled it.
        waiting: it wants a label: the first, or a second opinion.
        recheck: labelled, and its contamination sent nobody there yet.
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
    """What an event keeps of the scores that were shown: nothing of an item with more than `MOST_COPIED` parts."""
    if judgement is None or len(judgement.scores) > MOST_COPIED:
        return {"scores": (), "verdicts": ()}
    return {"scores": judgement.scores, "verdicts": tuple(map(str, judgement.verdicts))}


def standing(events: Sequence[LabelEvent]) -> list[LabelEvent]:
    """The events that nobody withdrew, oldest first, without the withdrawals."""
    undone = {event.undoes for event in events if event.kind is Kind.UNDO}
    return [event for event in events if event.kind is not Kind.UNDO and event.id not in undone]


def independent_labels(events: Sequence[LabelEvent]) -> list[LabelEvent]:
    """The labels given without knowing what others said: the first one that stands, and the blind ones."""
    labels = [event for event in standing(events) if event.kind is Kind.LABEL]
    return labels[:1] + [event for event in labels[1:] if event.blind]


def project(events: Sequence[LabelEvent]) -> Projection:
    """What follows from all events of one item.

    The newest label is the current one. Where two people who did not see each other's label differ, the item is
    disputed, until one of them changes theirs or an expert decides.

    Args:
        events: all of them, by seq.
    """
    valid = standing(events)
    opinions = {event.by: event for event in valid if event.kind in (Kind.LABEL, Kind.SKIP)}  # the last of each person
    decisions = [event for event in valid if event.kind in (Kind.LABEL, Kind.RESOLVE)]
    labels = {event.by: event for event in decisions if event.kind is Kind.LABEL}
    first = next((event for event in decisions if event.kind is Kind.LABEL), None)

    seq = events[-1].seq if events else 0
    evaluation = None
    if decisions:
        answers = {labels[event.by].said for event in independent_labels(valid)}
        if decisions[-1].kind is Kind.RESOLVE:
            state = LabelState.RESOLVED
        elif len(answers) > 1 and not any(event.kind is Kind.RESOLVE for event in decisions):
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
        waiting=not decisions or (wants_second and decisions[-1].kind is Kind.LABEL),
        recheck=bool(decisions) and decisions[-1].chosen.get("strategy") != Strategy.CONTAMINATION,
        skipped_by=tuple(sorted(name for name, event in opinions.items() if event.kind is Kind.SKIP)),
        labelled_by=tuple(sorted(labels)),
    )


def unseen(events: Sequence[LabelEvent], seq: int) -> list[LabelEvent]:
    """Labels and decisions that stand and are newer than what a person saw, oldest first."""
    return [event for event in standing(events) if event.kind in (Kind.LABEL, Kind.RESOLVE) and event.seq > seq]


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
