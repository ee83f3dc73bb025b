"""The part of the API that makes candidates from labels: ask for one, follow it, stop it, override its refusal."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.domain.jobs import Job, JobState
from app.given import Given
from app.jobs.train import KIND, training_job
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.labelled_items import Choice
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import ModelOut, Problem
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("training", __name__)

MOST_LISTED = 50
USUAL = Plan()


class TrainingRequest(Given):
    """What to train; what is left out is as usual."""

    runs: str = Field("", max_length=100, description="labels of these runs only: '302634-302640'; of all, if empty")
    resolved_only: bool = Field(False, description="only labels by which an expert ended a disagreement")
    simulated_weight: float = Field(
        USUAL.simulated_weight,
        description="how much all simulated layers count together, all labelled ones counting 1",
    )
    architecture: str = USUAL.architecture
    seed: int = USUAL.seed
    chambers: int = Field(USUAL.chambers, description="simulated chambers, of which 60 % are learnt from")


class Loss(BaseModel):
    """Cross entropy after an epoch."""

    epoch: int
    training: float
    validation: float


class TrainingOut(BaseModel):
    """A training: what it does, how far it is, what came of it."""

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
    plan: TrainingRequest

    @classmethod
    def of(cls, job: Job) -> TrainingOut:
        plan, progress = Plan.of_args(job.args), job.progress
        asked = {name: getattr(plan, name) for name in ("simulated_weight", "architecture", "seed", "chambers")}
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
            plan=TrainingRequest(runs=plan.choice.runs, resolved_only=plan.choice.resolved_only, **asked),
        )


class TrainingsOut(BaseModel):
    trainings: list[TrainingOut]


class OverrideIn(Given):
    reason: str = Field(max_length=10_000, description="why it may be used although it finds less")


@blueprint.get("/trainings")
@spec.validate(resp=Answers(HTTP_200=TrainingsOut, HTTP_503=Problem), tags=["models"])
def list_trainings() -> TrainingsOut:
    """The last trainings from labels, newest first."""
    jobs = current_driftwatch().store.jobs.newest(KIND, MOST_LISTED)
    return TrainingsOut(trainings=[TrainingOut.of(job) for job in jobs])


@blueprint.post("/trainings")
@needs("train")
@spec.validate(resp=Answers(HTTP_202=TrainingOut, **REFUSED, HTTP_409=Problem, HTTP_503=Problem), tags=["models"])
def ask_for_training(json: TrainingRequest) -> tuple[TrainingOut, int]:
    """Have a candidate trained from labels; refused, with what is missing, where there are too few."""
    given = json.model_dump(exclude={"runs", "resolved_only"})
    plan = Plan(Choice.of(json.runs, json.resolved_only), **given)
    return TrainingOut.of(current_driftwatch().train(plan, by=person().name)), 202


@blueprint.get("/trainings/<training>")
@spec.validate(resp=Answers(HTTP_200=TrainingOut, HTTP_404=Problem, HTTP_503=Problem), tags=["models"])
def show_training(training: str) -> TrainingOut:
    """One training."""
    return TrainingOut.of(training_job(current_driftwatch().store, training))


@blueprint.post("/trainings/<training>/stop")
@needs("train")
@spec.validate(resp=Answers(HTTP_202=TrainingOut, **REFUSED, HTTP_404=Problem, HTTP_503=Problem), tags=["models"])
def stop_training(training: str) -> tuple[TrainingOut, int]:
    """Stop a training; nothing of it is kept. Nothing happens to one that has ended."""
    return TrainingOut.of(current_driftwatch().stop_training(training, by=person().name)), 202


@blueprint.post("/models/<name>/override")
@needs("override_refusal")
@spec.validate(
    resp=Answers(HTTP_200=ModelOut, **REFUSED, HTTP_404=Problem, HTTP_409=Problem, HTTP_503=Problem), tags=["models"]
)
def override_refusal(name: str, json: OverrideIn) -> ModelOut:
    """Let a model be activated that was refused because it finds less than the one in use."""
    return ModelOut.of(current_driftwatch().override_refusal(name, json.reason, by=person().name))
