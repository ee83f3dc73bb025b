"""The import and export part of the API: the same as `/data/`."""

from __future__ import annotations

import shutil

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.domain.run_numbers import run_range
from app.errors import Conflict
from app.store.imports import WRONG, CheckedRow, Import, ImportState, Outcome
from app.transfer import bounds
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import Asked, ErrorOut
from app.web.data.transfer_page import MOST_ITEMS, checked, exported, sent
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("transfer", __name__)

MOST_ROWS = 1_000  # per response; the page and the command have all

Runs = Field(None, description="only these runs: '302634-302640', or one")


class ExportQuery(Asked):
    format: str = Field("jsonl", description="csv, jsonl or parquet")
    runs: str | None = Runs


class GoodRunsQuery(Asked):
    runs: str | None = Runs
    most_bad: int | None = Field(
        None, ge=0, le=MOST_ITEMS, description="items that a good run may have bad; 5 % of all, if not given"
    )


class ImportQuery(Asked):
    name: str = Field("file", min_length=1, max_length=100, description="of the file, for the record")
    dry_run: bool = Field(False, description="only say what would be done")
    keep_going: bool = Field(False, description="import the good rows though others are bad or in conflict")


class CheckedRowOut(BaseModel):
    """A row of a file, and what an import does with it."""

    kind: str
    file: str
    line: int = Field(description="line, row or object, from 1")
    outcome: Outcome
    title: str = Field(description="what it is of")
    why: str = Field(description="what is wrong")

    @classmethod
    def of(cls, row: CheckedRow) -> CheckedRowOut:
        return cls.model_validate(row, from_attributes=True)


class ImportOut(BaseModel):
    """The result of an import, or of a dry run."""

    file: str
    state: ImportState
    counts: dict[str, dict[str, int]] = Field(description="kind → outcome → rows")
    rows: list[CheckedRowOut] = Field(description="the first 1,000: of a dry run all, else those that are wrong")

    @classmethod
    def of(cls, found: Import, rows: list[CheckedRow]) -> ImportOut:
        listed = [CheckedRowOut.of(row) for row in rows]
        return cls(file=found.file, state=found.state, counts=found.counts, rows=listed)


@blueprint.get("/export/<kinds>")
@needs("export")
@spec.validate(resp=Answers("HTTP_200", HTTP_503=ErrorOut, **REFUSED), tags=["data"])
def export(kinds: str, query: ExportQuery) -> Response:
    """Export runs, histograms, models, thresholds, labels, scores, past_scores, problems; several with commas, or all.

    Or training-2018, the format of the study of 2018.

    One kind as JSON Lines or Parquet is one file; CSV, and several kinds, are a zip with a manifest.
    """
    runs = run_range(query.runs) if query.runs else None
    return sent(exported(kinds.split(","), query.format, runs))


@blueprint.get("/good-runs")
@needs("export")
@spec.validate(resp=Answers("HTTP_200", HTTP_503=ErrorOut, **REFUSED), tags=["data"])
def good_runs(query: GoodRunsQuery) -> Response:
    """The numbers of the good runs."""
    runs = run_range(query.runs) if query.runs else None
    return Response(current_driftwatch().exporting.good_runs(runs, query.most_bad), mimetype="application/json")


@blueprint.post("/import")
@needs("import_data")
@spec.validate(
    resp=Answers(HTTP_200=ImportOut, HTTP_409=ErrorOut, HTTP_413=ErrorOut, HTTP_503=ErrorOut, **REFUSED), tags=["data"]
)
def import_file(query: ImportQuery) -> ImportOut:
    """Import the file in the request body; existing data is never changed.

    If a row is bad or in conflict with existing data, nothing is imported: 409 names the first such row, and a dry run
    all of them.
    """
    request.max_content_length = bounds.ON_PAGE.file
    driftwatch = current_driftwatch()
    found = checked(query.name, lambda file: shutil.copyfileobj(request.stream, file))
    imports = driftwatch.store.imports
    try:
        if query.dry_run:
            return ImportOut.of(found, list(imports.rows(found.id, limit=MOST_ROWS)))
        wrong = [row for one in sorted(WRONG) for row in imports.rows(found.id, one, limit=MOST_ROWS)][:MOST_ROWS]
        if wrong and not query.keep_going:
            first = min(wrong, key=lambda row: row.line)
            raise Conflict(f"Nothing was imported: {first.file} line {first.line}: {first.why}")
        return ImportOut.of(driftwatch.importing.write(found.id, person().name, query.keep_going), wrong)
    finally:
        imports.discard(found.id)
