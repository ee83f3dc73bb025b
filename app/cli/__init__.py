"""The commands: `flask fetch`, `runs`, `delete`, `serve`, those of the modules here, and those of the subsystems.

They use the same use cases and database as the pages, and work whether or not the pages are being served.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app

from app.cli.accounts import users_group
from app.cli.command import LOOK_SECONDS, OfEach, acting, command
from app.cli.drift import drift
from app.cli.models import evaluate_model, models_group, train
from app.cli.reevaluations import reevaluate, reevaluations_group
from app.cli.transfer import export, import_file
from app.domain.run_numbers import run_numbers
from app.domain.runs import Run, RunState
from app.driftwatch import Driftwatch
from app.errors import InvalidInput, NotFound
from app.web.api.schemas import RunOut


def init_app(app: Flask) -> None:
    of_runs = (fetch, list_runs, delete, drift, reevaluate, reevaluations_group)
    everything = (*of_runs, train, evaluate_model, models_group, export, import_file, users_group, serve)
    plain: dict[str, click.Command] = {one.name: one for one in everything}
    own: dict[str, dict[str, click.Command]] = {}  # command → subsystem → the subsystem's own command
    driftwatch: Driftwatch = app.extensions["driftwatch"]
    for name in driftwatch.subsystems:
        for one in driftwatch.of(name).subsystem.views().commands():
            own.setdefault(one.name, {})[name] = one
    for name in (*plain, *(own.keys() - plain)):
        its = own.get(name)
        app.cli.add_command(OfEach(name, plain.get(name), its, driftwatch.subsystems[0]) if its else plain[name])


# --- runs ---


@command("fetch")
@click.argument("runs", nargs=-1)
@click.option(
    "--wait", is_flag=True, help="Wait until the runs are fetched and scored, doing it here if nobody else does."
)
@click.option(
    "--root", type=click.Path(path_type=Path), help="Read the runs from this DQM ROOT file, not from the server; waits."
)
@click.option("--again", is_flag=True, help="Fetch all of RUNS, also what is there; that stays until there is more.")
def fetch(driftwatch: Driftwatch, runs: tuple[str, ...], wait: bool, root: Path | None, again: bool) -> None:
    """Fetch and score RUNS, such as 302634-302640 305000. Of a run that is there, only what is missing.

    A run is continued only from the source that it began with; of one that was perhaps still being taken when it was
    fetched, all is fetched again.

    Exit status 1 if --wait was given and a run failed or is not on the server.
    """
    by = acting(driftwatch, "fetch")
    if root and again:
        raise click.UsageError("--again cannot be combined with --root: what a file holds does not change.")
    if root:
        _fetch_root(driftwatch, runs, root, by)
    if not runs:
        raise click.UsageError("Name at least one run, such as 302635.")
    numbers = run_numbers(" ".join(runs))
    asked = [driftwatch.ask_for_run(number, by=by, again=again) for number in numbers]
    if wait:
        jobs = [job.id for number in numbers for job in driftwatch.store.jobs.active(number)]
        driftwatch.start(only=jobs)
        _finish([_wait_for(driftwatch, run.number) for run in asked])
    for run in asked:
        if driftwatch.is_complete(run):
            click.echo(f"run {run.number}: already there")
        else:
            click.echo(f"run {run.number}: requested; a Driftwatch that serves pages fetches it (or use --wait)")


def _fetch_root(driftwatch: Driftwatch, runs: tuple[str, ...], path: Path, by: str) -> None:
    open_file = driftwatch.subsystem.file
    if open_file is None:
        raise InvalidInput(
            "--root", str(path), f"left out: runs of the {driftwatch.subsystem.title} come from a server"
        )
    file = open_file(path)
    held = file.require_runs()
    numbers = run_numbers(" ".join(runs)) if runs else held
    if unknown := set(numbers) - set(held):
        raise InvalidInput("run", min(unknown), f"a run that {file.name} holds: {', '.join(map(str, held))}")
    driftwatch.start(only=[])
    for number in numbers:
        driftwatch.fetch_here(number, file, by=by)
    _finish([_wait_for(driftwatch, number) for number in numbers])


def _wait_for(driftwatch: Driftwatch, number: int) -> Run:
    """Show a run's progress until no job works on it any more."""
    item = driftwatch.subsystem.item
    while (run := driftwatch.store.runs.get(number)).busy:
        if sys.stderr.isatty():
            click.echo(f"\r{_sentence(run, item)}\033[K", nl=False, err=True)
        if not driftwatch.store.jobs.active(number):  # the job, or its process, ended between two polls
            driftwatch.reconcile_runs()
            driftwatch.runner.also([job.id for job in driftwatch.store.jobs.active(number)])
        time.sleep(LOOK_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    click.echo(_sentence(run, item))
    return run


def _finish(runs: list[Run]) -> None:
    """Exit with the status that says whether everything succeeded."""
    if any(run.state is not RunState.FINISHED for run in runs):
        raise click.exceptions.Exit(1)
    raise click.exceptions.Exit(0)


@command("runs")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as in the API.")
def list_runs(driftwatch: Driftwatch, as_json: bool) -> None:
    """List the requested runs, newest first."""
    acting(driftwatch, "view")
    found, page = 0, 100
    while batch := driftwatch.store.runs.find(skip=found, limit=page):
        for run in batch:
            click.echo(RunOut.of(run).model_dump_json() if as_json else _sentence(run, driftwatch.subsystem.item))
        found += len(batch)
    if not found and not as_json:
        click.echo("No run was requested yet. Try: flask fetch 302635 --wait", err=True)


@command("delete")
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(driftwatch: Driftwatch, run: str, yes: bool) -> None:
    """Delete RUN with its histograms and scores, stopping what works on it. Asks first where a person can answer."""
    by = acting(driftwatch, "delete_run")
    (number,) = run_numbers(run)
    known = driftwatch.store.runs.get(number)
    if not yes and _at_a_terminal():
        click.confirm(f"Delete {_sentence(known, driftwatch.subsystem.item)}?", abort=True)
    job = driftwatch.delete_run(number, by=by)
    driftwatch.start(only=[job.id])
    while driftwatch.store.jobs.get(job.id).active:
        time.sleep(LOOK_SECONDS)
    try:
        driftwatch.store.runs.get(number)
    except NotFound:
        click.echo(f"run {number}: deleted")
    else:
        raise click.ClickException(f"run {number} could not be deleted; it is marked, and will be tried again")


def _sentence(run: Run, item: str) -> str:
    words = {RunState.NOT_FOUND: "not found on the server", RunState.FAILED: "stopped"}.get(run.state, str(run.state))
    parts = [f"run {run.number}{' (simulated)' if run.simulated else ''}: {words}"]
    if run.state is RunState.FETCHING:
        left = f", {run.seconds_left:.0f} s left" if run.seconds_left is not None else ""
        parts.append(f"{run.done + run.missing} of {run.total} {item}s{left}")
    elif run.done:
        parts.append(f"{run.done} {item}s, {run.summary.get('bad_items', 0)} look bad ({run.model})")
    if run.missing:
        parts.append(f"{run.missing} missing ({', '.join(f'{n} {reason}' for reason, n in run.reasons.items())})")
    if run.unsettled:
        parts.append("perhaps still being taken when it was fetched")
    return ", ".join(parts) + (f": {run.why}" if run.why else "")


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


# --- serving ---


@command("serve", of_all=True)
def serve(driftwatch: Driftwatch) -> None:
    """Serve the pages and do the work in the background, until Ctrl-C."""
    from app.serving import serve_until_told

    app: Any = current_app  # a proxy
    serve_until_told(app._get_current_object())
