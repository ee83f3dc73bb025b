"""The command `flask drift`."""

from __future__ import annotations

import time

import click

from app.cli.command import LOOK_SECONDS, acting, command
from app.domain.jobs import JobState
from app.driftwatch import Driftwatch


@command("drift")
@click.option("--wait", is_flag=True, help="Wait until it is done; do the work here if no other process does.")
def drift(driftwatch: Driftwatch, wait: bool) -> None:
    """Measure how far runs are from the training data of the active model, where not yet done."""
    job = driftwatch.drifts.ask(by=acting(driftwatch, "measure_drift"))
    if job is None:
        click.echo(f"all runs scored by {driftwatch.model} are measured already")
        return
    if not wait:
        click.echo("requested; a running `flask serve` measures it (or use --wait)")
        return
    driftwatch.start(only=[job.id])
    while (job := driftwatch.store.jobs.get(job.id)).active:
        time.sleep(LOOK_SECONDS)
    if job.state is not JobState.DONE:
        raise click.ClickException(f"the drift could not be measured: {job.why or job.state}")
    click.echo(f"all runs scored by {driftwatch.model} are measured")
