"""The commands about runs and servers (`flask fetch`, `runs`, `delete`, `demo-dqm`, `serve`); registers all commands.

Commands share the pages' use cases and database, and work whether or not the pages are being served.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app

from app.cli.accounts import users_group
from app.cli.command import LOOK_SECONDS, Number, Whole, acting, command
from app.cli.drift import drift
from app.cli.models import (
    evaluate_model,
    evaluate_saliency,
    learning_curve,
    models_group,
    score,
    simulate_labelling,
    train,
)
from app.cli.reevaluations import reevaluate, reevaluations_group
from app.cli.transfer import export, import_file
from app.domain.run_numbers import run_numbers
from app.domain.runs import Run, RunState
from app.driftwatch import Driftwatch
from app.errors import InvalidInput, NotFound
from app.web.api.schemas import RunOut


def init_app(app: Flask) -> None:
    of_models = (score, train, evaluate_model, evaluate_saliency, simulate_labelling, learning_curve, models_group)
    for one in (
        fetch,
        list_runs,
        delete,
        drift,
        reevaluate,
        reevaluations_group,
        *of_models,
        export,
        import_file,
        users_group,
        demo_dqm,
        serve,
    ):
        app.cli.add_command(one)


# --- runs ---


@command("fetch")
@click.argument("runs", nargs=-1)
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until the runs are fetched and scored; do the work here if no other process does.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Read the runs from this DQM ROOT file instead of the server, and wait.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Fetch all of RUNS again; stored histograms stay unless the new ones have at least as many hits.",
)
def fetch(driftwatch: Driftwatch, runs: tuple[str, ...], wait: bool, root: Path | None, again: bool) -> None:
    """Fetch and score RUNS, such as 302634-302640 305000. Of runs that are already there, only what is missing.

    A run is only continued from the source it was first fetched from. A run that may have been fetched before its end
    is fetched again completely.

    The exit status is 1 if --wait was given and a run failed or is not on the server.
    """
    by = acting(driftwatch, "fetch")
    if root and again:
        raise click.UsageError("--again cannot be combined with --root: the contents of a file do not change.")
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
            click.echo(f"run {run.number}: requested; a running `flask serve` fetches it (or use --wait)")


def _fetch_root(driftwatch: Driftwatch, runs: tuple[str, ...], path: Path, by: str) -> None:
    from app.subsystems.dt.sources.rootfile import RootFile

    file = RootFile(path)
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
    while (run := driftwatch.store.runs.get(number)).busy:
        if sys.stderr.isatty():
            click.echo(f"\r{_sentence(run)}\033[K", nl=False, err=True)
        if not driftwatch.store.jobs.active(number):  # it, or its process, ended between two polls
            driftwatch.reconcile_runs()
            driftwatch.runner.also([job.id for job in driftwatch.store.jobs.active(number)])
        time.sleep(LOOK_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    click.echo(_sentence(run))
    return run


def _finish(runs: list[Run]) -> None:
    """Exit with status 1 unless all runs succeeded."""
    if any(run.state is not RunState.FINISHED for run in runs):
        raise click.exceptions.Exit(1)
    raise click.exceptions.Exit(0)


@command("runs")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, as in the API.")
def list_runs(driftwatch: Driftwatch, as_json: bool) -> None:
    """List the requested runs, newest first."""
    acting(driftwatch, "view")
    found, page = 0, 100
    while batch := driftwatch.store.runs.find(skip=found, limit=page):
        for run in batch:
            click.echo(RunOut.of(run).model_dump_json() if as_json else _sentence(run))
        found += len(batch)
    if not found and not as_json:
        click.echo("No run was requested yet. Try: flask fetch 302635 --wait", err=True)


@command("delete")
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(driftwatch: Driftwatch, run: str, yes: bool) -> None:
    """Delete RUN with its histograms and scores, and stop jobs that work on it. At a terminal, asks first."""
    by = acting(driftwatch, "delete_run")
    (number,) = run_numbers(run)
    known = driftwatch.store.runs.get(number)
    if not yes and _at_a_terminal():
        click.confirm(f"Delete {_sentence(known)}?", abort=True)
    job = driftwatch.delete_run(number, by=by)
    driftwatch.start(only=[job.id])
    while driftwatch.store.jobs.get(job.id).active:
        time.sleep(LOOK_SECONDS)
    try:
        driftwatch.store.runs.get(number)
    except NotFound:
        click.echo(f"run {number}: deleted")
    else:
        raise click.ClickException(
            f"run {number} could not be deleted; it stays marked for deletion, and this is retried"
        )


def _sentence(run: Run) -> str:
    words = {RunState.NOT_FOUND: "not found on the server", RunState.FAILED: "stopped"}.get(run.state, str(run.state))
    parts = [f"run {run.number}{' (simulated)' if run.simulated else ''}: {words}"]
    if run.state is RunState.FETCHING:
        left = f", {run.seconds_left:.0f} s left" if run.seconds_left is not None else ""
        parts.append(f"{run.done + run.missing} of {run.total} chambers{left}")
    elif run.done:
        parts.append(f"{run.done} chambers, {run.summary.get('bad_items', 0)} look bad ({run.model})")
    if run.missing:
        parts.append(f"{run.missing} missing ({', '.join(f'{n} {reason}' for reason, n in run.reasons.items())})")
    if run.unsettled:
        parts.append("may have been fetched before its end")
    return ", ".join(parts) + (f": {run.why}" if run.why else "")


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


# --- servers ---


@command("demo-dqm")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=Whole(0, 65_535), default=8081, show_default=True, help="0 takes a free one.")
@click.option(
    "--latency", type=Number(), default=0.0, show_default=True, help="Seconds between a request and its reply."
)
@click.option(
    "--jitter", type=Number(), default=0.0, show_default=True, help="Random delay of up to this many further seconds."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=SHARE[:TRIES]]",
    help="Let this share of the chambers fail in this way, for a number of tries or for ever; repeatable. "
    "An unknown kind lists all kinds.",
)
@click.option("--until-stdin-ends", is_flag=True, hidden=True)
def demo_dqm(
    driftwatch: Driftwatch,
    host: str,
    port: int,
    latency: float,
    jitter: float,
    faults: tuple[str, ...],
    until_stdin_ends: bool,
) -> None:
    """Serve simulated runs as the DQM server does. First prints its base URL, for DQM_URL."""
    from app.subsystems.dt.sources.demo import DemoOptions, DemoServer, Fault

    options = DemoOptions(latency=latency, jitter=jitter, faults=tuple(Fault.parse(fault) for fault in faults))
    server = DemoServer(options, host, port)
    click.echo(server.url)

    def stop_when_stdin_ends() -> None:
        sys.stdin.read()
        server.stop()

    if until_stdin_ends:
        threading.Thread(target=stop_when_stdin_ends, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()


@command("serve")
def serve(driftwatch: Driftwatch) -> None:
    """Serve the pages and do the work in the background, until Ctrl-C."""
    from app.serving import serve_until_told

    app: Any = current_app  # stands for it
    serve_until_told(app._get_current_object())
