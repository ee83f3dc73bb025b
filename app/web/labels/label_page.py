"""`/eval/`: the queue of the least certain chambers, and what its buttons do where there are no scripts.

With scripts the page does the same by the API, without loading itself again: see
`app.web.api.labelling` and `static/labels/label.js`.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from flask import Blueprint, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as AnyResponse

from app.domain.labels import MOST_SEQ, Seen
from app.domain.run_numbers import run_number
from app.errors import InvalidInput
from app.given import in_utc
from app.labelling.labels import StaleLabel
from app.labelling.queue import NothingLeft
from app.subsystems.dt.web import chamber_page as chamber_page
from app.web.labels.queue_options import Wish
from app.web.shared import display, fields
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("label", __name__, url_prefix="/eval")


@blueprint.get("/")
def start() -> ResponseReturnValue:
    """Where a shift begins: at the chamber that one holds and that no tab shows, else at the button that gets one."""
    if not person().may("label") or any(name in request.args for name in chamber_page.FORM):
        return chamber_page.load()
    if held := current_driftwatch().labelling.held_by(person().name, in_any_tab=False):
        return redirect(display.chamber_url(held[0].item.run, held[0].item.place), 303)
    return _start_page()


@blueprint.post("/next")
@needs("label")
def next_chamber() -> AnyResponse | tuple[str, int]:
    """Claim one as the form says, and remember what it says."""
    wish = Wish.read(request.form)
    shown = _next(wish)
    return wish.remember(current_app.make_response(shown))


@blueprint.post("/<run>/<wheel>/<sector>/<station>/label")
@needs("label")
def submit(run: str, wheel: str, sector: str, station: str) -> AnyResponse | tuple[str, int]:
    """Keep a label or a skip, and go to the next chamber; where somebody else was faster, show both."""
    form = request.form
    number, chamber = run_number(run), fields.chamber(wheel, sector, station)
    bad = [fields.whole_number(layer) for layer in form.getlist("bad")]
    skipped = form.get("action") == "skip"
    seen = Seen(fields.number_in("seq", range(MOST_SEQ + 1))(form.get("seq", "")), form.get("model", ""), _time(form))
    try:
        current_driftwatch().labelling.submit(
            person().name,
            number,
            chamber,
            [] if skipped else bad,
            form.get("key", ""),
            seen,
            reason=form.get("reason", "") if skipped else None,
            comment=form.get("comment", ""),
        )
    except StaleLabel as stale:
        return chamber_page.show_again(number, chamber, stale, bad, form.get("comment", ""))
    return _next(Wish.remembered())


@blueprint.post("/undo/<label_id>")
@needs("label")
def undo(label_id: str) -> AnyResponse:
    """Withdraw a label of one's own, and show its chamber."""
    undone = current_driftwatch().labelling.undo(person().name, label_id, str(uuid.uuid4())).event
    return redirect(display.chamber_url(undone.run, undone.place), 303)


@blueprint.get("/mine/")
@needs("label")
def mine() -> str:
    """The strip of one's last labels, for the page that shows it."""
    return render_template("labels/label_mine.html", mine=chamber_page.my_last(), **chamber_page.WORDS)


def _next(wish: Wish) -> AnyResponse | tuple[str, int]:
    claimed = current_driftwatch().labelling.claim(
        person().name, wish.strategy, wish.run, wish.wheel, leave_out_known=wish.leave_out_known
    )
    if isinstance(claimed, NothingLeft):
        return _start_page(claimed)
    return redirect(display.chamber_url(claimed.item.run, claimed.item.place), 303)


def _start_page(nothing: NothingLeft | None = None) -> tuple[str, int]:
    return render_template("labels/label_start.html", nothing=nothing, **chamber_page.for_labelling()), 200


def _time(form: dict[str, str]) -> datetime | None:
    text = form.get("scored_at", "")
    try:
        return in_utc(datetime.fromisoformat(text)) if text else None
    except ValueError:
        raise InvalidInput("scored_at", text, "a time with its zone, as ISO 8601 has it") from None
