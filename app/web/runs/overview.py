"""`/`: the newest run, or another, as a picture of its items. The full results are on the run's own page."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from app.domain.run_numbers import run_number
from app.domain.runs import RunState
from app.errors import InvalidInput, NotFound
from app.web.labels.label_words import reader_of
from app.web.runs.run_page import in_other_subsystems
from app.web.runs.run_report import RunReport
from app.web.shared.application import current_driftwatch
from app.web.shared.fields import Fields

WORST = 12  # items in the list next to the picture
RECENT = 8  # links to other runs

blueprint = Blueprint("overview", __name__)


@blueprint.get("/")
def index() -> tuple[str, int]:
    driftwatch = current_driftwatch()
    runs = driftwatch.store.runs
    fields = Fields(request.args)
    wanted = fields.read("run", run_number, None)
    busy = sorted(runs.busy(), key=lambda run: run.number)
    recent = runs.find(RunState.FINISHED, limit=RECENT, together=True)
    run = None
    try:
        run = runs.get(wanted) if wanted else next(iter(recent), None)
    except NotFound:
        fields.refuse(InvalidInput("run", wanted, "the number of a run that is loaded"))
    report = RunReport(run, driftwatch.store.items.of_run(run.number)) if run else None
    picture = driftwatch.subsystem.views().run_picture
    status = 404 if wanted and not run else fields.status
    return render_template(
        "runs/overview.html",
        fields=fields,
        wanted=wanted,
        run=run,
        busy=[other for other in busy if other.state is not RunState.DELETING],
        recent=recent,
        picture=picture,
        map=picture.make(run, report.items, next(iter(picture.views)), reader_of(), None)
        if picture and report and report.items
        else None,
        any_items=bool(report and report.items),
        in_other_subsystems=in_other_subsystems(run.number) if run else [],
        worst=report.bad[:WORST] if report else [],
        counts=report.counts if report else {},
        any_runs=bool(recent or busy) or runs.any(),
    ), status
