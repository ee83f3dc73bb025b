"""The runs part of the API, with the same results as the pages of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from spectree import Response as Answers

from app.domain.items import Item
from app.domain.run_numbers import run_number, run_numbers
from app.domain.runs import RunState
from app.web.api.definition import REFUSED, pages_of, spec
from app.web.api.places import PlaceOut, keys_of
from app.web.api.schemas import (
    Asked,
    ErrorOut,
    RunOut,
    RunsOut,
    RunsQuery,
    RunsRequest,
)
from app.web.runs.run_report import Change, RunReport, report
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem

blueprint = Blueprint("runs", __name__)


class RunSummaryQuery(Asked):
    reference: str | None = Field(None, max_length=20, description="run to compare with, if not the proposed one")


class BadPartOut(BaseModel):
    """A bad part of an item; its number is in the field named after the word for a part."""

    model_config = ConfigDict(extra="allow")

    score: float
    kind: str = Field(description="what is wrong; `score` where nothing but the score says so")
    found: str = Field(description="what simple statistics find, in words")
    change: Literal["new", "stayed"] | None = Field(description="since the reference run; null where not comparable")


class BadItemOut(PlaceOut):
    """An item with its bad parts, in the field named after the word for parts."""

    known_problem: bool

    @classmethod
    def of(cls, item: Item, change: Change) -> BadItemOut:
        subsystem = current_subsystem()
        parts = [
            BadPartOut(
                score=item.judgement.scores[part - 1],
                kind=kind,
                found=found,
                change="new" if part in change.new else "stayed" if part in change.stayed else None,
                **{subsystem.part: part},
            )
            for part, (kind, found) in item.bad_parts.items()
        ]
        code = {"code": subsystem.code(item.judgement.bad)} if subsystem.code else {}
        more: dict[str, Any] = {**keys_of(item.place), **code, f"{subsystem.part}s": parts}
        return cls(known_problem=item.known, **more)


class GoneOut(PlaceOut):
    """An item with the parts that were bad in the reference run and are now good, in the field named after parts."""

    @classmethod
    def of(cls, place: Any, parts: Sequence[int]) -> GoneOut:
        more: dict[str, Any] = {**keys_of(place), f"{current_subsystem().part}s": list(parts)}
        return cls(**more)


class RunSummaryOut(BaseModel):
    """The result of a run, compared with a reference run."""

    run: int
    simulated: bool = Field(description="it comes from a demonstration")
    state: RunState
    model: str
    reference: int | None
    reference_proposed: bool
    sentence: str = Field(description="for the logbook")
    counts: dict[str, int]
    bad: list[BadItemOut] = Field(description="those with new bad parts first")
    gone: list[GoneOut]

    @classmethod
    def of(cls, made: RunReport) -> RunSummaryOut:
        return cls(
            run=made.run.number,
            simulated=made.run.simulated,
            state=made.run.state,
            model=made.run.model,
            reference=made.reference.number if made.reference else None,
            reference_proposed=made.proposed,
            sentence=made.sentence,
            counts=made.counts,
            bad=[BadItemOut.of(item, made.change(item)) for item in made.bad],
            gone=[GoneOut.of(place, parts) for place, parts in made.went],
        )


@blueprint.get("/runs/<run>/summary")
@spec.validate(resp=Answers(HTTP_200=RunSummaryOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["runs"])
def show_run_summary(run: str, query: RunSummaryQuery) -> RunSummaryOut:
    """The result of a run: its bad items, and which of them are new with respect to a reference run."""
    return RunSummaryOut.of(report(current_driftwatch(), run_number(run), query.reference))


@blueprint.get("/runs")
@spec.validate(resp=Answers(HTTP_200=RunsOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["runs"])
def list_runs(query: RunsQuery) -> RunsOut:
    """Requested runs, newest first."""
    runs = current_driftwatch().store.runs
    count = runs.count(query.state)
    pages = pages_of(query.page, query.size, count)
    found = runs.find(query.state, query.sort, query.descending, (query.page - 1) * query.size, query.size)
    return RunsOut(runs=[RunOut.of(run) for run in found], page=query.page, pages=pages, size=query.size, count=count)


@blueprint.post("/runs")
@needs("fetch")
@spec.validate(resp=Answers(HTTP_202=RunsOut, **REFUSED, HTTP_409=ErrorOut, HTTP_503=ErrorOut), tags=["runs"])
def ask_for_runs(json: RunsRequest) -> tuple[RunsOut, int]:
    """Fetch and score runs in the background; for a known run, only what is missing."""
    numbers = run_numbers(str(json.runs))
    asked = [current_driftwatch().ask_for_run(number, by=person().name, again=json.again) for number in numbers]
    runs = [RunOut.of(run) for run in asked]
    return RunsOut(runs=runs, page=1, pages=1, size=len(runs), count=len(runs)), 202


@blueprint.get("/runs/<run>")
@spec.validate(resp=Answers(HTTP_200=RunOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["runs"])
def show_run(run: str) -> RunOut:
    """One run."""
    return RunOut.of(current_driftwatch().store.runs.get(run_number(run)))


@blueprint.delete("/runs/<run>")
@needs("delete_run")
@spec.validate(resp=Answers(HTTP_202=RunOut, **REFUSED, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["runs"])
def delete_run(run: str) -> tuple[RunOut, int]:
    """Delete a run in the background, cancelling its jobs; afterwards requests for it return 404."""
    number = run_number(run)
    known = current_driftwatch().store.runs.get(number)
    current_driftwatch().delete_run(number, by=person().name)
    return RunOut.of(known), 202
