"""`/models/<name>/compare/`: two models side by side. Computed in the background when an expert asks for it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.driftwatch import COMPARED_RUNS
from app.errors import InvalidInput, NotFound
from app.pictures import POLICY
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.learning.evaluation import ALL, ALL_KINDS, FALSE_ALARMS, LEVELS, in_words
from app.subsystems.dt.learning.side_by_side import BINS, CELLS, Cell, SideBySide, Where
from app.web.models.models_page import why_failed
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch
from app.web.shared.display import item_url
from app.web.shared.fields import Fields, number_in

USUAL_RUNS = 10
SET_WORDS = {
    "simulated": "Simulated test set",
    "labelled": "Labelled chambers of the test part",
    "control": "Random control",
}
BAR = 24  # height of a full bar of a distribution, in its picture's units

blueprint = Blueprint("comparison", __name__, url_prefix="/models/<name>/compare")


@blueprint.get("/")
def show(name: str) -> tuple[str, int]:
    """What comparing this model with another found last, and how far it is if it is under way."""
    return _page(name, Fields(request.args))


@blueprint.post("/")
@needs("compare_models")
def ask(name: str) -> ResponseReturnValue:
    """Have it compared, again if it was before."""
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
    kept = current_driftwatch().store.comparisons.get((name, other))
    if kept is None or picture not in kept.pictures:
        raise NotFound(f"There is no picture {picture!r} of {name} beside {other}.")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(kept.pictures[picture], mimetype="image/svg+xml", headers=headers)


@blueprint.get("/<other>/comparison.json")
def figures(name: str, other: str) -> Response:
    """All figures behind the tables and the pictures."""
    kept = current_driftwatch().store.comparisons.get((name, other))
    if kept is None:
        raise NotFound(f"The models {name} and {other} were not compared.")
    headers = {"Content-Disposition": f'attachment; filename="{name}_{other}.json"'}
    return Response(kept.figures, mimetype="application/json", headers=headers)


def _page(name: str, given: Fields) -> tuple[str, int]:
    driftwatch = current_driftwatch()
    model = driftwatch.models.get(name)
    others = [one.name for one in reversed(driftwatch.models.all()) if one.name != name]
    usual = driftwatch.model if driftwatch.model != name else next(iter(others), "")
    other = given.given.get("with", usual)
    if other and other != name:
        driftwatch.models.get(other)
    kept = driftwatch.store.comparisons.get((name, other))
    job = driftwatch.last_comparison(name, other)
    found = kept and SideBySide.readable(kept.figures)
    return render_template(
        "models/comparison.html",
        model=model,
        other=other,
        others=[(one, one) for one in others],
        fields=given,
        kept=kept,
        found=found,
        under_way=job if job and job.active else None,
        failed=why_failed(job, kept),
        usual_runs=USUAL_RUNS,
        set_words=SET_WORDS,
        rates=FALSE_ALARMS,
        levels=[level for level in LEVELS if level != ALL],
        all_kinds=ALL_KINDS,
        cells=CELLS,
        bars=_bars,
        bar=BAR,
        chamber_at=_address,
        chamber_of=_chamber,
        in_words=in_words,
    ), given.status


def _bars(cell: Cell) -> list[tuple[int, float]]:
    """The bars of a distribution: (which twentieth, height); on a root's scale, for few beside many to be seen."""
    most = max(cell.scores)
    return [(i, round(BAR * (count / most) ** 0.5, 1)) for i, count in enumerate(cell.scores) if count and i < BINS]


def _chamber(where: Where) -> Chamber:
    return Chamber(wheel=where.wheel, station=where.station, sector=where.sector)


def _address(where: Where) -> str:
    return item_url(where.run, _chamber(where))
