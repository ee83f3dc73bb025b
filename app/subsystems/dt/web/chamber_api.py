"""The part of the API about one chamber of a run: what is known of it, and how each model judged it."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.domain.run_numbers import run_number
from app.store.past_scores import PastScore
from app.subsystems.dt.geometry import Chamber
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import (
    ChamberOut,
    Problem,
)
from app.web.labels.label_words import reader_of
from app.web.shared import fields
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("chambers", __name__)


class ModelScoresOut(BaseModel):
    """What one model said of a chamber: index 0 is layer 1."""

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
    resp=Answers(HTTP_200=ScoresByModelOut, HTTP_404=Problem, HTTP_503=Problem, **REFUSED), tags=["chambers"]
)
def list_scores_by_model(run: str, wheel: str, sector: str, station: str) -> ScoresByModelOut:
    """The scores of one chamber by every model that scored it: those that are shown, then the others, newest first."""
    store = current_driftwatch().store
    item = store.items.look(run_number(run), chamber_at(wheel, sector, station))
    past = [ModelScoresOut.of(one, False) for one in store.past_scores.of_item(item.run, item.place, but=item.model)]
    if item.judgement is None:
        return ScoresByModelOut(scores=past)
    now = PastScore(item.model, item.judgement, item.scored_at)
    return ScoresByModelOut(scores=[ModelScoresOut.of(now, True), *past])


@blueprint.get("/runs/<run>/chambers/<wheel>/<sector>/<station>")
@spec.validate(resp=Answers(HTTP_200=ChamberOut, HTTP_404=Problem, HTTP_503=Problem), tags=["chambers"])
def show_chamber(run: str, wheel: str, sector: str, station: str) -> ChamberOut:
    """One chamber of a run: occupancy, scores, verdicts; layer 1 first."""
    item = current_driftwatch().store.items.get(run_number(run), chamber_at(wheel, sector, station))
    return ChamberOut.of_chamber(reader_of().shown(item))


def chamber_at(wheel: str, sector: str, station: str) -> Chamber:
    """The chamber that an address names.

    Raises:
        InvalidInput: there is no such one.
    """
    return fields.chamber(wheel, sector, station)
