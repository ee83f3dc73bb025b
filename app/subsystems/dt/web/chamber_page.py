"""`/eval/…`: one chamber of a run, as a heat map for people to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.items import Item
from app.domain.run_numbers import run_number
from app.domain.runs import Run
from app.domain.vocabulary import Answer
from app.errors import NotFound
from app.labelling.labels import Current, StaleLabel
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.web import layer_svg as strips
from app.subsystems.dt.web import profile
from app.subsystems.dt.web.heatmap import Heatmap, ScaleKind
from app.subsystems.dt.web.thumbnails import thumbnail
from app.subsystems.views import ItemPages
from app.web.labels import label_words, labelling_context
from app.web.labels.item_page import thumbnail_file
from app.web.shared import display, fields
from app.web.shared.application import current_driftwatch
from app.web.shared.csv_file import csv_lines
from app.web.shared.fields import Fields
from app.web.shared.item_lists import choices
from app.web.shared.item_routes import place_at, read_where, require_where

OTHER_RUNS = 4  # runs before and after this one in the strip
FORM = ("run", "wheel", "sector", "station")

# The keys of layers 1 to 12 by `KeyboardEvent.code`: the digits and the two keys to their right.
LAYER_CODES = (*(f"Digit{digit}" for digit in "1234567890"), "Minus", "Equal")

blueprint = Blueprint("chamber", __name__, url_prefix="/eval")


@blueprint.get("/chamber/")
def load() -> ResponseReturnValue:
    """The form: the chamber it names, or its errors."""
    form = Fields({name: request.args.get(name, "") for name in FORM})
    if not form.given:
        newest = current_driftwatch().store.runs.newest()
        form.given = {"run": str(newest.number) if newest else "", "wheel": "0", "sector": "1", "station": "1"}
        return render_template("dt/chamber_form.html", form=form, choices=choices()), 200
    run, chamber = require_where(form)
    if form.errors:
        return render_template("dt/chamber_form.html", form=form, choices=choices()), form.status
    return redirect(display.item_url(run, chamber), 303)


@blueprint.get("/<run>/<wheel>/<sector>/<station>/")
def show(run: str, wheel: str, sector: str, station: str) -> tuple[str, int]:
    """The page of a chamber; `?part=item` is the part that changes with the chamber."""
    form = Fields(dict(zip(FORM, (run, wheel, sector, station), strict=True)))
    scale = form_scale(request.args)
    number, chamber = read_where(form)
    if form.errors:
        return render_template("dt/chamber_form.html", form=form, choices=choices()), form.status
    context = _around(number, chamber, scale)
    try:
        item = current_driftwatch().store.items.get(number, chamber)
    except NotFound:
        return render_template("dt/chamber_absent.html", **context), 404
    if item.histogram is None:
        return render_template("dt/chamber_missing.html", item=item, **context), 200
    template = "dt/chamber_part.html" if request.args.get("part") else "dt/chamber.html"
    return render_template(template, **context | _of_item(item, context["neighbours"], scale)), 200


def show_again(run: int, chamber: Chamber, stale: StaleLabel, answer: Answer, comment: str) -> tuple[str, int]:
    """The current state of the chamber, with the refused answer, for the user to confirm or change."""
    context = _around(run, chamber, ScaleKind.LINEAR)
    item = current_driftwatch().store.items.get(run, chamber)
    context |= _of_item(item, context["neighbours"], ScaleKind.LINEAR, stale.current)
    return render_template("dt/chamber.html", **context | {"ticked": tuple(answer), "comment": comment}), 409


@blueprint.get("/<run>/<wheel>/<sector>/<station>/counts.csv")
def counts(run: str, wheel: str, sector: str, station: str) -> Response:
    """The numbers of the picture: layer, cell and count of every existing cell."""
    item = item_with_histogram(run, wheel, sector, station)
    table = "".join(csv_lines(("layer", "cell", "count"), Heatmap(item.histogram).csv()))
    return picture_file(table, "text/csv", "occupancy", item, "csv")


@blueprint.get("/<run>/<wheel>/<sector>/<station>/occupancy.svg")
def picture(run: str, wheel: str, sector: str, station: str) -> Response:
    """The picture as a separate file, with title, axes and scale."""
    item = item_with_histogram(run, wheel, sector, station)
    heatmap = Heatmap(item.histogram, form_scale(request.args))
    svg = render_template("dt/occupancy.svg", item=item, map=heatmap)
    return picture_file(svg, "image/svg+xml", "occupancy", item, "svg")


@blueprint.get("/<run>/<wheel>/<sector>/<station>/small.svg")
def small(run: str, wheel: str, sector: str, station: str) -> Response:
    """The thumbnail for strips. Its address contains the time of fetching, so it can be cached."""
    item = item_with_histogram(run, wheel, sector, station)
    return thumbnail_file(thumbnail(Heatmap(item.histogram)))


def form_scale(args: Mapping[str, str]) -> ScaleKind:
    """The requested colour scale; linear by default.

    Raises:
        InvalidInput: there is no such scale.
    """
    return fields.one_of("scale", {str(kind): kind for kind in ScaleKind})(args.get("scale") or "linear")


def _around(run: int, chamber: Chamber, scale: ScaleKind) -> dict[str, Any]:
    """The part of a chamber's page that does not depend on its histogram."""
    neighbours = current_driftwatch().store.items.of_place(chamber, around=run, each_side=OTHER_RUNS)
    context: dict[str, Any] = {
        "reader": label_words.reader_of(),
        "run": run,
        "chamber": chamber,
        "scale": scale,
        "neighbours": neighbours,
        "choices": choices(),
    }
    context["form"] = Fields({"run": str(run), **{key: str(value) for key, value in asdict(chamber).items()}})
    return context | labelling_context.WORDS | {"loaded": _run_or_none(run), "beside": _beside(chamber)}


def _of_item(item: Item, neighbours: list[Item], scale: ScaleKind, stale: Current | None = None) -> dict[str, object]:
    """The part of a chamber's page that depends on its histogram, for the current user.

    The first label is hidden from a person whose second opinion is wanted.
    """
    heatmap = Heatmap(item.histogram, scale)
    context = labelling_context.of_item(item, stale)
    return context | {
        "map": heatmap,
        "strips": strips,
        "lines": profile.lines(heatmap),
        "profile_height": profile.HEIGHT,
        "layer_codes": LAYER_CODES,
        "selected": _least_certain(item),
        "other_runs": _strip(item, neighbours),
        "known": {
            layer.number: [p for p in context["problems"] if layer.number in p.parts] for layer in item.place.layers
        },
        "ticked": tuple(context["answer"]),
    }


def _least_certain(item: Item) -> int:
    """The layer whose profile is shown initially; the first layer if none is judged."""
    scores = item.judgement.scores if item.judgement else ()
    judged = [(abs(0.5 - score), layer) for layer, score in enumerate(scores, start=1) if score is not None]
    return min(judged)[1] if judged else 1


def item_with_histogram(run: str, wheel: str, sector: str, station: str) -> Item:
    """Return a chamber with its histogram.

    Raises:
        InvalidInput, NotFound: there is none.
    """
    item = current_driftwatch().store.items.get(run_number(run), chamber_at(wheel, sector, station))
    if item.histogram is None:
        raise NotFound(f"Run {item.run} has no histogram of {item.place}: {display.REASON_WORDS[item.missing]}.")
    return item


def chamber_at(wheel: str, sector: str, station: str) -> Chamber:
    """Parse a chamber from three texts.

    Raises:
        InvalidInput: there is no such chamber; says what is allowed.
    """
    return place_at({"wheel": wheel, "sector": sector, "station": station})


def picture_file(text: str, mimetype: str, what: str, item: Item, ending: str) -> Response:
    """A file named after its chamber; `?download` saves it instead of showing it."""
    place = item.place
    name = f"{what}_{item.run}_W{place.wheel}_S{place.sector}_St{place.station}.{ending}"
    kind = "attachment" if request.args.get("download") else "inline"
    return Response(text, mimetype=mimetype, headers={"Content-Disposition": f'{kind}; filename="{name}"'})


def _beside(chamber: Chamber) -> tuple[Chamber, Chamber]:
    """The chambers before and after this one, cyclically."""
    chambers = all_chambers()
    at = chambers.index(chamber)
    return chambers[at - 1], chambers[(at + 1) % len(chambers)]


def _strip(item: Item, neighbours: list[Item]) -> list[Item]:
    """The same chamber in other runs and in this one, by run."""
    return sorted([*neighbours, item], key=lambda other: other.run)


def _run_or_none(number: int) -> Run | None:
    try:
        return current_driftwatch().store.runs.get(number)
    except NotFound:
        return None


PAGES = ItemPages(
    "chamber.show",
    "chamber.small",
    "chamber.load",
    show_again,
    ("dt/cells.js", "dt/profile.js", "dt/save-png.js"),
    answer_keys=(
        ("1 … 9 0", "layers 1 to 10 bad or not, by the place of the key"),
        ("- =", "layers 11 and 12: the two keys right of 0"),
        ("a n", "all layers bad, none"),
    ),
    look_keys=(
        ("v l", "values in the cells, logarithmic scale"),
        ("i", "influence of the cells on the scores"),
        ("← →", "the chamber before, the one after"),
        ("↓ ↑", "the same chamber in the run before, the one after"),
    ),
)
