"""The drift part of the API: how far runs are from their model's training data."""

from __future__ import annotations

from flask import Blueprint
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.domain.run_numbers import LARGEST_RUN
from app.domain.runs import Run
from app.errors import InvalidInput
from app.web.api.definition import REFUSED, pages_of, spec
from app.web.api.schemas import Asked, ErrorOut, Page, Size
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("drift", __name__)


class DriftQuery(Asked):
    first: int = Field(1, ge=1, le=LARGEST_RUN, description="no run before this one")
    last: int = Field(LARGEST_RUN, ge=1, le=LARGEST_RUN, description="no run after this one")
    page: int = Page
    size: int = Size


class DriftOut(BaseModel):
    """Distance of one run from the training data of the model that scored it."""

    run: int
    simulated: bool = Field(description="it comes from a demonstration")
    model: str
    chambers: int = Field(description="those whose distance from what the model has seen is known")
    unlike: float | None = Field(description="the share of these that are unlike anything seen")
    scores: float | None = Field(description="population stability index of the scores of layers")
    hits: float | None = Field(description="the same of hits per cell")
    distances: float | None = Field(description="the same of the distances of chambers")

    @classmethod
    def of(cls, run: Run) -> DriftOut:
        return cls(run=run.number, simulated=run.simulated, **run.drift)


class DriftsOut(BaseModel):
    drift: list[DriftOut]
    left: int = Field(description="runs that the active model scored and that are not measured yet")
    page: int
    pages: int
    size: int
    count: int


class DriftAsked(BaseModel):
    left: int = Field(description="runs that are to be measured")


@blueprint.get("/drift")
@spec.validate(resp=Answers(HTTP_200=DriftsOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut, **REFUSED), tags=["drift"])
def list_drift(query: DriftQuery) -> DriftsOut:
    """How far runs are from their model's training data, newest first."""
    if query.first > query.last:
        raise InvalidInput("last", query.last, f"at least {query.first}, the first run")
    driftwatch = current_driftwatch()
    runs = driftwatch.store.runs
    count = runs.count_with_drift(query.first, query.last)
    pages = pages_of(query.page, query.size, count)
    found = runs.with_drift(query.first, query.last, (query.page - 1) * query.size, query.size)
    left = runs.count_to_measure(driftwatch.model)
    listed = [DriftOut.of(run) for run in found]
    return DriftsOut(drift=listed, left=left, page=query.page, pages=pages, size=query.size, count=count)


@blueprint.post("/drift")
@needs("measure_drift")
@spec.validate(resp=Answers(HTTP_202=DriftAsked, HTTP_503=ErrorOut, **REFUSED), tags=["drift"])
def ask_for_drift() -> tuple[DriftAsked, int]:
    """Measure in the background all unmeasured runs scored by the active model."""
    driftwatch = current_driftwatch()
    driftwatch.drifts.ask(by=person().name)
    return DriftAsked(left=driftwatch.store.runs.count_to_measure(driftwatch.model)), 202
