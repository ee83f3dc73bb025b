"""`/progress/`: progress of the labelling, and the summary of a shift for the logbook."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import attrgetter

from flask import Blueprint, render_template, request

from app.domain.shift_summary import Shift, markdown
from app.errors import InvalidInput
from app.store.labels import LabelQuery
from app.web.labels.label_words import reader_of
from app.web.review.agreement import disputes
from app.web.shared.access import person
from app.web.shared.application import current_driftwatch
from app.web.shared.fields import Fields, moment
from app.web.shared.ordering import ordered, read_order

SHIFT = timedelta(hours=8)
MOST_EVENTS = 5_000  # per summary: two people doing one item every ten seconds for a shift
MOST_DISPUTES = 50
# The sort columns of the two tables.
RUNS = {f"run_{name}": attrgetter(name) for name in ("run", "judged", "labelled", "uncertain_left")} | {
    "run_share": lambda run: run.labelled / run.judged if run.judged else None
}
PEOPLE = {f"person_{name}": attrgetter(name) for name in ("name", "today", "total", "agreement", "compared")}

blueprint = Blueprint("progress", __name__, url_prefix="/progress")


@blueprint.get("/")
def index() -> tuple[str, int]:
    driftwatch = current_driftwatch()
    fields = Fields(request.args)
    now = datetime.now(UTC)
    until = fields.read("until", moment("until", ends=True), now)
    since = fields.read("since", moment("since"), until - SHIFT)
    if since >= until and not fields.errors:
        fields.refuse(
            InvalidInput("until", fields.given.get("until", f"{until:%Y-%m-%d %H:%M}"), "later than the start")
        )
    sort, descending = read_order(fields, RUNS, PEOPLE)
    progress = driftwatch.labelling.progress(person().name)
    summary = "" if fields.errors else _summary(since, until, progress.uncertain_left)
    return render_template(
        "labels/progress.html",
        fields=fields,
        progress=progress,
        runs=ordered(progress.runs, RUNS, sort, descending),
        people=ordered(progress.people, PEOPLE, sort, descending),
        sort=sort,
        descending=descending,
        uncertain_below=driftwatch.settings.uncertain_below,
        summary=summary,
        since=f"{since:%Y-%m-%d %H:%M}",
        until=f"{until:%Y-%m-%d %H:%M}",
    ), fields.status


def _summary(since: datetime, until: datetime, uncertain_left: int) -> str:
    driftwatch, reader = current_driftwatch(), reader_of()
    query = LabelQuery(since=since, until=until, withdrawn=False, sort="at", descending=False)
    found = driftwatch.store.labels.find(query, 0, MOST_EVENTS + 1)
    reader.look_up(found[:MOST_EVENTS])
    events = [event for event in found[:MOST_EVENTS] if not reader.hides(event)]
    shift = Shift(
        since=since,
        until=until,
        events=events,
        hidden=len(found[:MOST_EVENTS]) - len(events),
        more=len(found) > MOST_EVENTS,
        disputes=disputes(driftwatch, 0, MOST_DISPUTES),
        uncertain_left=uncertain_left,
        uncertain_below=driftwatch.settings.uncertain_below,
        model=driftwatch.model,
        item=driftwatch.subsystem.item,
        part=driftwatch.subsystem.part,
    )
    return markdown(shift, driftwatch.subsystem.place_name)
