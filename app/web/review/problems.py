"""`/problems/`: known problems of places. Everybody may read them; experts add and end them."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.problems import Problem
from app.domain.run_numbers import run_number
from app.errors import InvalidInput
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.display import item_url
from app.web.shared.fields import Fields, number_in, number_list
from app.web.shared.item_lists import choices, files, read_page, read_place, refuse_wrong
from app.web.shared.item_routes import place_at
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES

CELLS = range(1, 1_000)  # the item's actual number of parts is checked with it

blueprint = Blueprint("problems", __name__, url_prefix="/problems")


@blueprint.get("/")
def index() -> tuple[str, int]:
    problems, fields = current_driftwatch().store.problems, Fields(request.args)
    run, place = fields.read("run", run_number, None), read_place(fields)
    sort, descending = _order(fields)
    size, page, more = read_page(fields, lambda most: problems.count(place, run))
    newest = current_driftwatch().store.runs.newest()
    return render_template(
        "review/problems.html",
        fields=fields,
        choices=choices(),
        problems=[] if fields.errors else problems.find(place, run, page.skip, size, sort, descending),
        sort=sort,
        descending=descending,
        page=page,
        more=more,
        sizes=SIZES,
        newest=newest.number if newest else None,
        files=files(".problems_file"),
    ), fields.status


@blueprint.get("/problems.<ending>")
def problems_file(ending: str) -> Response:
    """The problems matching the address, all pages, in its order."""
    fields = Fields(request.args)
    run, place = fields.read("run", run_number, None), read_place(fields)
    sort, descending = _order(fields)
    refuse_wrong(fields)
    subsystem = current_subsystem()

    def row(problem: Problem) -> tuple[object, ...]:
        parts = " ".join(map(str, problem.parts))
        where = subsystem.in_path(problem.place).values()
        what = (*where, parts, *(problem.cells or (None, None)), problem.text)
        return (*what, problem.since, problem.until, problem.by, problem.at, problem.ended_by or None, problem.ended_at)

    header: tuple[str, ...] = (*subsystem.path, f"{subsystem.part}s", "first_cell", "last_cell", "text")
    header += ("since", "until", "by", "at", "ended_by", "ended_at")
    find = partial(current_driftwatch().store.problems.find, place, run, sort=sort, descending=descending)
    return table_file("problems", ending, header, (row(problem) for problem in in_batches(find)))


@blueprint.get("/add")
@needs("known_problems")
def form() -> str:
    """The form for a new problem, prefilled from the address."""
    return _form(Fields(request.args))


@blueprint.post("/add")
@needs("known_problems")
def add() -> ResponseReturnValue:
    form, subsystem = Fields(request.form), current_subsystem()
    field = f"{subsystem.part}s"
    for name, words in ((field, field), ("since", "the first run"), ("text", "what is wrong, and why")):
        if name not in form.given:
            form.errors[name] = f"Needed: {words}."
    parts = form.read(field, number_list(field, field, subsystem.most_parts), ())
    first, last = (form.read(name, number_in(name, CELLS), None) for name in ("first_cell", "last_cell"))
    since, until = (form.read(name, run_number, None) for name in ("since", "until"))
    place = None
    try:
        place = place_at(form.given)
    except InvalidInput as error:
        form.refuse(error)
    if form.errors:
        return _form(form), 400
    cells = (first or last, last or first) if first or last else None
    back = _back(place, **subsystem.in_path(place))
    try:
        current_driftwatch().labelling.problems.add(
            person().name, place, parts, form.given["text"], since, until, cells
        )
    except InvalidInput as error:
        form.refuse(error, "first_cell" if error.field == "cells" else error.field)
        return _form(form), 400
    return redirect(back, 303)


@blueprint.get("/<problem>/end")
@needs("known_problems")
def ask_end(problem: str) -> str:
    """The form for the last affected run."""
    return _end_form(current_driftwatch().store.problems.get(problem), Fields(request.args))


@blueprint.post("/<problem>/end")
@needs("known_problems")
def end(problem: str) -> ResponseReturnValue:
    """Record the last affected run."""
    known, form = current_driftwatch().store.problems.get(problem), Fields(request.form)
    back = _back(known.place)
    if "until" not in form.given:
        form.errors["until"] = "Needed: the last run with it."
    until = form.read("until", partial(run_number, field="until"), 0)
    if not form.errors:
        try:
            current_driftwatch().labelling.problems.end(person().name, problem, until)
        except InvalidInput as error:
            form.refuse(error)
    return (_end_form(known, form), 400) if form.errors else redirect(back, 303)


def _order(fields: Fields) -> tuple[str, bool]:
    """The order in the address: a column, and whether it is descending."""
    return read_sort(fields, current_driftwatch().store.problems.SORTS, "at", lambda sort: sort == "at")


def _back(place: Any, **filters: Any) -> str:
    """The page that a form came from: the item's page if it names the run, else the list with these filters."""
    run = request.form.get("run")
    return item_url(run_number(run), place) if run else url_for(".index", **filters)


def _end_form(problem: Problem, form: Fields) -> str:
    return render_template("review/problem_end.html", fields=form, problem=problem, back=_back(problem.place))


def _form(form: Fields) -> str:
    return render_template("review/problem_form.html", fields=form, choices=choices())
