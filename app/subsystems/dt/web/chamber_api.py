"""The API of one chamber of a run: its data, and its scores by all models."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.domain.items import Item
from app.domain.run_numbers import run_number
from app.store.past_scores import PastScore
from app.subsystems.dt.web.chamber_page import chamber_at
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import ErrorOut, ScoresOut
from app.web.labels.label_words import reader_of
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("chambers", __name__)


class ChamberOut(ScoresOut):
    """One chamber of a run, with its occupancy."""

    missing: str | None = Field(description="why there is no histogram")
    detail: str
    source: str
    hits: int | None
    occupancy: list[list[int]] | None = Field(description="12 rows, the first layer 1; −1 where no cell exists")
    fetched_at: datetime | None
    scored_at: datetime | None

    @classmethod
    def of_chamber(cls, item: Item) -> ChamberOut:
        return cls.of(
            item,
            missing=item.missing,
            detail=item.detail,
            source=item.source,
            hits=item.hits,
            occupancy=item.histogram.counts.tolist() if item.histogram is not None else None,
            fetched_at=item.fetched_at,
            scored_at=item.scored_at,
        )


class ModelScoresOut(BaseModel):
    """One model's scores of a chamber: index 0 is layer 1."""

    model: str
    shown: bool = Field(description="these are the scores that the pages show and rank by")
    scored_at: datetime
    worst: float | None = Field(description="the greatest score; null where no layer is judged")
    scores: list[float | None] = Field(description="12; null where the layer is absent or unjudged")
    verdicts: list[str] = Field(description="12 words: good, bad, empty, unjudged, absent")

    @classmethod
    def of(cls, one: PastScore, shown: bool) -> ModelScoresOut:
        said = one.judgement
        verdicts = [str(verdict) for verdict in said.verdicts]
        scores = list(said.scores)
        return cls(
            model=one.model,
            shown=shown,
            scored_at=one.scored_at,
            worst=said.worst,
            scores=scores,
            verdicts=verdicts,
        )


class ScoresByModelOut(BaseModel):
    scores: list[ModelScoresOut]


@blueprint.get("/runs/<run>/chambers/<wheel>/<sector>/<station>/scores")
@spec.validate(
    resp=Answers(HTTP_200=ScoresByModelOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut, **REFUSED), tags=["chambers"]
)
def list_scores_by_model(run: str, wheel: str, sector: str, station: str) -> ScoresByModelOut:
    """The scores of one chamber by every model: first the ones shown on pages, then the others, newest first."""
    store = current_driftwatch().store
    item = store.items.look(run_number(run), chamber_at(wheel, sector, station))
    past = [ModelScoresOut.of(one, False) for one in store.past_scores.of_item(item.run, item.place, but=item.model)]
    if item.judgement is None:
        return ScoresByModelOut(scores=past)
    now = PastScore(item.model, item.judgement, item.scored_at)
    return ScoresByModelOut(scores=[ModelScoresOut.of(now, True), *past])


@blueprint.get("/runs/<run>/chambers/<wheel>/<sector>/<station>")
@spec.validate(resp=Answers(HTTP_200=ChamberOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["chambers"])
def show_chamber(run: str, wheel: str, sector: str, station: str) -> ChamberOut:
    """One chamber of a run: occupancy, scores, verdicts; layer 1 first."""
    item = current_driftwatch().store.items.get(run_number(run), chamber_at(wheel, sector, station))
    return ChamberOut.of_chamber(reader_of().shown(item))
