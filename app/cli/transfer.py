"""The commands for export and import: `flask export`, `flask import`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from app.cli.command import Whole, acting, command
from app.domain.run_numbers import run_range
from app.driftwatch import Driftwatch
from app.errors import InvalidInput
from app.store.imports import WRONG, CheckedRow, Import, Outcome
from app.transfer.good_runs import MOST_BAD, read_lumisections

GOOD_RUNS = "good-runs"
NAME_OF_OUTCOME = {
    Outcome.NEW: "new",
    Outcome.SAME: "the same is there",
    Outcome.CONFLICT: "in conflict",
    Outcome.BAD: "bad",
}


@command("export")
@click.argument("kinds", nargs=-1, required=True, metavar="KIND…")
@click.option("--out", "path", type=click.Path(path_type=Path), required=True, help="File to write; - for the output.")
@click.option("--format", "form", default="jsonl", show_default=True, help="csv, jsonl or parquet.")
@click.option("--runs", metavar="FIRST-LAST", help="Only of these runs.")
@click.option(
    "--most-bad", type=Whole(), help=f"Largest number of bad items in a good run; {MOST_BAD:.0%} of all by default."
)
@click.option(
    "--lumisections",
    type=click.Path(path_type=Path),
    help='For good-runs: JSON file of the lumisections of each run, {"302635": [[1, 35]]}.',
)
def export(
    driftwatch: Driftwatch,
    kinds: tuple[str, ...],
    path: Path,
    form: str,
    runs: str | None,
    most_bad: int | None,
    lumisections: Path | None,
) -> None:
    """Write what is kept to a file that other programs read, and that `flask import` reads back.

    KIND is one or more of runs, histograms, models, thresholds, labels, scores, past_scores, problems; or all; or
    training-2018, the format of the study of 2018; or good-runs, as JSON: the good lumisections of each run where
    --lumisections gives them, else a list of runs. Several kinds, and CSV, become a zip with a manifest.
    """
    by = acting(driftwatch, "export")
    between = run_range(runs) if runs else None
    if kinds == (GOOD_RUNS,):
        known = read_lumisections(lumisections) if lumisections else None
        _write(path, [driftwatch.exporting.good_runs(between, most_bad, known)])
        return
    if lumisections or most_bad is not None:
        raise InvalidInput("kind", " ".join(kinds), f"{GOOD_RUNS}, with --lumisections and --most-bad")
    whole = driftwatch.accounts.at_console(by).may("import_data")
    _write(path, driftwatch.exporting.export(kinds, form, by, between, whole).pieces)


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file, which gets its name only when it is complete."""
    if str(path) == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InvalidInput("--out", str(path), f"a file that can be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


@command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say, line by line, what would be done.")
@click.option("--keep-going", is_flag=True, help="Import the good rows though others are bad or in conflict.")
def import_file(driftwatch: Driftwatch, file: Path, dry_run: bool, keep_going: bool) -> None:
    """Add what is in FILE to the database: what `flask export` wrote, or the training format of 2018.

    Nothing that is there is changed. All of FILE is checked first; if one row is bad, or something else stands in its
    place, nothing is imported and the exit status is 1.
    """
    by = acting(driftwatch, "import_data")
    checked = driftwatch.importing.check(file, file.name, by)
    imports = driftwatch.store.imports
    try:
        if dry_run:
            for row in imports.rows(checked.id):
                click.echo(_sentence(row))
        else:
            for outcome in sorted(WRONG):
                for row in imports.rows(checked.id, outcome):
                    click.echo(_sentence(row), err=True)
        wrong = checked.total(*WRONG)
        if dry_run or (wrong and not keep_going):
            click.echo(f"{_summary(checked)}. Nothing was imported.", err=bool(wrong))
            raise click.exceptions.Exit(1 if wrong else 0)
        done = driftwatch.importing.write(checked.id, by, keep_going)
        click.echo(f"{_summary(done)}. {done.total(Outcome.NEW):,} rows were imported.")
    finally:
        imports.discard(checked.id)


def _sentence(row: CheckedRow) -> str:
    where = f"{row.file} line {row.line}"
    return f"{where}: {NAME_OF_OUTCOME[row.outcome]}: {row.why or f'{row.kind}: {row.title}'}"


def _summary(checked: Import) -> str:
    counts = {words: checked.total(outcome) for outcome, words in NAME_OF_OUTCOME.items()}
    return ", ".join(f"{count:,} {words}" for words, count in counts.items() if count) or "There is no row in the file"
