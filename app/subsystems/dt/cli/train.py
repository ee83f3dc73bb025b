"""The command `flask train` of the drift tubes: on simulated chambers, or on these and on labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from app.cli.command import Number, Whole, acting, command
from app.cli.models import tell, train_candidate
from app.driftwatch import Driftwatch
from app.ml import models
from app.subsystems.dt.defects import DefectKind
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.labelled_items import Choice


@command("train")
@click.option("--architecture", help="Which network to train; row-cnn, or from labels chamber-scan, if not given.")
@click.option("--seed", type=Whole(), default=2018, show_default=True, help="The same seed gives the same network.")
@click.option("--chambers", type=Whole(), help="Simulated chambers to learn from; 8000, or with labels 20000.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to make; the next free name in the model folder, if not given. Not with --from-labels.",
)
@click.option("--from-labels", is_flag=True, help="Learn from what people labelled besides; keep a candidate.")
@click.option("--runs", default="", help="Labels of these runs only, such as 302634-302640.")
@click.option("--resolved-only", is_flag=True, help="Only labels by which an expert ended a disagreement.")
@click.option(
    "--simulated-weight",
    type=Number(),
    help="How much all simulated layers count together, all labelled ones counting 1; 3, if not given.",
)
@click.option(
    "--without",
    type=click.Choice([str(kind) for kind in DefectKind], case_sensitive=False),
    multiple=True,
    metavar="KIND",
    help="Leave out a kind of fault, such as periodic: the network does not get to know it. May be given again. "
    "Not with --from-labels: a candidate knows of the simulation what the active model knows.",
)
def train(
    driftwatch: Driftwatch,
    architecture: str | None,
    seed: int,
    chambers: int | None,
    out: Path | None,
    from_labels: bool,
    runs: str,
    resolved_only: bool,
    simulated_weight: float | None,
    without: tuple[str, ...],
) -> None:
    """Train a network on simulated chambers, or on these and on labels. It is not put into use by that.

    From labels, what comes of it is kept in the database as a candidate. It is refused, and the exit status is 1, if it
    finds less of a kind of simulated fault than the active model, beyond FORGETTING_TOLERANCE.
    """
    by = acting(driftwatch, "train")
    if from_labels:
        if out:
            raise click.UsageError(
                "--out cannot be combined with --from-labels: the candidate is kept in the database."
            )
        if without:
            raise click.UsageError("--without cannot be combined with --from-labels: it is as for the active model.")
        given: dict[str, Any] = {
            "architecture": architecture,
            "chambers": chambers,
            "simulated_weight": simulated_weight,
        }
        plan = {name: value for name, value in given.items() if value is not None}
        train_candidate(driftwatch, Plan(Choice.of(runs, resolved_only), seed=seed, **plan), by)
        return
    if runs or resolved_only or simulated_weight is not None:
        raise click.UsageError("--runs, --resolved-only and --simulated-weight need --from-labels.")
    from app.subsystems.dt.learning import training

    architecture = architecture or "row-cnn"
    out = out or models.free_folder(driftwatch.settings.model_dir, architecture)
    chambers = 8_000 if chambers is None else chambers
    kinds = [DefectKind(kind) for kind in without]
    card = training.train(architecture, seed, out, chambers, report=tell, without=kinds)
    click.echo(card.model_dump_json(indent=2))
