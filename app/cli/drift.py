"""The command `flask drift`."""

from __future__ import annotations

import time

import click

from app.cli.command import LOOK_SECONDS, acting, command
from app.domain.jobs import JobState
from app.driftwatch import Driftwatch


@command("drift")
@click.option("--wait", is_flag=True, help="Wait until it is done, doing it here if nobody else does.")
def drift(driftwatch: Driftwatch, wait: bool) -> None:
    """Measure how far runs are from what the model in use was trained on, where that is not done yet."""
    job = driftwatch.drifts.ask(by=acting(driftwatch, "measure_drift"))
    if job is None:
        click.echo(f"nothing is left to measure of the runs that {driftwatch.model} scored")
        return
    if not wait:
        click.echo("asked for; a Driftwatch that serves pages measures it (or use --wait)")
        return
    driftwatch.start(only=[job.id])
    while (job := driftwatch.store.jobs.get(job.id)).active:
        time.sleep(LOOK_SECONDS)
    if job.state is not JobState.DONE:
        raise click.ClickException(f"the drift could not be measured: {job.why or job.state}")
    click.echo(f"every run that {driftwatch.model} scored is measured")
