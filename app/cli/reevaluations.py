"""The commands about re-evaluations: `flask reevaluate`, `flask reevaluations`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from app.cli.command import LOOK_SECONDS, acting, command
from app.domain.run_numbers import run_numbers
from app.driftwatch import Driftwatch
from app.errors import NotFound
from app.store.reevaluations import Reevaluation, ReevaluationState
from app.web.api.reevaluation_schemas import ReevaluationOut

LISTED = 20


@command("reevaluate")
@click.argument("runs", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All loaded runs.")
@click.option("--wait", is_flag=True, help="Wait until it is over; do the work here if no other process does.")
def reevaluate(driftwatch: Driftwatch, runs: tuple[str, ...], every: bool, wait: bool) -> None:
    """Score RUNS, such as 302634-302640 305000, again with the active model, newest first.

    Scores that this model gave earlier are reused, not recomputed. The exit status is 1 if --wait was given and not
    all runs were scored.
    """
    by = acting(driftwatch, "reevaluate")
    if bool(runs) == every:
        raise click.UsageError("Name at least one run, such as 302635, or give --all.")
    asked = driftwatch.reevaluate(None if every else run_numbers(" ".join(runs)), by=by)
    if wait:
        asked = _wait_for(driftwatch, asked)
    click.echo(_sentence(asked))
    if wait and (asked.state is not ReevaluationState.DONE or asked.failed):
        raise click.exceptions.Exit(1)


@click.group("reevaluations")
def reevaluations_group() -> None:
    """Re-evaluations: show their progress; pause, resume or cancel the current one."""


@command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, as in the API.")
def list_reevaluations(driftwatch: Driftwatch, as_json: bool) -> None:
    """List the latest ones, newest first."""
    acting(driftwatch, "view")
    for one in driftwatch.store.reevaluations.newest(LISTED):
        click.echo(ReevaluationOut.of(one).model_dump_json() if as_json else _sentence(one))


@command("pause")
def pause(driftwatch: Driftwatch) -> None:
    """Start no further run."""
    _change(driftwatch, driftwatch.reevaluations.pause)


@command("resume")
def resume(driftwatch: Driftwatch) -> None:
    """Continue; a running `flask serve` does the work."""
    _change(driftwatch, driftwatch.reevaluations.resume)


@command("cancel")
def cancel(driftwatch: Driftwatch) -> None:
    """End it; finished runs stay as they are."""
    _change(driftwatch, driftwatch.reevaluations.cancel)


for _one in (list_reevaluations, pause, resume, cancel):
    reevaluations_group.add_command(_one)


def _change(driftwatch: Driftwatch, change: Callable[[str, str], Reevaluation]) -> None:
    by = acting(driftwatch, "reevaluate")
    opened = driftwatch.store.reevaluations.opened()
    if opened is None:
        raise NotFound("No re-evaluation is under way.")
    click.echo(_sentence(change(opened.id, by)))


def _wait_for(driftwatch: Driftwatch, asked: Reevaluation) -> Reevaluation:
    """Run a re-evaluation's jobs here, unless another process does, until it is finished or paused."""
    driftwatch.start(only=[])
    while (asked := driftwatch.store.reevaluations.get(asked.id)).state is ReevaluationState.RUNNING:
        if sys.stderr.isatty():
            click.echo(f"\r{_sentence(asked)}\033[K", nl=False, err=True)
        driftwatch.reevaluations.reconcile()
        jobs = driftwatch.store.jobs.active()
        driftwatch.runner.also([job.id for job in jobs if job.args.get("reevaluation") == asked.id])
        driftwatch.wake()
        time.sleep(LOOK_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    return asked


def _sentence(one: Reevaluation) -> str:
    runs = "all runs" if one.runs is None else f"{len(one.runs):,} run{'s' * (len(one.runs) != 1)}"
    parts = [f"re-evaluation of {runs} by {one.model}: {one.state}", f"{one.done:,} of {one.total:,} runs"]
    if one.failed:
        parts.append(f"{len(one.failed):,} failed ({', '.join(f'{run}: {why}' for run, why in one.failed.items())})")
    return ", ".join(parts) + (f": {one.why}" if one.why else "")
