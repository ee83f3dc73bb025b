"""The types of the API, which validate requests and from which the OpenAPI document is generated."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, StrictInt, StrictStr

from app.domain.items import Item, ItemState
from app.domain.models import Model, ModelState
from app.domain.run_numbers import LARGEST_RUN
from app.domain.runs import Run, RunState
from app.given import Given
from app.subsystems import DEFAULT
from app.web.api.places import PlaceOut, WithPlace, keys_of

LARGEST_PAGE = 1_000_000

Page = Field(1, ge=1, le=LARGEST_PAGE, description="page, from 1")
Size = Field(20, ge=1, le=100, description="rows a page")


class ErrorOut(BaseModel):
    """An error as defined by RFC 9457; the last four fields are present only where they apply."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str | None = None
    field: str | None = None
    value: str | None = None
    accepted: str | None = None


class Asked(Given):
    """Base of query strings."""

    subsystem: str | None = Field(None, max_length=40, description=f"which one; {DEFAULT.name}, if not given")


class RunsQuery(Asked):
    state: RunState | None = Field(None, description="only runs in this state")
    sort: Literal["number", "state", "requested_at", "finished_at", "missing", "bad_items", "model"] = "number"
    descending: bool = True
    page: int = Page
    size: int = Size


class RunsRequest(Given):
    runs: StrictInt | StrictStr = Field(description="a run number, or several: '302634-302640, 305000'")
    again: bool = Field(False, description="all of the runs, also what is there; that stays until there is more")


class PlaceFilter(Asked, WithPlace):
    """Filter of a list of items: a run, and keys of a place."""

    run: int | None = Field(None, ge=1, le=LARGEST_RUN)


class ScoresQuery(PlaceFilter):
    model: str | None = Field(None, description="scores of this model; of the active one, if not given")
    state: Literal["scored", "judged", "unjudged", "unscored", "missing", "any"] = "scored"
    least: float | None = Field(None, ge=0, le=1, description="least worst score of an item's parts")
    most: float | None = Field(None, ge=0, le=1, description="greatest worst score of an item's parts")
    sort: str = Field("certainty", max_length=40, description="certainty, score, state, run, or a key of a place")
    descending: bool = False
    page: int = Page
    size: int = Size


class ModelOut(BaseModel):
    """A model: its state and its card."""

    name: str
    state: ModelState
    sha256: str
    added_at: datetime
    added_by: str
    card: dict[str, Any]
    refused: bool = Field(description="it forgot what the active model knew, and nobody overrode that")
    check: dict[str, Any] | None = Field(description="what a candidate from labels forgot")
    override: dict[str, Any] | None = Field(description="who let it pass although it was refused, when and why")

    @classmethod
    def of(cls, model: Model) -> ModelOut:
        return cls.model_validate(model, from_attributes=True)


class ModelsOut(BaseModel):
    models: list[ModelOut]


class RunOut(BaseModel):
    """A run: its state, progress and results."""

    number: int
    state: RunState
    total: int
    done: int
    missing: int
    why: str
    rate: float = Field(description="items a second, while it is being fetched")
    seconds_left: float | None
    source: str = Field(description="what it is fetched from: base URL of a server, or name of a file")
    source_kind: str = Field(description="dqm, demonstration, root or import; empty while nothing is said of that")
    simulated: bool = Field(description="it comes from a demonstration")
    unsettled: bool = Field(description="perhaps it was still being taken when it was fetched: no later run was listed")
    ask_again_at: datetime | None = Field(description="when it is fetched again, where DQM_POLL_MINUTES is set")
    requested_by: str
    requested_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    model: str
    threshold: float | None = Field(description="score from which its parts were called bad; null where not known")
    summary: dict[str, int]
    reasons: dict[str, int] = Field(description="how many items are missing for each reason")

    @classmethod
    def of(cls, run: Run) -> RunOut:
        return cls.model_validate(run, from_attributes=True)


class RunsOut(BaseModel):
    runs: list[RunOut]
    page: int
    pages: int
    size: int
    count: int


class ScoresOut(PlaceOut):
    """The scores of one item: index 0 is part 1."""

    run: int
    simulated: bool = Field(description="the run comes from a demonstration")
    state: ItemState
    scores: list[float | None] | None = Field(description="one a part; null where it is absent or unjudged")
    verdicts: list[str] | None = Field(description="one a part: good, bad, empty, unjudged, absent")
    reasons: list[str] | None
    findings: list[dict[str, Any]] = Field(description="what simple statistics find wrong: part, kind, cells, factor")
    certainty: float | None = Field(description="least |0.5 − score| over the judged parts")
    unlike: float | None = Field(description="distance from all that the model has seen; beyond 1 it is unlike it")
    model: str
    evaluation: dict[str, Any] | None

    @classmethod
    def of(cls, item: Item, **more: Any) -> Self:
        """The scores of an item; `more` are the fields that a subclass adds."""
        judgement = item.judgement
        judged = {
            "scores": list(judgement.scores) if judgement else None,
            "verdicts": [str(v) for v in judgement.verdicts] if judgement else None,
            "reasons": list(judgement.reasons) if judgement else None,
            "certainty": judgement.certainty if judgement else None,
        }
        judged["unlike"] = item.unlike
        judged["findings"] = [dict(finding) for finding in item.findings]
        where = {"run": item.run, "simulated": item.simulated, **keys_of(item.place)}
        return cls(**where, state=item.state, model=item.model, evaluation=item.evaluation, **judged, **more)


class ScoresListOut(BaseModel):
    scores: list[ScoresOut]
    page: int
    pages: int
    size: int
    count: int = Field(description="counted up to 50,000")
