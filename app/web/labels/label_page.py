"""`/eval/`: the queue of the least certain items, and what its buttons do without scripts.

With scripts the page does the same through the API, without reloading: see
`app.web.api.labelling` and `static/labels/label.js`.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as AnyResponse

from app.domain.labels import MOST_SEQ, Seen
from app.domain.run_numbers import run_number
from app.errors import InvalidInput
from app.given import in_utc
from app.labelling.labels import StaleLabel
from app.labelling.queue import NothingLeft
from app.web.labels import item_page, labelling_context
from app.web.labels.queue_options import QueueOptions
from app.web.shared import display, fields
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.item_routes import of_each, place_at

blueprint = Blueprint("label", __name__, url_prefix="/eval")


@blueprint.get("/")
def start() -> ResponseReturnValue:
    """The start of a shift: the item that the user holds and no tab shows, or the button that claims one."""
    if not person().may("label") or any(name in request.args for name in ("run", *current_subsystem().path)):
        find: Any = current_app.view_functions[item_page.pages().find]
        return find()
    if held := current_driftwatch().labelling.held_by(person().name, in_any_tab=False):
        return redirect(display.item_url(held[0].item.run, held[0].item.place), 303)
    return _start_page()


@blueprint.post("/next")
@needs("label")
def next_item() -> AnyResponse | tuple[str, int]:
    """Claim an item with the options of the form, and remember the options."""
    options = QueueOptions.read(request.form)
    shown = _next(options)
    return options.remember(current_app.make_response(shown))


@of_each(blueprint, "/{item}/label", methods=["POST"])
@needs("label")
def submit(run: str, **where: str) -> AnyResponse | tuple[str, int]:
    """Store a label or a skip, and go to the next item; if somebody else was faster, show both."""
    form = request.form
    number, place = run_number(run), place_at(where)
    skipped = form.get("action") == "skip"
    answer = {} if skipped else item_page.read_answer()
    seen = Seen(fields.number_in("seq", range(MOST_SEQ + 1))(form.get("seq", "")), form.get("model", ""), _time(form))
    try:
        current_driftwatch().labelling.submit(
            person().name,
            number,
            place,
            answer,
            form.get("key", ""),
            seen,
            reason=form.get("reason", "") if skipped else None,
            comment=form.get("comment", ""),
        )
    except StaleLabel as stale:
        given = current_subsystem().check_answer("bad", answer, place)
        return item_page.pages().show_again(number, place, stale, given, form.get("comment", ""))
    return _next(QueueOptions.remembered())


@blueprint.post("/undo/<label_id>")
@needs("label")
def undo(label_id: str) -> AnyResponse:
    """Withdraw one's own label, and show its item."""
    undone = current_driftwatch().labelling.undo(person().name, label_id, str(uuid.uuid4())).event
    return redirect(display.item_url(undone.run, undone.place), 303)


@blueprint.get("/mine/")
@needs("label")
def mine() -> str:
    """The strip of the user's latest labels, for the script of the page."""
    return render_template("labels/label_mine.html", mine=labelling_context.my_last(), **labelling_context.WORDS)


def _next(options: QueueOptions) -> AnyResponse | tuple[str, int]:
    claimed = current_driftwatch().labelling.claim(
        person().name, options.strategy, options.run, options.in_place, leave_out_known=options.leave_out_known
    )
    if isinstance(claimed, NothingLeft):
        return _start_page(claimed)
    return redirect(display.item_url(claimed.item.run, claimed.item.place), 303)


def _start_page(nothing: NothingLeft | None = None) -> tuple[str, int]:
    return render_template("labels/label_start.html", nothing=nothing, **labelling_context.for_labelling()), 200


def _time(form: dict[str, str]) -> datetime | None:
    text = form.get("scored_at", "")
    try:
        return in_utc(datetime.fromisoformat(text)) if text else None
    except ValueError:
        raise InvalidInput("scored_at", text, "a time with its zone, as ISO 8601 has it") from None
