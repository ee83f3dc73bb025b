"""One item of a run: what a person judges as one, and which of them a list shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from app.domain.judgement import Judgement
from app.errors import Reason


class ItemState(StrEnum):
    JUDGED = "judged"
    UNJUDGED = "unjudged"  # scored, but too few hits to tell
    UNSCORED = "unscored"  # fetched, not scored yet
    MISSING = "missing"  # no usable histogram


SCORED = frozenset({ItemState.JUDGED, ItemState.UNJUDGED})


LISTS = {"scored": SCORED, **{str(state): frozenset({state}) for state in ItemState}, "any": frozenset(ItemState)}


@dataclass(frozen=True)
class Item:
    """What is known of one item of a run.

    Attributes:
        place: which item of the run, as the subsystem's own type.
        missing, detail: why there is no histogram, for an item that is MISSING.
        histogram: for DT an `Occupancy`; only where it was asked for.
        judgement: None until it is scored.
        findings: what simple statistics found wrong, beside the model: see `Subsystem.explain`.
        model: whose scores they are.
        source: where its histogram came from.
        simulated: that is a demonstration.
        evaluation: what people said of it, as `app.domain.labels.Projection` has it; None while nobody did.
        seq: number of the newest label event that counted; 0 while there is none.
        labelled, waiting: somebody labelled it; it wants a label, the first one or a second opinion.
        skipped_by, labelled_by: names.
        contamination, contaminated: the greatest |score − label| over its judged parts, and the part; None while it
            is not labelled, or people disagree on it.
        held_by, held_until, chosen: whose lease it is or was last, until when, and how the item was chosen for them.
        known: a known problem covers it.
        called_bad: tells the bad parts: see `Subsystem.parts_called_bad`.
        unlike: how far it is from anything that the model has seen: beyond 1, unlike it; None where that is not known.
    """

    run: int
    place: Any
    state: ItemState
    missing: Reason | None = None
    detail: str = ""
    histogram: Any = None
    hits: int | None = None
    judgement: Judgement | None = None
    findings: Sequence[Mapping[str, Any]] = ()
    model: str = ""
    source: str = ""
    simulated: bool = False
    fetched_at: datetime | None = None
    scored_at: datetime | None = None
    evaluation: Mapping[str, Any] | None = None
    seq: int = 0
    labelled: bool = False
    waiting: bool = False
    skipped_by: tuple[str, ...] = ()
    labelled_by: tuple[str, ...] = ()
    contamination: float | None = None
    contaminated: int | None = None
    held_by: str = ""
    held_until: datetime | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    known: bool = False
    unlike: float | None = None
    called_bad: Callable[..., dict[int, tuple[str, str]]] | None = field(default=None, compare=False, repr=False)

    @property
    def bad_kinds(self) -> dict[int, str]:
        """The bad parts, each with the kind of what is wrong in it."""
        return {part: kind for part, (kind, _) in self.bad_parts.items()}

    @cached_property
    def bad_parts(self) -> dict[int, tuple[str, str]]:
        """The bad parts: (kind of what is wrong, in words); none while there are no scores."""
        return self.called_bad(self.judgement.verdicts, self.findings) if self.judgement and self.called_bad else {}


@dataclass(frozen=True)
class ItemQuery:
    """Which items a list shows, and in which order.

    Attributes:
        model: scores of this model only (items that have none yet are of no model): no ranking mixes models. None
            where scores do not matter.
        states: those listed.
        run: of this run only.
        place: key → value, for the keys of the subsystem: {"region": -1}.
        least, most: bounds of the worst score.
        part_least, part_most: some part has a score from the first up to the second, or 1 where that is the second.
        uncertain: with a certainty below this.
        labelled: those that somebody labelled, or those that nobody did; None for both.
        by: labelled by this person, alone or among others.
        waiting: those that want a label, the first or a second one, or those that do not; None for both.
        disputed: those on which people disagree, if True.
        sort: one of `Items.SORTS`; or of `Items.SORTS_OF_LABELLED`, where `labelled` is True; or of either and of
            `Items.SORTS_OF_A_RUN`, where a run is given.
    """

    model: str | None
    states: frozenset[ItemState] = frozenset({ItemState.JUDGED})
    run: int | None = None
    place: Mapping[str, int] = field(default_factory=dict)
    least: float | None = None
    most: float | None = None
    part_least: float | None = None
    part_most: float | None = None
    uncertain: float | None = None
    labelled: bool | None = None
    by: str | None = None
    waiting: bool | None = None
    disputed: bool = False
    sort: str = "certainty"
    descending: bool = False
