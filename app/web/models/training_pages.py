"""`/models/training/`: asking for a candidate from labels, following how it is made, and stopping it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import TooFewLabels
from app.jobs.train import training_job
from app.ml.models import Composition
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.labelled_items import ELSEWHERE, NO_HISTOGRAM, SIMULATED_RUN, outlook, require_enough
from app.web.models.loss_curves import LossCurves
from app.web.models.models_page import every_model
from app.web.models.training_form import form_and_trainings, read_choice, read_plan, training_state
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch
from app.web.shared.cache import kept
from app.web.shared.display import own_query
from app.web.shared.fields import Fields

MOST_KEPT = 8  # choices whose labels are counted, in memory
WHY = {  # why labels do not count, for a person
    ELSEWHERE: "the run is for the test and the chamber is not, or the other way round; the test is apart in both",
    NO_HISTOGRAM: "the run was deleted",
    SIMULATED_RUN: "the run is simulated, and there are labels of real ones",
    "skipped": "all who looked passed on",
    "withdrawn": "the label was taken back",
    "not resolved": "no expert ended a disagreement",
}

blueprint = Blueprint("trainings", __name__, url_prefix="/models/training")


@blueprint.post("/")
@needs("train")
def ask() -> ResponseReturnValue:
    """Have a candidate trained; the form again, with what is wrong, where that cannot be."""
    form = Fields(request.form)
    plan, refused, status = read_plan(form), "", form.status
    if plan:
        try:
            job = current_driftwatch().train(plan, by=person().name)
        except TooFewLabels as error:
            refused, status = str(error), error.status
        else:
            return redirect(url_for(".show", job=job.id), 303)
    shown = every_model(Fields({})) | form_and_trainings(form, refused)
    return render_template("models/models.html", **shown), status


@blueprint.get("/")
def after_mistake() -> ResponseReturnValue:
    """The page of the models: where the form was refused, links of what was shown then lead here."""
    return redirect(url_for("models_page.index", **own_query()))


@blueprint.get("/labels")
@needs("train")
def count_labels() -> tuple[str, int]:
    """How many labels a training would have, and why it would not have others; `?part=labels` is that alone."""
    form, store = Fields(request.args), current_driftwatch().store
    choice, found, too_few = read_choice(form), None, ""
    if not form.errors:
        key = (store.labels.stamp(), store.runs.stamp(), choice)
        found = kept("training_labels", MOST_KEPT).get(key, lambda: outlook(store, choice))
        try:
            require_enough(found.counts, store)
        except TooFewLabels as error:
            too_few = str(error)
    given = {"form": form, "choice": choice, "outlook": found, "too_few": too_few, "why": WHY}
    if request.args.get("part") == "labels":
        return render_template("models/training_labels.html", **given), 200  # what is wrong stands in it
    return render_template("models/training_labels_page.html", **given), form.status


@blueprint.get("/<job>/")
def show(job: str) -> str:
    """How far a training is; `?part=progress` is what may change."""
    training = training_job(current_driftwatch().store, job)
    progress = training.progress
    made, labels = progress.get("model"), progress.get("labels")
    return render_template(
        "models/training_progress.html" if request.args.get("part") == "progress" else "models/training.html",
        job=training,
        plan=Plan.of_args(training.args),
        curves=LossCurves(progress.get("losses", ()), progress.get("epochs", 0)),
        losses=progress.get("losses", ()),
        labels=labels and Composition.model_validate(labels),
        model=made and current_driftwatch().models.get(made),
        training_state=training_state,
    )


@blueprint.post("/<job>/stop")
@needs("train")
def stop(job: str) -> ResponseReturnValue:
    current_driftwatch().stop_training(job, by=person().name)
    return redirect(url_for(".show", job=job), 303)
