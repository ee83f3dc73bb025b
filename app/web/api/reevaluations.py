"""The re-evaluation part of the API: rescoring runs with the active model."""

from __future__ import annotations

from flask import Blueprint
from spectree import Response as Answers

from app.domain.run_numbers import run_numbers
from app.web.api.definition import REFUSED, spec
from app.web.api.reevaluation_schemas import ReevaluationOut, ReevaluationRequest, ReevaluationsOut
from app.web.api.schemas import ErrorOut
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("reevaluations", __name__)

LISTED = 50
CHANGED = Answers(HTTP_200=ReevaluationOut, HTTP_404=ErrorOut, HTTP_409=ErrorOut, HTTP_503=ErrorOut, **REFUSED)


@blueprint.get("/reevaluations")
@spec.validate(resp=Answers(HTTP_200=ReevaluationsOut, HTTP_503=ErrorOut, **REFUSED), tags=["re-evaluations"])
def list_reevaluations() -> ReevaluationsOut:
    """The latest re-evaluations, newest first."""
    found = current_driftwatch().store.reevaluations.newest(LISTED)
    return ReevaluationsOut(reevaluations=[ReevaluationOut.of(one) for one in found])


@blueprint.post("/reevaluations")
@needs("reevaluate")
@spec.validate(
    resp=Answers(HTTP_202=ReevaluationOut, HTTP_404=ErrorOut, HTTP_409=ErrorOut, HTTP_503=ErrorOut, **REFUSED),
    tags=["re-evaluations"],
)
def ask_for_reevaluation(json: ReevaluationRequest) -> tuple[ReevaluationOut, int]:
    """Rescore some or all runs with the active model; a repeated request returns the unfinished re-evaluation."""
    runs = None if json.runs is None else run_numbers(str(json.runs))
    return ReevaluationOut.of(current_driftwatch().reevaluate(runs, by=person().name)), 202


@blueprint.get("/reevaluations/<reevaluation>")
@spec.validate(
    resp=Answers(HTTP_200=ReevaluationOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut, **REFUSED), tags=["re-evaluations"]
)
def show_reevaluation(reevaluation: str) -> ReevaluationOut:
    """One re-evaluation and its progress."""
    return ReevaluationOut.of(current_driftwatch().store.reevaluations.get(reevaluation))


@blueprint.post("/reevaluations/<reevaluation>/pause")
@needs("reevaluate")
@spec.validate(resp=CHANGED, tags=["re-evaluations"])
def pause_reevaluation(reevaluation: str) -> ReevaluationOut:
    """Pause a re-evaluation after the current run."""
    return ReevaluationOut.of(current_driftwatch().reevaluations.pause(reevaluation, by=person().name))


@blueprint.post("/reevaluations/<reevaluation>/resume")
@needs("reevaluate")
@spec.validate(resp=CHANGED, tags=["re-evaluations"])
def resume_reevaluation(reevaluation: str) -> ReevaluationOut:
    """Resume a paused re-evaluation."""
    return ReevaluationOut.of(current_driftwatch().reevaluations.resume(reevaluation, by=person().name))


@blueprint.post("/reevaluations/<reevaluation>/cancel")
@needs("reevaluate")
@spec.validate(resp=CHANGED, tags=["re-evaluations"])
def cancel_reevaluation(reevaluation: str) -> ReevaluationOut:
    """Cancel a re-evaluation; finished runs keep their new scores."""
    return ReevaluationOut.of(current_driftwatch().reevaluations.cancel(reevaluation, by=person().name))
