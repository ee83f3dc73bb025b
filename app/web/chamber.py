"""`/eval/…`: one chamber of a run, as the heat map that a person judges."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from flask import Blueprint, Response, current_app, redirect, render_template, request

from app.driftwatch import Driftwatch
from app.errors import InvalidInput, NotFound
from app.run_numbers import run_number
from app.store.items import Item
from app.store.runs import Run
from app.subsystems.dt.geometry import STATIONS, WHEELS, Chamber, all_chambers, sectors_of
from app.web import display, fields, strips
from app.web.fields import Fields
from app.web.heatmap import Heatmap, ScaleKind

OTHER_RUNS = 4  # before and after this one, in the strip
FORM = ("run", "wheel", "sector", "station")

blueprint = Blueprint("chamber", __name__, url_prefix="/eval")


@blueprint.get("/")
def load() -> Response | tuple[str, int]:
    """The form: the chamber it names, or what is wrong with it."""
    form = Fields({name: request.args.get(name, "") for name in FORM})
    if not form.given:
        newest = _driftwatch().store.runs.newest()
        form.given = {"run": str(newest.number) if newest else "", "wheel": "0", "sector": "1", "station": "1"}
        return render_template("chamber_form.html", form=form, **_choices()), 200
    for name in FORM:
        if name not in form.given:
            form.errors[name] = f"The {name} is missing."
    run, chamber = _read(form)
    if form.errors:
        return render_template("chamber_form.html", form=form, **_choices()), form.status
    return redirect(display.chamber_url(run, chamber), 303)


@blueprint.get("/<run>/<wheel>/<sector>/<station>/")
def show(run: str, wheel: str, sector: str, station: str) -> tuple[str, int]:
    form = Fields(dict(zip(FORM, (run, wheel, sector, station), strict=True)))
    scale = form_scale(request.args)
    number, chamber = _read(form)
    if form.errors:
        return render_template("chamber_form.html", form=form, **_choices()), form.status
    store = _driftwatch().store
    loaded = _run_or_none(number)
    neighbours = store.items.of_place(chamber, around=number, each_side=OTHER_RUNS)
    context = {"form": form, "run": number, "chamber": chamber, "scale": scale, "neighbours": neighbours}
    context |= {"loaded": loaded, "beside": _beside(chamber), **_choices()}
    try:
        item = store.items.get(number, chamber)
    except NotFound:
        return render_template("chamber_absent.html", **context), 404
    if item.histogram is None:
        return render_template("chamber_missing.html", item=item, **context), 200
    return render_template(
        "chamber.html",
        item=item,
        map=Heatmap(item.histogram, scale),
        strips=strips,
        other_runs=_strip(item, neighbours),
        **context,
    ), 200


@blueprint.get("/<run>/<wheel>/<sector>/<station>/counts.csv")
def counts(run: str, wheel: str, sector: str, station: str) -> Response:
    """The picture's numbers: layer, cell, count of every cell that exists."""
    item = _item(run, wheel, sector, station)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("layer", "cell", "count"))
    writer.writerows(Heatmap(item.histogram).csv())
    return _file(table.getvalue(), "text/csv", item, "csv")


@blueprint.get("/<run>/<wheel>/<sector>/<station>/occupancy.svg")
def picture(run: str, wheel: str, sector: str, station: str) -> Response:
    """The picture as a file of its own, with its title, axes and scale."""
    item = _item(run, wheel, sector, station)
    heatmap = Heatmap(item.histogram, form_scale(request.args))
    return _file(render_template("occupancy.svg", item=item, map=heatmap), "image/svg+xml", item, "svg")


def form_scale(args: Mapping[str, str]) -> ScaleKind:
    """The colour scale that is asked for; linear where none is.

    Raises:
        InvalidInput: there is no such scale.
    """
    return fields.one_of("scale", {str(kind): kind for kind in ScaleKind})(args.get("scale") or "linear")


def _read(form: Fields) -> tuple[int | None, Chamber | None]:
    """Run and chamber of the form; what is wrong is noted on it."""
    run = form.read("run", run_number, None)
    chamber = None
    if all(name in form.given for name in ("wheel", "sector", "station")):
        try:
            chamber = fields.chamber(form.given["wheel"], form.given["sector"], form.given["station"])
        except InvalidInput as error:
            form.refuse(error)
    return run, chamber


def _item(run: str, wheel: str, sector: str, station: str) -> Item:
    """A chamber with its histogram.

    Raises:
        InvalidInput, NotFound: there is none.
    """
    item = _driftwatch().store.items.get(run_number(run), fields.chamber(wheel, sector, station))
    if item.histogram is None:
        raise NotFound(f"Run {item.run} has no histogram of {item.place}: {display.REASON_WORDS[item.missing]}.")
    return item


def _file(text: str, mimetype: str, item: Item, ending: str) -> Response:
    place = item.place
    name = f"occupancy_{item.run}_W{place.wheel}_S{place.sector}_St{place.station}.{ending}"
    kind = "attachment" if request.args.get("download") else "inline"
    return Response(text, mimetype=mimetype, headers={"Content-Disposition": f'{kind}; filename="{name}"'})


def _beside(chamber: Chamber) -> tuple[Chamber, Chamber]:
    """The chambers before and after this one; after the last comes the first."""
    chambers = all_chambers()
    at = chambers.index(chamber)
    return chambers[at - 1], chambers[(at + 1) % len(chambers)]


def _strip(item: Item, neighbours: list[Item]) -> list[Item]:
    """The same chamber in other runs and in this one, by run."""
    return sorted([*neighbours, item], key=lambda other: other.run)


def _run_or_none(number: int) -> Run | None:
    try:
        return _driftwatch().store.runs.get(number)
    except NotFound:
        return None


def _choices() -> dict[str, object]:
    """The options of the form's fields, with their words."""
    return {
        "choices": {
            "wheel": [(wheel, display.signed(wheel)) for wheel in WHEELS],
            "sector": [(sector, sector) for sector in sectors_of(4)],
            "station": [(station, station) for station in STATIONS],
        }
    }


def _driftwatch() -> Driftwatch:
    return current_app.extensions["driftwatch"]
