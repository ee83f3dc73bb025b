"""The evaluation part of the API: a model's figures, and requests to evaluate it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import ErrorOut
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("evaluation", __name__)


class EvaluationOut(BaseModel):
    """A model's evaluation, if there is one."""

    under_way: bool = Field(description="it is being evaluated: ask again")
    doing: str = Field(description="what is being done, where it is under way")
    why: str = Field(description="why the last try failed")
    at: datetime | None = Field(None, description="when the figures were kept")
    by: str = ""
    figures: Any = Field(None, description="as the subsystem evaluates one; null where it was not evaluated yet")


@blueprint.get("/models/<name>/evaluation")
@spec.validate(resp=Answers(HTTP_200=EvaluationOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["models"])
def show_evaluation(name: str) -> EvaluationOut:
    """A model's evaluation, and whether one is in progress."""
    return evaluation_of(name)


@blueprint.post("/models/<name>/evaluation")
@needs("keep_evaluation")
@spec.validate(resp=Answers(HTTP_202=EvaluationOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut, **REFUSED), tags=["models"])
def ask_for_evaluation(name: str) -> tuple[EvaluationOut, int]:
    """Evaluate a model in the background; the result replaces an earlier one."""
    current_driftwatch().evaluate(name, by=person().name)
    return evaluation_of(name), 202


def evaluation_of(name: str, read: Callable[[str], Any] = json.loads) -> EvaluationOut:
    """What is known about a model's evaluation.

    Args:
        read: converts the stored figures, JSON, to the response.
    """
    driftwatch = current_driftwatch()
    known, job = driftwatch.models.known(name), driftwatch.last_evaluation(name)
    out = EvaluationOut(
        under_way=job is not None and job.active,
        doing=job.progress.get("words", "") if job and job.active else "",
        why=job.why if job and not job.active else "",
    )
    if known.stored is None:
        return out
    return out.model_copy(update={"at": known.stored.at, "by": known.stored.by, "figures": read(known.stored.figures)})
