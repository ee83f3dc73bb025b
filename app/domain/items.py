"""One item of a run, the unit that a person judges; and the query that selects the items of a list."""

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
    UNJUDGED = "unjudged"  # scored, but with too few hits to judge
    UNSCORED = "unscored"  # fetched but not scored yet
    MISSING = "missing"  # no usable histogram


SCORED = frozenset({ItemState.JUDGED, ItemState.UNJUDGED})


LISTS = {"scored": SCORED, **{str(state): frozenset({state}) for state in ItemState}, "any": frozenset(ItemState)}


@dataclass(frozen=True)
class Item:
    """What is known about one item of a run.

    Attributes:
        place: identifies the item within the run, as the subsystem's own type.
        missing, detail: why there is no histogram, for a MISSING item.
        histogram: for DT an `Occupancy`; only if requested.
        judgement: None until the item is scored.
        findings: what simple statistical checks found wrong, besides the model: see `Subsystem.explain`.
        model: the model that gave the scores.
        source: where the histogram came from.
        simulated: the item is from a demonstration.
        evaluation: its label state, as in `app.domain.labels.Projection`; None without labels.
        seq: number of the newest label event taken into account; 0 if there is none.
        labelled, waiting: it has a label; it needs a label, either the first one or a second opinion.
        skipped_by, labelled_by: names.
        contamination, contaminated: the greatest |score − label| over its judged parts, and that part; None if it is
            not labelled or there is a disagreement.
        held_by, held_until, chosen: holder and expiry of the current or last lease, and how the item was chosen.
        known: it is covered by a known problem.
        called_bad: returns the bad parts: see `Subsystem.parts_called_bad`.
        unlike: distance from the model's training data; above 1 it is unlike them; None if not measured.
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
        """The bad parts, each with its kind of fault."""
        return {part: kind for part, (kind, _) in self.bad_parts.items()}

    @cached_property
    def bad_parts(self) -> dict[int, tuple[str, str]]:
        """The bad parts: (kind of fault, description); empty if there are no scores."""
        return self.called_bad(self.judgement.verdicts, self.findings) if self.judgement and self.called_bad else {}


@dataclass(frozen=True)
class ItemQuery:
    """Filter and order of a list of items.

    Attributes:
        model: only scores of this model (items without scores belong to no model), so that no ranking mixes models.
            None if scores do not matter.
        states: the states to list.
        run: only this run.
        place: key → value, for the keys of the subsystem: {"region": -1}.
        least, most: bounds of the worst score.
        part_least, part_most: some part has a score from the first up to but excluding the second; 1 is included if
            it is the second.
        uncertain: only items with a certainty below this.
        labelled: only labelled items, or only unlabelled ones; None for both.
        by: labelled by this person, alone or among others.
        waiting: only items that need a first label or a second opinion, or only those that do not; None for both.
        disputed: only items with a disagreement, if True.
        sort: one of `ItemLists.SORTS`; also one of `ItemLists.SORTS_OF_LABELLED` if `labelled` is True, and one of
            `ItemLists.SORTS_OF_A_RUN` if a run is given.
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
