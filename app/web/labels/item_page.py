"""`/eval/…`: the page of one item, with its parts and classes, for subsystems without their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Flask, Response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.run_numbers import run_number
from app.domain.vocabulary import WHOLE, Answer
from app.errors import NotFound
from app.labelling.labels import Current, StaleLabel
from app.subsystems.views import ItemPages
from app.web.labels import label_words, labelling_context
from app.web.shared import fields
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.display import item_url
from app.web.shared.fields import Fields
from app.web.shared.item_lists import choices
from app.web.shared.item_routes import of_each, place_at, require_where

OTHER_RUNS = 4  # neighbours in each direction
KEPT = 7 * 24 * 3600  # seconds for which browsers cache a thumbnail

blueprint = Blueprint("item", __name__, url_prefix="/eval")


def init_app(app: Flask) -> None:
    app.jinja_env.globals["item_pages"] = pages


def pages() -> ItemPages:
    """The item pages of the current subsystem: its own, or the generic ones."""
    subsystem = current_subsystem()
    if own := subsystem.views().item:
        return own
    classes = [one for one in subsystem.vocabulary.classes.values() if one.key]
    keys = (
        ("0 … 9", f"choose the {subsystem.item} as a whole, or a {subsystem.part}"),
        (" ".join(one.key for one in classes), f"what it is: {', '.join(one.name for one in classes)}"),
    )
    return replace(PLAIN, answer_keys=keys)


def read_answer() -> Answer | list[int]:
    """The answer in a page's form: `bad` for each bad part, or `part_3=dead` for each part."""
    given = request.form
    classes = {
        fields.whole_number(name.removeprefix("part_")): value
        for name, value in given.items()
        if name.startswith("part_")
    }
    return classes or [fields.whole_number(part) for part in given.getlist("bad")]


@blueprint.get("/find/")
def find() -> ResponseReturnValue:
    """The form: the item it names, or its errors."""
    form = Fields({name: request.args.get(name, "") for name in ("run", *current_subsystem().path)})
    if form.given:
        run, place = require_where(form)
        if not form.errors:
            return redirect(item_url(run, place), 303)
    return render_template("labels/item_form.html", form=form, choices=choices()), form.status


@of_each(blueprint, "/{item}/", plain=True)
def show(run: str, **where: str) -> tuple[str, int]:
    """The page of an item; `?part=item` is the part that changes with the item."""
    number, place = run_number(run), place_at(where)
    try:
        item = current_driftwatch().store.items.get(number, place)
    except NotFound:
        return render_template("labels/item_absent.html", run=number, place=place), 404
    return render_template(
        "labels/item_part.html" if request.args.get("part") else "labels/item.html", **_of(item)
    ), 200


def show_again(run: int, place: Any, stale: StaleLabel, answer: Answer, comment: str) -> tuple[str, int]:
    """The current state of the item, with the answer that was refused because the item had changed."""
    item = current_driftwatch().store.items.get(run, place)
    return render_template("labels/item.html", **_of(item, stale.current) | {"answer": answer, "comment": comment}), 409


@of_each(blueprint, "/{item}/small.svg", plain=True)
def picture(run: str, **where: str) -> Response:
    """The scores of an item's parts as small bars."""
    item = current_driftwatch().store.items.look(run_number(run), place_at(where))
    return thumbnail_file(render_template("labels/item_small.svg", item=item))


def thumbnail_file(svg: str) -> Response:
    """A small picture whose address changes with its content, so that browsers may keep it."""
    response = Response(svg, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = f"private, max-age={KEPT}, immutable"
    return response


def _of(item: Any, stale: Current | None = None) -> dict[str, Any]:
    subsystem, items = current_subsystem(), current_driftwatch().store.items
    asked = subsystem.questions(item.place)
    return labelling_context.WORDS | {
        "run": item.run,
        "place": item.place,
        "reader": label_words.reader_of(),
        "vocabulary": subsystem.vocabulary,
        "parts": [part for part in asked if part != WHOLE],
        "whole": WHOLE in asked,
        "neighbours": items.of_place(item.place, around=item.run, each_side=OTHER_RUNS),
        **labelling_context.of_item(item, stale),
    }


PLAIN = ItemPages("item.show", "item.picture", "item.find", show_again, ("labels/classes.js",))
