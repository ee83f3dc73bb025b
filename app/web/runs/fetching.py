"""`/fetch/`: request runs, follow them, and delete them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.items import Item, ItemQuery, ItemState
from app.domain.run_numbers import run_number, run_numbers
from app.domain.runs import Run, RunState
from app.errors import Conflict, InvalidInput
from app.store.runs import Runs
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch
from app.web.shared.display import STATE_WORDS
from app.web.shared.fields import Fields, number_in, one_of
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES, ListPage, read_size

MOST_MISSING = 50  # items listed below a run; the list of scores has all of them

blueprint = Blueprint("runs", __name__, url_prefix="/fetch")


@blueprint.get("/")
def index() -> tuple[str, int]:
    return _page()


@blueprint.post("/")
@needs("fetch")
def ask() -> ResponseReturnValue:
    """Fetch runs; complete ones stay as they are."""
    written = request.form.get("runs", "")
    try:
        numbers = run_numbers(written, field="runs")
    except InvalidInput as error:
        return _page(written, f"{error.value} is not possible here: it must be {error.accepted}.", 400)
    asked, again = [], request.form.get("again") == "true"
    for number in numbers:
        try:
            asked.append(current_driftwatch().ask_for_run(number, by=person().name, again=again))
        except Conflict as error:
            return _page(written, str(error), error.status)
    complete = sum(current_driftwatch().is_complete(run) for run in asked)
    note: dict[str, Any] = {"queued": len(asked) - complete, "complete": complete}
    return redirect(url_for(".index", sort="requested_at", **note), 303)


@blueprint.get("/<run>/delete")
@needs("delete_run")
def confirm(run: str) -> str:
    """Ask for confirmation before deleting a run."""
    return render_template("runs/runs_delete.html", run=current_driftwatch().store.runs.get(run_number(run)))


@blueprint.post("/<run>/delete")
@needs("delete_run")
def delete(run: str) -> ResponseReturnValue:
    """Delete a run."""
    current_driftwatch().delete_run(run_number(run), by=person().name)
    return redirect(url_for(".index"), 303)


def _page(written: str = "", error: str = "", status: int = 200) -> tuple[str, int]:
    """The page, with the values of the form and its errors."""
    fields = Fields(request.args)
    state = fields.read("state", one_of("state", {str(state): state for state in RunState}), None)
    sort, descending = read_sort(fields, Runs.SORTS, "number", lambda sort: True)
    size = read_size(fields)
    runs = current_driftwatch().store.runs
    count = runs.count(state)
    page = ListPage.read(fields, size, count)
    found = [] if fields.errors else runs.find(state, sort, descending, page.skip, page.size)
    note = {name: fields.read(name, number_in(name, range(10_000)), 0) for name in ("queued", "complete")}
    return render_template(
        "runs/runs.html",
        fields=fields,
        written=written,
        error=error,
        state=state,
        states=list(STATE_WORDS.items()),
        sort=sort,
        descending=descending,
        page=page,
        sizes=SIZES,
        runs=found,
        missing=_missing(found),
        active=current_driftwatch().model,
        polls=bool(current_driftwatch().settings.dqm_poll_minutes),
        note=note,
        any_runs=bool(count) or runs.any(),
    ), max(status, fields.status)


def _missing(runs: Sequence[Run]) -> dict[int, list[Item]]:
    """run → the first of its missing items."""
    driftwatch = current_driftwatch()
    model = driftwatch.model
    missing = frozenset({ItemState.MISSING})
    return {
        run.number: driftwatch.store.lists.find(ItemQuery(model, missing, run=run.number, sort="run"), 0, MOST_MISSING)
        for run in runs
        if run.missing
    }
