"""`/models/training/`: request a candidate from labels, follow its training, and cancel it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import TooFewLabels
from app.jobs.train import training_job
from app.subsystems.learning import require_offered
from app.web.models import plain_pages
from app.web.models.loss_curves import LossCurves
from app.web.models.models_page import page_of_all
from app.web.models.training_form import training_state
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.display import own_query
from app.web.shared.fields import Fields

blueprint = Blueprint("trainings", __name__, url_prefix="/models/training")


@blueprint.post("/")
@needs("train")
def ask() -> ResponseReturnValue:
    """Train a candidate; if that is not possible, show the form again with its errors."""
    require_offered(current_subsystem().learning(), "train")
    form, refused = Fields(request.form), ""
    plan, status = plain_pages.own().read_plan(form), form.status
    if plan:
        try:
            job = current_driftwatch().train(plan, by=person().name)
        except TooFewLabels as error:
            refused, status = str(error), error.status
        else:
            return redirect(url_for(".show", job=job.id), 303)
    return page_of_all(Fields({}), form, refused), status


@blueprint.get("/")
def after_mistake() -> ResponseReturnValue:
    """The page of models: links on the page shown after a refused form lead here."""
    return redirect(url_for("models_page.index", **own_query()))


@blueprint.get("/<job>/")
def show(job: str) -> str:
    """The progress of a training; `?part=progress` is the part that may change."""
    training, own = training_job(current_driftwatch().store, job), plain_pages.own()
    progress = training.progress
    made, losses = progress.get("model"), progress.get("losses", ())
    shown = {
        "job": training,
        "plan": current_subsystem().learning().plan_of(training.args),
        "curves": LossCurves(losses, progress.get("epochs", 0)),
        "losses": losses,
        "has_losses": bool(losses),
        "model": made and current_driftwatch().models.get(made),
        "training_state": training_state,
        **own.of_training(training),
    }
    part = "training_progress" if request.args.get("part") == "progress" else "training"
    return render_template(f"{own.templates}/{part}.html", progress=f"{own.templates}/training_progress.html", **shown)


@blueprint.post("/<job>/stop")
@needs("train")
def stop(job: str) -> ResponseReturnValue:
    current_driftwatch().stop_training(job, by=person().name)
    return redirect(url_for(".show", job=job), 303)
