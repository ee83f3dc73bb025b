"""The training part of the API: request a candidate from labels, follow or cancel its training, override a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from flask import Blueprint
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.domain.jobs import Job, JobState
from app.given import Given
from app.jobs.train import KIND, training_job
from app.subsystems.learning import require_offered
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import ErrorOut, ModelOut
from app.web.models.plain_pages import MOST_NOTE, SEEDS, USUAL_SEED
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem

blueprint = Blueprint("training", __name__)

MOST_LISTED = 50


class PlainTrainingRequest(Given):
    """What to train on when only labels are used; omitted fields have their defaults."""

    seed: int = Field(USUAL_SEED, ge=SEEDS[0], le=SEEDS[-1], description="the same seed gives the same model")
    note: str = Field("", max_length=MOST_NOTE, description="for those who come later")


class Loss(BaseModel):
    """Cross entropy after an epoch."""

    epoch: int
    training: float
    validation: float


class PlainTrainingOut(BaseModel):
    """A training: its plan, progress and result."""

    id: str
    state: JobState
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None
    why: str = Field(description="why it failed")
    doing: str = Field(description="what it did last")
    epochs: int | None = Field(description="the most that there can be")
    losses: list[Loss]
    model: str | None = Field(description="the candidate, once it is there")
    plan: Any = Field(description="the request")

    @classmethod
    def of(cls, job: Job) -> Self:
        progress = job.progress
        return cls(
            id=job.id,
            state=job.state,
            asked_by=job.by,
            asked_at=job.asked_at,
            ended_at=job.ended_at,
            why=job.why,
            doing=progress.get("words", ""),
            epochs=progress.get("epochs"),
            losses=[Loss(epoch=n, training=t, validation=v) for n, t, v in progress.get("losses", ())],
            model=progress.get("model"),
            plan=cls.plan_of(job.args),
        )

    @classmethod
    def plan_of(cls, args: Mapping[str, Any]) -> Any:
        """The plan among the arguments of a job."""
        return dict(args)


class PlainTrainingsOut(BaseModel):
    trainings: list[PlainTrainingOut]


class OverrideIn(Given):
    reason: str = Field(max_length=10_000, description="why it may be used although it finds less")


@blueprint.get("/trainings")
@spec.validate(resp=Answers(HTTP_200=PlainTrainingsOut, HTTP_503=ErrorOut), tags=["models"])
def list_trainings() -> PlainTrainingsOut:
    """The latest trainings from labels, newest first."""
    return PlainTrainingsOut(trainings=[PlainTrainingOut.of(job) for job in last_trainings()])


@blueprint.post("/trainings")
@needs("train")
@spec.validate(
    resp=Answers(HTTP_202=PlainTrainingOut, **REFUSED, HTTP_409=ErrorOut, HTTP_503=ErrorOut), tags=["models"]
)
def ask_for_training(json: PlainTrainingRequest) -> tuple[PlainTrainingOut, int]:
    """Train a candidate from labels; if there are too few, the refusal says what is missing."""
    learning = current_subsystem().learning()
    require_offered(learning, "train")
    return PlainTrainingOut.of(current_driftwatch().train(learning.plan_of(json.model_dump()), by=person().name)), 202


@blueprint.get("/trainings/<training>")
@spec.validate(resp=Answers(HTTP_200=PlainTrainingOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["models"])
def show_training(training: str) -> PlainTrainingOut:
    """One training."""
    return PlainTrainingOut.of(training_job(current_driftwatch().store, training))


@blueprint.post("/trainings/<training>/stop")
@needs("train")
@spec.validate(
    resp=Answers(HTTP_202=PlainTrainingOut, **REFUSED, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["models"]
)
def stop_training(training: str) -> tuple[PlainTrainingOut, int]:
    """Cancel a training and discard it; does nothing if it has already ended."""
    return PlainTrainingOut.of(current_driftwatch().stop_training(training, by=person().name)), 202


@blueprint.post("/models/<name>/override")
@needs("override_refusal")
@spec.validate(
    resp=Answers(HTTP_200=ModelOut, **REFUSED, HTTP_404=ErrorOut, HTTP_409=ErrorOut, HTTP_503=ErrorOut), tags=["models"]
)
def override_refusal(name: str, json: OverrideIn) -> ModelOut:
    """Allow activating a model that was refused because it finds less than the active one."""
    return ModelOut.of(current_driftwatch().override_refusal(name, json.reason, by=person().name))


def last_trainings() -> list[Job]:
    """The listed trainings, newest first."""
    return current_driftwatch().store.jobs.newest(KIND, MOST_LISTED)
