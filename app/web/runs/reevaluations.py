"""`/reevaluations/`: rescoring runs with the active model, and the progress line on other pages."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Flask, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.run_numbers import run_numbers
from app.errors import Conflict, InvalidInput, NotFound
from app.store.reevaluations import Reevaluation, ReevaluationState
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

LISTED = 50
STATE_SHAPES = {
    ReevaluationState.RUNNING: "scoring",
    ReevaluationState.PAUSED: "waiting",
    ReevaluationState.DONE: "finished",
    ReevaluationState.CANCELLED: "gone",
    ReevaluationState.FAILED: "failed",
}

blueprint = Blueprint("reevaluations", __name__, url_prefix="/reevaluations")


def init_app(app: Flask) -> None:
    app.jinja_env.globals["reevaluation_under_way"] = lambda: current_driftwatch().store.reevaluations.opened()


@blueprint.get("/")
def index() -> tuple[str, int]:
    return _page()


@blueprint.post("/")
@needs("reevaluate")
def begin() -> ResponseReturnValue:
    """Re-evaluate runs: the given ones, or all."""
    written = request.form.get("runs", "")
    try:
        runs = None if request.form.get("all") else run_numbers(written, field="runs")
        current_driftwatch().reevaluate(runs, by=person().name)
    except InvalidInput as error:
        return _page(written, f"{error.value} is not possible here: it must be {error.accepted}.", 400)
    except (NotFound, Conflict) as error:
        return _page(written, str(error), error.status)
    return redirect(url_for(".index"), 303)


@blueprint.post("/<reevaluation>/pause")
@needs("reevaluate")
def pause(reevaluation: str) -> ResponseReturnValue:
    return _changed(current_driftwatch().reevaluations.pause, reevaluation)


@blueprint.post("/<reevaluation>/resume")
@needs("reevaluate")
def resume(reevaluation: str) -> ResponseReturnValue:
    return _changed(current_driftwatch().reevaluations.resume, reevaluation)


@blueprint.post("/<reevaluation>/cancel")
@needs("reevaluate")
def cancel(reevaluation: str) -> ResponseReturnValue:
    return _changed(current_driftwatch().reevaluations.cancel, reevaluation)


def _changed(change: Callable[[str, str], Reevaluation], reevaluation: str) -> ResponseReturnValue:
    try:
        change(reevaluation, person().name)
    except Conflict as error:  # it has ended, or somebody else was faster
        return _page(error=str(error), status=error.status)
    return redirect(url_for(".index"), 303)


def _page(written: str = "", error: str = "", status: int = 200) -> tuple[str, int]:
    """The page, with the values of the form and its errors."""
    driftwatch = current_driftwatch()
    found = driftwatch.store.reevaluations.newest(LISTED)
    active = driftwatch.model
    return render_template(
        "runs/reevaluations.html",
        opened=next((one for one in found if one.open), None),
        ended=[one for one in found if not one.open],
        active=active,
        outlook=driftwatch.reevaluations.outlook(active),
        bad_from=driftwatch.models.bad_from(active),
        shapes=STATE_SHAPES,
        written=written,
        error=error,
    ), status
