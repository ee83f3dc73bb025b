"""The models part of the API: thresholds, and comparisons of two models."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from spectree import Response as Answers

from app.given import Given
from app.ml import cards
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import ErrorOut, ModelOut, ModelsOut
from app.web.models.comparison import USUAL_RUNS
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("models", __name__)


class ThresholdOut(BaseModel):
    """The score from which a part of an item is bad, for one use, and its performance on the test set."""

    model_config = ConfigDict(from_attributes=True)

    use: str
    score: float
    false_alarms: float | None = Field(description="share of good parts called bad; null where nobody measured it")
    false_alarms_by_hits: dict[str, float] = Field(description="the same by how many hits an item has")
    found: float | None = Field(description="share of bad parts called bad; null where nobody measured it")
    why: str = Field("", description="empty where it is the card's, as are the next two")
    by: str = ""
    at: datetime | None = None


class ThresholdsOut(BaseModel):
    thresholds: list[ThresholdOut] = Field(description="those that stand")
    history: list[ThresholdOut] = Field(description="all that were set, newest first")
    runs_of_another: int = Field(description="runs scored by this model whose verdicts are of another threshold")


class ThresholdRequest(Given):
    use: str = Field(description="shifter or alarm")
    score: float = Field(description="from which a part is bad")
    why: str = Field(description="the reason, for those who come later")


class ComparisonRequest(Given):
    runs: int = Field(USUAL_RUNS, description="how many of the last runs to look at")


class ComparisonOut(BaseModel):
    """A comparison of two models, if there is one."""

    under_way: bool = Field(description="it is being compared: ask again")
    step: str = Field("", description="what is being done, where it is under way")
    why: str = Field("", description="why the last try failed")
    at: datetime | None = Field(None, description="when the figures were made")
    by: str = ""
    figures: Any = Field(None, description="as the subsystem compares two; null where they were not compared yet")


ANSWERS: dict[str, Any] = {"HTTP_404": ErrorOut, "HTTP_503": ErrorOut}


@blueprint.get("/models/<name>/thresholds")
@spec.validate(resp=Answers(HTTP_200=ThresholdsOut, **ANSWERS), tags=["models"])
def list_thresholds(name: str) -> ThresholdsOut:
    """The current thresholds of a model, and who set them."""
    return _thresholds(name)


@blueprint.post("/models/<name>/thresholds")
@needs("set_threshold")
@spec.validate(resp=Answers(HTTP_200=ThresholdsOut, **REFUSED, **ANSWERS), tags=["models"])
def set_threshold(name: str, json: ThresholdRequest) -> ThresholdsOut:
    """Set the score from which a part is bad; it applies to future scoring and re-evaluations."""
    current_driftwatch().set_threshold(name, json.use, json.score, json.why, by=person().name)
    return _thresholds(name)


@blueprint.get("/models/<name>/comparisons/<other>")
@spec.validate(resp=Answers(HTTP_200=ComparisonOut, **ANSWERS), tags=["models"])
def show_comparison(name: str, other: str) -> ComparisonOut:
    """The comparison of a model with another, and whether one is in progress."""
    return comparison_of(name, other)


@blueprint.post("/models/<name>/comparisons/<other>")
@needs("compare_models")
@spec.validate(resp=Answers(HTTP_202=ComparisonOut, **REFUSED, **ANSWERS), tags=["models"])
def ask_for_comparison(name: str, other: str, json: ComparisonRequest) -> tuple[ComparisonOut, int]:
    """Compare two models in the background; the result replaces an earlier one."""
    current_driftwatch().compare(name, other, json.runs, by=person().name)
    return comparison_of(name, other), 202


def comparison_of(name: str, other: str, read: Callable[[str], Any] = json_text.loads) -> ComparisonOut:
    """What is known about the comparison of two models.

    Args:
        read: converts the stored figures, JSON, to the response.
    """
    driftwatch = current_driftwatch()
    pair = (driftwatch.models.get(name).name, driftwatch.models.get(other).name)
    kept, job = driftwatch.store.comparisons.get(pair), driftwatch.last_comparison(*pair)
    out = ComparisonOut(
        under_way=job is not None and job.active,
        step=job.progress.get("step", "") if job and job.active else "",
        why=job.why if job and not job.active else "",
    )
    if kept is None:
        return out
    return out.model_copy(update={"at": kept.at, "by": kept.by, "figures": read(kept.figures)})


def _thresholds(name: str) -> ThresholdsOut:
    known = current_driftwatch().models.known(name)
    standing = []
    for one in cards.uses(known):
        origin: dict[str, Any] = {"why": one.set.why, "by": one.set.by, "at": one.set.at} if one.set else {}
        figures: dict[str, Any] = {"score": one.score, "false_alarms": one.false_alarms, "found": one.found}
        standing.append(ThresholdOut(use=one.use, false_alarms_by_hits=dict(one.by_hits), **figures, **origin))
    history = [ThresholdOut.model_validate(one) for one in known.thresholds]
    outlook = current_driftwatch().reevaluations.outlook(name)
    return ThresholdsOut(thresholds=standing, history=history, runs_of_another=outlook.other_threshold)


@blueprint.get("/models")
@spec.validate(resp=Answers(HTTP_200=ModelsOut, HTTP_503=ErrorOut), tags=["models"])
def list_models() -> ModelsOut:
    """All models with their cards, oldest first."""
    return ModelsOut(models=[ModelOut.of(model) for model in current_driftwatch().models.all()])


@blueprint.get("/models/<name>")
@spec.validate(resp=Answers(HTTP_200=ModelOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["models"])
def show_model(name: str) -> ModelOut:
    """One model."""
    return ModelOut.of(current_driftwatch().models.get(name))
