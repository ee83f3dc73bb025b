"""The types of the labelling API: see `schemas`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.domain.labels import MOST_SEQ, EventKind, LabelEvent, Seen, SkipReason
from app.domain.run_numbers import LARGEST_RUN
from app.domain.strategies import DEFAULT, Strategy
from app.domain.vocabulary import Answer
from app.errors import InvalidInput
from app.given import Given
from app.labelling.labels import Current
from app.labelling.queue import Where
from app.web.api.places import PlaceOut, WithPlace, keys_of
from app.web.api.schemas import ErrorOut

MOST_PARTS = 10_000  # per item
MOST_AT_ONCE = 20  # places per request; a page has two


Tab = Field("", pattern="^[A-Za-z0-9-]{0,64}$", description="of a browser, by a name of its own; empty for a program")


class PlaceInRun(WithPlace):
    """One item of a run."""

    run: int = Field(ge=1, le=LARGEST_RUN)

    @property
    def where(self) -> Where:
        """Raise InvalidInput if there is no such place."""
        return self.run, self.place()

    @classmethod
    def at(cls, where: Where) -> PlaceInRun:
        run, place = where
        return cls(run=run, **keys_of(place))


class Places(Given):
    items: list[PlaceInRun] = Field(max_length=MOST_AT_ONCE)
    tab: str = Tab

    @classmethod
    def at(cls, those: Iterable[Where]) -> Places:
        return cls(items=[PlaceInRun.at(where) for where in those])


class SeenState(Given):
    """The state that a person saw: a label is refused if the item is no longer in this state."""

    seq: int = Field(ge=0, le=MOST_SEQ, description="of the newest event of the item; 0 where there was none")
    model: str = Field(max_length=200)
    scored_at: datetime | None = None

    @property
    def seen(self) -> Seen:
        return Seen(self.seq, self.model, self.scored_at)

    @classmethod
    def of(cls, seen: Seen) -> SeenState:
        return cls(seq=seen.seq, model=seen.model, scored_at=seen.scored_at)


class ClaimIn(WithPlace):
    """A request to the queue; the first key of a place restricts it."""

    strategy: Strategy = DEFAULT
    run: int | None = Field(None, ge=1, le=LARGEST_RUN, description="of this run only")
    leave_out_known: bool = Field(False, description="none that an expert marked as a known problem")
    tab: str = Tab
    besides: list[PlaceInRun] = Field([], max_length=MOST_AT_ONCE, description="held already, and wanted on")


class ClaimOut(BaseModel):
    """The next item, held for the person who asked; or why there is none."""

    item: PlaceInRun | None
    url: str | None = Field(description="its page")
    why: str
    seen: SeenState | None = Field(description="to be sent with the label")
    held_until: datetime | None
    nothing: Literal["done", "held", "skipped"] | None
    text: str = Field(description="why there is none, as a sentence")


class LabelIn(PlaceInRun):
    key: str = Field(description="a UUID of the client's: the same label sent twice is one", max_length=100)
    bad: list[int] | None = Field(None, max_length=MOST_PARTS, description="the bad parts, by number")
    classes: dict[int, str] = Field(
        {}, max_length=MOST_PARTS, description="in place of that, where there are more classes: part → class"
    )
    reason: SkipReason | None = Field(None, description="given: a skip; empty for no reason in particular")
    comment: str = ""
    seen: SeenState
    seconds: float | None = Field(None, ge=0, description="spent on it")

    @property
    def answer(self) -> Answer | list[int]:
        """Raise InvalidInput if none is given."""
        if self.bad is None and not self.classes:
            raise InvalidInput("bad", None, "given")
        return self.classes or self.bad or []


class LabelOut(PlaceOut):
    """One event by one person about one item."""

    id: str
    key: str
    run: int
    seq: int = Field(description="1, 2, … of this item")
    kind: EventKind
    by: str
    at: datetime
    bad: list[int] = Field(description="the parts that are of a class that is a fault")
    classes: dict[int, str] = Field(description="part → class, where there are more classes than good and bad")
    reason: SkipReason
    comment: str
    model: str
    scores: list[float | None] = Field(description="as shown, the first of part 1")
    verdicts: list[str]
    scored_at: datetime | None
    chosen: dict[str, Any] = Field(description="how the item was chosen: strategy, whether as a control, rank")
    seconds: float | None
    undoes: str | None = Field(description="id of the event that this one withdraws")
    blind: bool = Field(description="given without seeing what somebody else had said")
    withdrawn: bool
    simulated: bool = Field(description="of an item of a demonstration")

    @classmethod
    def of(cls, event: LabelEvent) -> LabelOut:
        place = {"run": event.run, **keys_of(event.place)}
        own = {name: getattr(event, name) for name in cls.model_fields if name not in place}
        return cls(**own, **place)


class LabelsOut(BaseModel):
    labels: list[LabelOut]


class UndoIn(Given):
    key: str = Field(description="a UUID of the client's", max_length=100)


class CurrentOut(BaseModel):
    """The current state that the person has not seen."""

    events: list[LabelOut]
    model: str
    scores: list[float | None] | None
    verdicts: list[str] | None
    seen: SeenState = Field(description="to be sent with the next try")

    @classmethod
    def of(cls, current: Current) -> CurrentOut:
        judgement = current.item.judgement
        return cls(
            events=[LabelOut.of(event) for event in current.events],
            model=current.item.model,
            scores=list(judgement.scores) if judgement else None,
            verdicts=[str(verdict) for verdict in judgement.verdicts] if judgement else None,
            seen=SeenState.of(current.seen),
        )


class StaleProblem(ErrorOut):
    """A conflict, with both sides for comparison."""

    current: CurrentOut | None = None
