"""`/models/`: all models, their performance, and which one is active. The same as `flask models`."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.jobs import Job, JobState
from app.domain.models import Model, ModelState
from app.domain.thresholds import SetThreshold
from app.driftwatch import MOST_REASON
from app.errors import InvalidInput, NotFound
from app.ml import cards
from app.ml.models import SHIFTER, Card, Threshold
from app.pictures import POLICY
from app.registry import USES
from app.store.figures import StoredFigures
from app.web.models import plain_pages
from app.web.models.training_form import form_and_trainings
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.display import own_query
from app.web.shared.fields import Fields, fraction, one_of
from app.web.shared.ordering import Keys, ordered, read_order

STATE_SHAPES = {
    ModelState.ACTIVE: "good",
    ModelState.CANDIDATE: "waiting",
    ModelState.RETIRED: "gone",
    ModelState.REFUSED: "failed",
}
blueprint = Blueprint("models_page", __name__, url_prefix="/models")


@blueprint.get("/")
def index() -> tuple[str, int]:
    fields = Fields(request.args)
    return page_of_all(fields, Fields({})), fields.status


def page_of_all(fields: Fields, form: Fields, refused: str = "") -> str:
    """The page of all models, with the training form.

    Args:
        fields: the order in the address; its errors are recorded there.
        form: the values of the training form and its errors.
        refused: why a request was refused.
    """
    shown = every_model(fields) | form_and_trainings(form, refused) | plain_pages.own().of_form()
    return render_template(f"{plain_pages.own().templates}/models.html", **shown)


def every_model(fields: Fields) -> dict[str, Any]:
    """The context for the list of models.

    Args:
        fields: the order in the address; its errors are recorded there.
    """
    store, registry = current_driftwatch().store, current_driftwatch().models
    models, evaluated = registry.all(), store.models.evaluated()
    activated: dict[str, dict] = {}
    for event in store.events.of_models():  # newest first
        if event["what"] == "model activated":
            activated.setdefault(event["model"], event)
    of_models = [(model, Card.model_validate(model.card)) for model in reversed(models)]
    shown: dict[str, Any] = {
        "shifter": {model.name: _shifters(model.name, card, model.name in evaluated) for model, card in of_models},
        "activated": activated,
        "evaluated": evaluated,
        "runs": store.runs.count_by_model(),
    }
    columns = _columns(**shown)
    sort, descending = read_order(fields, columns)
    shown["models"] = ordered(of_models, columns, sort, descending)
    return {**shown, "state_of": _state_of, "sort": sort, "descending": descending, "fields": fields}


def _columns(shifter: Mapping, activated: Mapping, evaluated: Container[str], runs: Mapping) -> Keys:
    """The sort columns of the list of models, whose rows are (model, card)."""

    def of_model(key: Callable[[Model], object]) -> Callable[[tuple[Model, Card]], object]:
        return lambda row: key(row[0])

    def figure(name: str) -> Callable[[tuple[Model, Card]], float | None]:
        return lambda row: getattr(row[1].figures_all_faults or row[1].figures, name, None)

    return {
        "model": of_model(lambda model: model.name),
        "state": of_model(lambda model: str(model.state)),
        "architecture": lambda row: row[1].architecture,
        "parameters": lambda row: row[1].parameters,
        "area": figure("area_under_roc"),
        "found": figure("found_at_1_percent_false_alarms"),
        "threshold": of_model(lambda model: shifter[model.name].score),
        "false_alarms": of_model(lambda model: shifter[model.name].false_alarms),
        "runs": of_model(lambda model: runs.get(model.name, 0)),
        "added": of_model(lambda model: model.added_at),
        "activated": of_model(lambda model: activated[model.name]["at"] if model.name in activated else None),
        "evaluation": of_model(lambda model: model.name in evaluated),
    }


def _shifters(name: str, card: Card, is_evaluated: bool) -> SetThreshold | Threshold | cards.Use:
    """A model's threshold for shifters; if it was set before the evaluation, with the evaluation's performance."""
    one = current_driftwatch().store.thresholds.standing(name).get(SHIFTER) or card.thresholds[SHIFTER]
    if one.false_alarms is None and is_evaluated:
        return next(use for use in cards.uses(current_driftwatch().models.known(name)) if use.use == SHIFTER)
    return one


@blueprint.get("/<name>/")
def show(name: str) -> tuple[str, int]:
    """A model's page; with `score` or `rate` in the address, it previews that threshold."""
    return _page(name, Fields(request.args))


@blueprint.get("/<name>/card.md")
def card(name: str) -> Response:
    """The model's card as Markdown."""
    headers = {"Content-Disposition": f'inline; filename="{name}_card.md"'}
    return Response(cards.markdown(current_driftwatch().models.known(name)), mimetype="text/markdown", headers=headers)


@blueprint.post("/<name>/thresholds")
@needs("set_threshold")
def set_threshold(name: str) -> ResponseReturnValue:
    """Set the score from which a part is bad, for one use."""
    form = Fields(request.form)
    for field, words in (("score", "a score"), ("why", "a reason")):
        if field not in form.given:
            form.errors[field] = f"Needed: {words}."
    use = form.read("use", one_of("use", {use: use for use in USES}), USES[0])
    score = form.read("score", fraction("score"), 0.0)
    if not form.errors:
        try:
            current_driftwatch().set_threshold(name, use, score, form.given["why"], by=person().name)
        except InvalidInput as error:
            form.refuse(error)
    if form.errors:
        return _page(name, form)
    return redirect(url_for(".show", name=name, _anchor="thresholds"), 303)


@blueprint.get("/<name>/<picture>.svg")
def picture(name: str, picture: str) -> Response:
    """A picture of the evaluation."""
    stored = _stored(name)
    if picture not in stored.pictures:
        raise NotFound(f"There is no picture {picture!r} of {name}; there are: {', '.join(stored.pictures) or 'none'}.")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    headers["Content-Disposition"] = f'inline; filename="{name}_{picture}.svg"'
    return Response(stored.pictures[picture], mimetype="image/svg+xml", headers=headers)


@blueprint.get("/<name>/evaluation.json")
def figures(name: str) -> Response:
    """All figures behind the tables and the pictures."""
    headers = {"Content-Disposition": f'attachment; filename="{name}_evaluation.json"'}
    return Response(_stored(name).figures, mimetype="application/json", headers=headers)


@blueprint.get("/<name>/thresholds")
@blueprint.get("/<name>/override")
def after_mistake(name: str) -> ResponseReturnValue:
    """The model's page; after a refused form, relative links lead to the form's address."""
    return redirect(url_for(".show", name=name, **own_query()))


@blueprint.post("/<name>/evaluate")
@needs("keep_evaluation")
def evaluate(name: str) -> ResponseReturnValue:
    """Start an evaluation, which replaces an earlier one."""
    current_driftwatch().evaluate(name, by=person().name)
    return redirect(url_for(".show", name=name, _anchor="evaluation"), 303)


@blueprint.post("/<name>/activate")
@needs("activate_model")
def activate(name: str) -> ResponseReturnValue:
    current_driftwatch().activate(name, by=person().name)
    return redirect(url_for(".show", name=name), 303)


@blueprint.post("/<name>/override")
@needs("override_refusal")
def override(name: str) -> ResponseReturnValue:
    """Allow activating a refused model; without a reason, show the page again."""
    form = Fields(request.form)
    try:
        current_driftwatch().override_refusal(name, form.given.get("reason", ""), by=person().name)
    except InvalidInput:
        form.errors["reason"] = f"Needed: why it may be used, in at most {MOST_REASON:,} characters."
        return _page(name, form)
    return redirect(url_for(".show", name=name), 303)


@blueprint.post("/<name>/retire")
@needs("retire_model")
def retire(name: str) -> ResponseReturnValue:
    current_driftwatch().retire(name, by=person().name)
    return redirect(url_for(".show", name=name), 303)


def _stored(name: str) -> StoredFigures:
    """The stored evaluation of a model.

    Raises:
        NotFound: there is no such model, or no evaluation.
    """
    current_driftwatch().models.get(name)
    stored = current_driftwatch().store.models.evaluation(name)
    if stored is None:
        raise NotFound(f"The model {name} was not evaluated: flask evaluate-model {name} --keep does it.")
    return stored


def _page(name: str, given: Fields) -> tuple[str, int]:
    driftwatch, own = current_driftwatch(), plain_pages.own()
    known = driftwatch.models.known(name)
    job = driftwatch.last_evaluation(name)
    shown = {
        "known": known,
        "model": known.model,
        "card": known.card,
        "limits": known.limits,
        "uses": cards.uses(known),
        "fields": given,
        "form": given,
        "check": known.model.check and plain_pages.rows_of(dict(known.model.check)),
        "set_before": known.thresholds,
        "use_names": [(use, use) for use in USES],
        "events": driftwatch.store.events.of_models(name),
        "runs": driftwatch.store.runs.count_by_model().get(name, 0),
        "active": driftwatch.model,
        "outlook": driftwatch.reevaluations.outlook(name),
        "bad_from": driftwatch.models.bad_from(name),
        "stored": known.stored,
        "evaluation_job": job if job and job.active else None,
        "evaluation_failed": why_failed(job, known.stored),
        "pictures": [(one, one) for one in known.stored.pictures] if known.stored else [],
        "cannot": current_subsystem().learning().cannot,
        "state_of": _state_of,
        **own.of_model(known, given),
    }
    return render_template(f"{own.templates}/model.html", **shown), given.status


def why_failed(job: Job | None, stored: StoredFigures | None) -> str:
    """Why the last attempt to compute figures failed; empty if it did not fail, or if there are newer figures."""
    if job is None or job.state is not JobState.FAILED or (stored and stored.at > job.ended_at):
        return ""
    return job.why


def _state_of(state: ModelState) -> tuple[str, str]:
    """Its icon and its word."""
    return STATE_SHAPES[state], str(state)
