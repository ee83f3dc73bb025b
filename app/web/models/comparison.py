"""`/models/<name>/compare/`: two models side by side. Computed in the background at an expert's request."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.driftwatch import COMPARED_RUNS
from app.errors import InvalidInput, NotFound
from app.pictures import POLICY
from app.web.models import plain_pages
from app.web.models.models_page import why_failed
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.fields import Fields, number_in

USUAL_RUNS = 10
blueprint = Blueprint("comparison", __name__, url_prefix="/models/<name>/compare")


@blueprint.get("/")
def show(name: str) -> tuple[str, int]:
    """The latest comparison of this model with another, and its progress if one is running."""
    return _page(name, Fields(request.args))


@blueprint.post("/")
@needs("compare_models")
def ask(name: str) -> ResponseReturnValue:
    """Start a comparison, which replaces an earlier one."""
    form = Fields(request.form)
    runs = form.read("runs", number_in("runs", COMPARED_RUNS), USUAL_RUNS)
    other = form.given.get("with", "")
    if not form.errors:
        try:
            current_driftwatch().compare(name, other, runs, by=person().name)
        except InvalidInput as error:
            form.refuse(error)
    if form.errors:
        return _page(name, form)
    query: dict[str, Any] = {"with": other}
    return redirect(url_for(".show", name=name, **query), 303)


@blueprint.get("/<other>/<picture>.svg")
def picture(name: str, other: str, picture: str) -> Response:
    """A picture of the comparison with another model."""
    stored = current_driftwatch().store.comparisons.get((name, other))
    if stored is None or picture not in stored.pictures:
        raise NotFound(f"There is no picture {picture!r} of {name} beside {other}.")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(stored.pictures[picture], mimetype="image/svg+xml", headers=headers)


@blueprint.get("/<other>/comparison.json")
def figures(name: str, other: str) -> Response:
    """All figures behind the tables and the pictures."""
    stored = current_driftwatch().store.comparisons.get((name, other))
    if stored is None:
        raise NotFound(f"The models {name} and {other} were not compared.")
    headers = {"Content-Disposition": f'attachment; filename="{name}_{other}.json"'}
    return Response(stored.figures, mimetype="application/json", headers=headers)


def _page(name: str, given: Fields) -> tuple[str, int]:
    driftwatch = current_driftwatch()
    model = driftwatch.models.get(name)
    others = [one.name for one in reversed(driftwatch.models.all()) if one.name != name]
    usual = driftwatch.model if driftwatch.model != name else next(iter(others), "")
    other = given.given.get("with", usual)
    if other and other != name:
        driftwatch.models.get(other)
    stored = driftwatch.store.comparisons.get((name, other))
    job = driftwatch.last_comparison(name, other)
    own = plain_pages.own()
    shown = {
        "model": model,
        "other": other,
        "others": [(one, one) for one in others],
        "fields": given,
        "stored": stored,
        "under_way": job if job and job.active else None,
        "failed": why_failed(job, stored),
        "usual_runs": USUAL_RUNS,
        "cannot": current_subsystem().learning().cannot,
        **(own.of_comparison(stored.figures) if stored else {}),
    }
    return render_template(f"{own.templates}/comparison.html", **shown), given.status
