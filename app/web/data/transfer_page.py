"""`/data/`: export and import of files. The same as `flask export` and `flask import`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO

from flask import Blueprint, Response, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue

from app.domain.run_numbers import run_range
from app.errors import FileTooLarge, InvalidInput
from app.store.imports import WRONG, Import, Outcome
from app.transfer import bounds
from app.transfer.exporting import Export
from app.transfer.good_runs import usual_most_bad
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.fields import Fields, number_in, one_of
from app.web.shared.item_lists import refuse_wrong
from app.web.shared.paging import SIZES, ListPage, read_size

MOST_ITEMS = 100_000  # of a run
FORMAT_WORDS = {"csv": "CSV, in a zip", "jsonl": "JSON Lines", "parquet": "Parquet"}
OUTCOME_WORDS = {
    Outcome.BAD: "cannot be used",
    Outcome.CONFLICT: "in conflict with what is there",
    Outcome.NEW: "new",
    Outcome.SAME: "there already",
}
OUTCOME_SHAPES = {Outcome.BAD: "bad", Outcome.CONFLICT: "missing", Outcome.NEW: "waiting", Outcome.SAME: "good"}

blueprint = Blueprint("transfer", __name__, url_prefix="/data")


@blueprint.get("/")
def index() -> tuple[str, int]:
    return _page(Fields(request.args))


@blueprint.get("/export")
@needs("export")
def export() -> Response | tuple[str, int]:
    """The requested kinds as a file."""
    fields = Fields(request.args)
    runs = fields.read("runs", run_range, None)
    form = fields.read("format", one_of("format", dict(zip(FORMAT_WORDS, FORMAT_WORDS, strict=True))), "csv")
    kinds = request.args.getlist("kind")
    if not kinds:
        fields.errors["kind"] = "Choose at least one kind."
    if fields.errors:
        return _page(fields)
    try:
        return sent(exported(kinds, form, runs))
    except InvalidInput as error:
        fields.refuse(error)
        return _page(fields)


@blueprint.get("/good-runs.json")
@needs("export")
def good_runs() -> Response:
    """The good runs."""
    fields = Fields(request.args)
    runs = fields.read("runs", run_range, None)
    most_bad = fields.read("most_bad", number_in("most_bad", range(MOST_ITEMS + 1)), None)
    refuse_wrong(fields)
    headers = {"Content-Disposition": 'attachment; filename="driftwatch-good-runs.json"'}
    found = current_driftwatch().exporting.good_runs(runs, most_bad)
    return Response(found, mimetype="application/json", headers=headers)


@blueprint.post("/import")
@needs("import_data")
def check() -> ResponseReturnValue:
    """Check an uploaded file, and show what an import would do."""
    request.max_content_length = bounds.ON_PAGE.file
    fields, file = Fields({}), request.files.get("file")
    if file is None or not file.filename:
        fields.errors["file"] = "Choose a file."
        return _page(fields)
    try:
        found = checked(file.filename, file.save)
    except (InvalidInput, FileTooLarge) as error:
        fields.errors["file"] = str(error)
        return _page(fields)
    return redirect(url_for(".show", import_id=found.id), 303)


@blueprint.get("/import/<import_id>/")
@needs("import_data")
def show(import_id: str) -> tuple[str, int]:
    """What an import of a file would do, line by line, or has done."""
    imports, found = current_driftwatch().store.imports, current_driftwatch().importing.find(import_id)
    fields = Fields(request.args)
    outcome = fields.read("outcome", one_of("outcome", {str(one): one for one in Outcome}), None)
    size = read_size(fields)
    count = found.total(*([outcome] if outcome else Outcome)) if found.waits else 0
    page = ListPage.read(fields, size, count)
    return render_template(
        "data/import.html",
        found=found,
        fields=fields,
        rows=[] if fields.errors or not count else list(imports.rows(import_id, outcome, page.skip, size)),
        outcome=outcome,
        outcomes=OUTCOME_WORDS,
        shapes=OUTCOME_SHAPES,
        wrong=found.total(*WRONG),
        new=found.total(Outcome.NEW),
        page=page,
        sizes=SIZES,
    ), fields.status


@blueprint.post("/import/<import_id>/write")
@needs("import_data")
def write(import_id: str) -> ResponseReturnValue:
    """Import the new rows of a checked file."""
    keep_going = request.form.get("keep_going") == "true"
    current_driftwatch().importing.write(import_id, person().name, keep_going)
    return redirect(url_for(".show", import_id=import_id), 303)


@blueprint.post("/import/<import_id>/discard")
@needs("import_data")
def discard(import_id: str) -> ResponseReturnValue:
    """Discard a checked file."""
    current_driftwatch().importing.discard(import_id)
    return redirect(url_for(".index"), 303)


def exported(kinds: list[str], form: str, runs: tuple[int, int] | None) -> Export:
    """An export for the current user, with what they may see."""
    who = person()
    return current_driftwatch().exporting.export(kinds, form, who.name, runs, whole=who.may("import_data"))


def sent(export: Export) -> Response:
    """An export as a streamed response; the first piece is generated before anything is sent."""
    pieces: Iterator[bytes] = chain([next(export.pieces)], export.pieces)
    headers = {"Content-Disposition": f'attachment; filename="{export.name}"', "Cache-Control": "private, no-cache"}
    return Response(stream_with_context(pieces), mimetype=export.mimetype, headers=headers)


def checked(name: str, save: Callable[[IO[bytes]], object]) -> Import:
    """Check an uploaded file.

    Args:
        name: its original name.
        save: writes it to a file of ours that has no name and so vanishes with this process.
    """
    is_gone = request.environ.get("waitress.client_disconnected", lambda: False)
    with tempfile.TemporaryFile() as file:
        save(file)
        importing, by = current_driftwatch().importing, person().name
        return importing.check_file(file, name[:100], by, bounds.ON_PAGE, is_wanted=lambda: not is_gone())


def _page(fields: Fields) -> tuple[str, int]:
    exporting = current_driftwatch().exporting
    chosen = request.args.getlist("kind") or (["scores", "labels"] if not request.args else [])
    return render_template(
        "data/data.html",
        fields=fields,
        kinds=list(exporting.kinds.values()),
        chosen=chosen,
        formats=list(FORMAT_WORDS.items()),
        own=current_driftwatch().subsystem.own_format,
        most_bad=usual_most_bad(current_subsystem()),
        bounds=bounds.ON_PAGE,
    ), fields.status
