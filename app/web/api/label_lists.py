"""The label events in the API: the list of the page `/data/user_scores/` as JSON and as CSV."""

from __future__ import annotations

from flask import Blueprint, Response
from pydantic import AwareDatetime, BaseModel, Field
from spectree import Response as Answers

from app.domain.labels import EventKind, LabelEvent, SkipReason
from app.store.item_lists import MOST_ANSWERED
from app.store.labels import LabelQuery
from app.web.api.definition import REFUSED, pages_of, spec
from app.web.api.label_schemas import LabelOut
from app.web.api.places import checked_sort
from app.web.api.schemas import ErrorOut, Page, PlaceFilter, Size
from app.web.labels.label_lists import events_file
from app.web.labels.label_words import Reader, reader_of
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("label_lists", __name__)

SORTS = ("at", "by", "kind", "chosen", "seconds", "model", "run")


class LabelsFilter(PlaceFilter):
    by: str | None = Field(None, max_length=40, description="only of this person")
    kind: EventKind | None = None
    since: AwareDatetime | None = Field(None, description="at this time or later, with its zone")
    until: AwareDatetime | None = Field(None, description="before this time, with its zone")
    withdrawn: bool | None = Field(
        None, description="only those that were withdrawn later, or only those that were not"
    )
    sort: str = Field("at", max_length=40, description=f"{', '.join(SORTS)}, or a key of a place")
    descending: bool = True

    @property
    def wanted(self) -> LabelQuery:
        return LabelQuery(
            by=self.by,
            run=self.run,
            place=self.place_filter(),
            kind=self.kind,
            since=self.since,
            until=self.until,
            withdrawn=self.withdrawn,
            sort=checked_sort(self.sort, SORTS),
            descending=self.descending,
        )


class LabelsQuery(LabelsFilter):
    page: int = Page
    size: int = Size


class ListedLabelOut(LabelOut):
    """One event by one person; its answer is left out while a second opinion is wanted from the reader."""

    bad: list[int] | None
    classes: dict[int, str] | None
    reason: SkipReason | None
    comment: str | None
    hidden: bool = Field(description="since a second opinion is wanted, which must not know the first")

    @classmethod
    def read_by(cls, event: LabelEvent, reader: Reader) -> ListedLabelOut:
        hidden = reader.hides(event)
        without = {"bad": None, "classes": None, "reason": None, "comment": None} if hidden else {}
        return cls(**(LabelOut.of(event).model_dump() | without), hidden=hidden)


class LabelListOut(BaseModel):
    labels: list[ListedLabelOut]
    page: int
    pages: int
    size: int
    count: int = Field(description="counted up to 50,000")


@blueprint.get("/labels")
@spec.validate(
    resp=Answers(HTTP_200=LabelListOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut, **REFUSED),
    tags=["labels"],
)
def list_labels(query: LabelsQuery) -> LabelListOut:
    """All label events, newest first, including withdrawn ones."""
    driftwatch = current_driftwatch()
    labels, reader = driftwatch.store.labels, reader_of()
    count = min(labels.count(query.wanted, MOST_ANSWERED), MOST_ANSWERED)
    pages = pages_of(query.page, query.size, count)
    found = labels.find(query.wanted, (query.page - 1) * query.size, query.size)
    listed = [ListedLabelOut.read_by(event, reader) for event in found]
    return LabelListOut(labels=listed, page=query.page, pages=pages, size=query.size, count=count)


@blueprint.get("/labels.csv")
@spec.validate(resp=Answers("HTTP_200", HTTP_503=ErrorOut, **REFUSED), tags=["labels"])
def labels_csv(query: LabelsFilter) -> Response:
    """The same list as a CSV file, up to 100,000 rows."""
    return events_file(query.wanted)
