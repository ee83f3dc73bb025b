"""The parts of the models API that are specific to chamber networks: typed figures and plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.given import Given
from app.jobs.train import training_job
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.evaluation_figures import Evaluation
from app.subsystems.dt.learning.labelled_items import Choice
from app.subsystems.dt.learning.side_by_side import SideBySide
from app.web.api import evaluation, models, training
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import ErrorOut
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

USUAL = Plan()


class EvaluationOfChambersOut(evaluation.EvaluationOut):
    figures: Evaluation | None = Field(None, description="null where it was not evaluated yet")


class ComparisonOnChambersOut(models.ComparisonOut):
    figures: SideBySide | None = Field(None, description="null where they were not compared yet")


class TrainingRequest(Given):
    """What to train; omitted fields have their defaults."""

    runs: str = Field("", max_length=100, description="labels of these runs only: '302634-302640'; of all, if empty")
    resolved_only: bool = Field(False, description="only labels by which an expert ended a disagreement")
    simulated_weight: float = Field(
        USUAL.simulated_weight,
        description="how much all simulated layers count together, all labelled ones counting 1",
    )
    architecture: str = USUAL.architecture
    seed: int = USUAL.seed
    chambers: int = Field(USUAL.chambers, description="simulated chambers, of which 60 % are learnt from")


class TrainingOut(training.PlainTrainingOut):
    plan: TrainingRequest

    @classmethod
    def plan_of(cls, args: Mapping[str, Any]) -> TrainingRequest:
        plan = Plan.of_args(args)
        asked = {name: getattr(plan, name) for name in ("simulated_weight", "architecture", "seed", "chambers")}
        return TrainingRequest(runs=plan.choice.runs, resolved_only=plan.choice.resolved_only, **asked)


class TrainingsOut(BaseModel):
    trainings: list[TrainingOut]


@spec.validate(resp=Answers(HTTP_200=EvaluationOfChambersOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["models"])
def show_evaluation(name: str) -> EvaluationOfChambersOut:
    """A model's evaluation, and whether one is in progress."""
    return _evaluation(name)


@needs("keep_evaluation")
@spec.validate(
    resp=Answers(HTTP_202=EvaluationOfChambersOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut, **REFUSED), tags=["models"]
)
def ask_for_evaluation(name: str) -> tuple[EvaluationOfChambersOut, int]:
    """Evaluate a model in the background; the result replaces an earlier one."""
    current_driftwatch().evaluate(name, by=person().name)
    return _evaluation(name), 202


def _evaluation(name: str) -> EvaluationOfChambersOut:
    return EvaluationOfChambersOut.model_validate(dict(evaluation.evaluation_of(name, Evaluation.readable)))


@spec.validate(resp=Answers(HTTP_200=ComparisonOnChambersOut, **models.ANSWERS), tags=["models"])
def show_comparison(name: str, other: str) -> ComparisonOnChambersOut:
    """The comparison of a model with another, and whether one is in progress."""
    return _comparison(name, other)


@needs("compare_models")
@spec.validate(resp=Answers(HTTP_202=ComparisonOnChambersOut, **REFUSED, **models.ANSWERS), tags=["models"])
def ask_for_comparison(name: str, other: str, json: models.ComparisonRequest) -> tuple[ComparisonOnChambersOut, int]:
    """Compare two models in the background; the result replaces an earlier one."""
    current_driftwatch().compare(name, other, json.runs, by=person().name)
    return _comparison(name, other), 202


def _comparison(name: str, other: str) -> ComparisonOnChambersOut:
    return ComparisonOnChambersOut.model_validate(dict(models.comparison_of(name, other, SideBySide.readable)))


@spec.validate(resp=Answers(HTTP_200=TrainingsOut, HTTP_503=ErrorOut), tags=["models"])
def list_trainings() -> TrainingsOut:
    """The latest trainings from labels, newest first."""
    return TrainingsOut(trainings=[TrainingOut.of(job) for job in training.last_trainings()])


@needs("train")
@spec.validate(resp=Answers(HTTP_202=TrainingOut, **REFUSED, HTTP_409=ErrorOut, HTTP_503=ErrorOut), tags=["models"])
def ask_for_training(json: TrainingRequest) -> tuple[TrainingOut, int]:
    """Train a candidate from labels; if there are too few, the refusal says what is missing."""
    given = json.model_dump(exclude={"runs", "resolved_only"})
    plan = Plan(Choice.of(json.runs, json.resolved_only), **given)
    return TrainingOut.of(current_driftwatch().train(plan, by=person().name)), 202


@spec.validate(resp=Answers(HTTP_200=TrainingOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["models"])
def show_training(training: str) -> TrainingOut:
    """One training."""
    return TrainingOut.of(training_job(current_driftwatch().store, training))


@needs("train")
@spec.validate(resp=Answers(HTTP_202=TrainingOut, **REFUSED, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["models"])
def stop_training(training: str) -> tuple[TrainingOut, int]:
    """Cancel a training and discard it; does nothing if it has already ended."""
    return TrainingOut.of(current_driftwatch().stop_training(training, by=person().name)), 202


INSTEAD = {
    f"api.{endpoint}": view
    for endpoint, view in {
        "evaluation.show_evaluation": show_evaluation,
        "evaluation.ask_for_evaluation": ask_for_evaluation,
        "models.show_comparison": show_comparison,
        "models.ask_for_comparison": ask_for_comparison,
        "training.list_trainings": list_trainings,
        "training.ask_for_training": ask_for_training,
        "training.show_training": show_training,
        "training.stop_training": stop_training,
    }.items()
}
