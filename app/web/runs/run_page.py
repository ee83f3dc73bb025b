"""`/run/<run>/`: is this run good, what is wrong with it, and is that new? A page, and a sheet for printing."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.run_numbers import run_number
from app.domain.runs import Run
from app.errors import InvalidInput, NotFound
from app.subsystems import Subsystem
from app.web.labels.label_words import reader_of
from app.web.runs.run_report import NEAR, report
from app.web.shared.application import current_driftwatch, subsystems
from app.web.shared.fields import YES_OR_NO, Fields, one_of

PICTURES = 24  # bad items with a picture, unless all are requested

blueprint = Blueprint("run_page", __name__, url_prefix="/run")


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """The page of the run named in the form, or of the newest one; without runs, the overview says how to begin."""
    newest = current_driftwatch().store.runs.newest()
    if "run" not in request.args and newest is None:
        return redirect(url_for("overview.index"), 303)
    number = run_number(request.args["run"]) if "run" in request.args else newest.number
    return redirect(url_for(".show", run=number), 303)


@blueprint.get("/<run>/")
def show(run: str) -> tuple[str, int]:
    driftwatch, fields = current_driftwatch(), Fields(request.args)
    number = run_number(run)
    picture = driftwatch.subsystem.views().run_picture
    views = picture.views if picture else {}
    view = fields.read("show", one_of("show", {name: name for name in views}), next(iter(views), ""))
    everything = fields.read("all", one_of("all", YES_OR_NO), False)
    try:
        made = report(driftwatch, number, fields.given.get("reference"))
    except InvalidInput as error:
        fields.refuse(error)
        made = report(driftwatch, number)
    runs = driftwatch.store.runs
    return render_template(
        "runs/run.html",
        fields=fields,
        run=made.run,
        report=made,
        counts=made.counts,
        picture=picture,
        map=picture.make(made.run, made.items, view, reader_of(), made) if picture and made.items else None,
        view=view,
        in_other_subsystems=in_other_subsystems(number),
        shown=made.bad if everything else made.bad[:PICTURES],
        may_be_fetched=made.run.origin == driftwatch.origin,
        beside=runs.beside(number),
        near=sorted(runs.near(number, made.run.model, NEAR // 4), key=lambda other: abs(other.number - number)),
        kind_words=driftwatch.subsystem.kind_words,
    ), fields.status


def in_other_subsystems(number: int) -> list[tuple[Subsystem, Run]]:
    """The runs with this number in the other subsystems."""
    driftwatch, found = current_driftwatch(), []
    for subsystem in subsystems():
        if subsystem is not driftwatch.subsystem:
            with suppress(NotFound):
                found.append((subsystem, driftwatch.of(subsystem.name).store.runs.get(number)))
    return found
