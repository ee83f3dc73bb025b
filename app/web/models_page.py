"""`/models/`: every model, what each is worth, and which is in use. The same as `flask models`."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for
from pydantic import ValidationError

from app.driftwatch import MOST_REASON
from app.errors import InvalidInput, NotFound
from app.ml.evaluation import FALSE_ALARMS, Evaluation, in_words
from app.ml.forgetting import Forgetting
from app.ml.models import Card
from app.pictures import POLICY
from app.store.models import KeptEvaluation, ModelState
from app.web.access import needs, person
from app.web.current import current_driftwatch
from app.web.fields import Fields
from app.web.training_form import form_and_trainings

STATE_WORDS = {
    ModelState.ACTIVE: "in use",
    ModelState.CANDIDATE: "candidate",
    ModelState.RETIRED: "retired",
    ModelState.REFUSED: "refused",
}
STATE_SHAPES = {
    ModelState.ACTIVE: "good",
    ModelState.CANDIDATE: "waiting",
    ModelState.RETIRED: "gone",
    ModelState.REFUSED: "failed",
}
PICTURES = {  # in the order shown: what each says, for who cannot see it
    "roc": "Share of bad layers found against the share of good layers flagged, for each method, simulated chambers",
    "reliability": "Share of bad layers against the mean score, in tenths of the score",
    "found-by-kind": "Share of bad layers found at 1 % false alarms, for each kind of fault and method",
    "roc-real": "Share of bad layers found against the share of good layers flagged, for each method, real chambers",
}

blueprint = Blueprint("models_page", __name__, url_prefix="/models")


@blueprint.get("/")
def index() -> str:
    return render_template("models.html", **every_model(), **form_and_trainings(Fields({})))


def every_model() -> dict[str, object]:
    """What a template needs to list the models."""
    store, registry = current_driftwatch().store, current_driftwatch().models
    models = registry.all()
    activated: dict[str, dict] = {}
    for event in store.events.of_models():  # newest first
        if event["what"] == "model activated":
            activated.setdefault(event["model"], event)
    return {
        "models": [(model, Card.model_validate(model.card)) for model in reversed(models)],
        "activated": activated,
        "evaluated": store.models.evaluated(),
        "runs": store.runs.count_by_model(),
        "state_of": _state_of,
    }


@blueprint.get("/<name>/")
def show(name: str) -> str:
    return _page(name, Fields({}))


def _page(name: str, form: Fields) -> str:
    """The page of a model, with what was written into its form."""
    driftwatch = current_driftwatch()
    model = driftwatch.models.get(name)
    kept = driftwatch.store.models.evaluation(name)
    return render_template(
        "model.html",
        model=model,
        form=form,
        forgetting=model.check and Forgetting.model_validate(model.check),
        card=Card.model_validate(model.card),
        events=driftwatch.store.events.of_models(name),
        runs=driftwatch.store.runs.count_by_model().get(name, 0),
        active=driftwatch.model,
        outlook=driftwatch.reevaluations.outlook(name),
        kept=kept,
        evaluation=kept and _readable(kept),
        pictures=[(picture, words) for picture, words in PICTURES.items() if kept and picture in kept.pictures],
        rates=FALSE_ALARMS,
        in_words=in_words,
        state_of=_state_of,
    )


@blueprint.get("/<name>/<picture>.svg")
def picture(name: str, picture: str) -> Response:
    """A picture of what a model is worth."""
    kept = _kept(name)
    if picture not in kept.pictures:
        raise NotFound(f"There is no picture {picture!r} of {name}; there are: {', '.join(kept.pictures) or 'none'}.")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    headers["Content-Disposition"] = f'inline; filename="{name}_{picture}.svg"'
    return Response(kept.pictures[picture], mimetype="image/svg+xml", headers=headers)


@blueprint.get("/<name>/evaluation.json")
def figures(name: str) -> Response:
    """All figures behind the tables and the pictures."""
    headers = {"Content-Disposition": f'attachment; filename="{name}_evaluation.json"'}
    return Response(_kept(name).figures, mimetype="application/json", headers=headers)


@blueprint.post("/<name>/activate")
@needs("activate_model")
def activate(name: str) -> Response:
    current_driftwatch().activate(name, by=person().name)
    return redirect(url_for(".show", name=name), 303)


@blueprint.post("/<name>/override")
@needs("override_refusal")
def override(name: str) -> Response | tuple[str, int]:
    """Let a refused model be activated; its page again where no reason is given."""
    form = Fields(request.form)
    try:
        current_driftwatch().override_refusal(name, form.given.get("reason", ""), by=person().name)
    except InvalidInput:
        form.errors["reason"] = f"Needed: why it may be used, in at most {MOST_REASON:,} characters."
        return _page(name, form), 400
    return redirect(url_for(".show", name=name), 303)


@blueprint.post("/<name>/retire")
@needs("retire_model")
def retire(name: str) -> Response:
    current_driftwatch().retire(name, by=person().name)
    return redirect(url_for(".show", name=name), 303)


def _kept(name: str) -> KeptEvaluation:
    """What was kept of a model.

    Raises:
        NotFound: there is no such model, or nothing was kept.
    """
    current_driftwatch().models.get(name)
    kept = current_driftwatch().store.models.evaluation(name)
    if kept is None:
        raise NotFound(f"The model {name} was not evaluated: flask evaluate-model {name} --keep does it.")
    return kept


def _readable(kept: KeptEvaluation) -> Evaluation | None:
    """The figures; None where another version of the program wrote them in a way that this one cannot read."""
    try:
        return Evaluation.from_json(kept.figures)
    except ValidationError:
        return None


def _state_of(state: ModelState) -> tuple[str, str]:
    """Its shape and its word."""
    return STATE_SHAPES[state], STATE_WORDS[state]
