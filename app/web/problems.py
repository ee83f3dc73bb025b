"""`/problems/`: known problems of chambers. Everybody may read them; experts add and end them."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for

from app.errors import InvalidInput
from app.run_numbers import run_number
from app.subsystems.dt.geometry import Chamber
from app.web import fields as read
from app.web.access import needs, person
from app.web.chamber_lists import CHOICES, read_page, read_place
from app.web.current import current_driftwatch
from app.web.display import chamber_url
from app.web.fields import Fields, layer_list, number_in
from app.web.paging import SIZES

CELLS = range(1, 1_000)  # how many the chamber has is checked with it

blueprint = Blueprint("problems", __name__, url_prefix="/problems")


@blueprint.get("/")
def index() -> tuple[str, int]:
    driftwatch = current_driftwatch()
    problems = driftwatch.labelling.problems
    fields = Fields(request.args)
    run, place = fields.read("run", run_number, None), read_place(fields)
    size, page, more = read_page(fields, lambda most: problems.count(place, run))
    newest = driftwatch.store.runs.newest()
    return render_template(
        "problems.html",
        fields=fields,
        choices=CHOICES,
        problems=[] if fields.errors else problems.list(place, run, page.skip, size),
        page=page,
        more=more,
        sizes=SIZES,
        newest=newest.number if newest else None,
    ), fields.status


@blueprint.get("/add")
@needs("known_problems")
def form() -> str:
    """The form of a new one; what the address gives stands in it already."""
    return _form(Fields(request.args))


@blueprint.post("/add")
@needs("known_problems")
def add() -> Response | tuple[str, int]:
    form = Fields(request.form)
    for name, words in (("layers", "layers"), ("since", "the first run"), ("text", "what is wrong, and why")):
        if name not in form.given:
            form.errors[name] = f"Needed: {words}."
    layers = form.read("layers", layer_list("layers"), ())
    first, last = (form.read(name, number_in(name, CELLS), None) for name in ("first_cell", "last_cell"))
    since, until = (form.read(name, run_number, None) for name in ("since", "until"))
    place = None
    try:
        place = read.chamber(*(form.given.get(name, "") for name in ("wheel", "sector", "station")))
    except InvalidInput as error:
        form.refuse(error)
    if form.errors:
        return _form(form), 400
    cells = (first or last, last or first) if first or last else None
    try:
        current_driftwatch().labelling.problems.add(
            person().name, place, layers, form.given["text"], since, until, cells
        )
    except InvalidInput as error:
        form.refuse(error, "first_cell" if error.field == "cells" else error.field)
        return _form(form), 400
    where = {"wheel": place.wheel, "sector": place.sector, "station": place.station}
    return redirect(_chamber_page(place) or url_for(".index", **where), 303)


@blueprint.post("/<problem>/end")
@needs("known_problems")
def end(problem: str) -> Response:
    """Say with which run it ended."""
    until = run_number(request.form.get("until", ""), field="until")
    ended = current_driftwatch().labelling.problems.end(person().name, problem, until)
    return redirect(_chamber_page(ended.place) or url_for(".index"), 303)


def _chamber_page(place: Chamber) -> str | None:
    """Where a form came from that stands on a chamber's page: it names the run."""
    run = request.form.get("run")
    return chamber_url(run_number(run), place) if run else None


def _form(form: Fields) -> str:
    return render_template("problem_form.html", fields=form, choices=CHOICES)
