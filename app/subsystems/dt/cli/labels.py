"""The commands about how many labels a network needs: `flask simulate-labelling`, `learning-curve`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from app.cli.command import Number, Whole, acting, command
from app.driftwatch import Driftwatch
from app.subsystems.dt.learning.labelled_items import Choice


@command("simulate-labelling")
@click.option(
    "--seeds", type=Whole(), default=5, show_default=True, help="How often all is repeated, with other runs and draws."
)
@click.option("--seed", type=Whole(), default=1, show_default=True, help="The first of them; the same gives the same.")
@click.option(
    "--runs", type=Whole(), default=40, show_default=True, help="Simulated runs; every other place of them is labelled."
)
@click.option(
    "--rate", type=Number(), default=0.95, show_default=True, help="Share found at 1 % false alarms that is wanted."
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON in place of the table.")
@click.option("--picture", type=click.Path(path_type=Path), help="Where to write the curves, as SVG.")
def simulate_labelling(
    driftwatch: Driftwatch, seeds: int, seed: int, runs: int, rate: float, as_json: bool, picture: Path | None
) -> None:
    """Measure how many labels each strategy of the queue needs: uncertain, diverse, and random ones.

    On simulated runs with faults that the network was not taught; an oracle labels what a strategy asks for next, and
    the network learns from it. Needs no database, and some minutes.
    """
    from app.subsystems.dt.learning import evaluation_pictures as pictures
    from app.subsystems.dt.learning import simulate_labelling as simulation
    from app.subsystems.dt.learning.evaluation_tables import aligned

    setup = simulation.Setup(
        seeds=seeds, first_seed=seed, runs=runs, rate=rate, control=driftwatch.settings.control_share
    )
    outcome = simulation.simulate_labelling(setup, report=lambda line: click.echo(line, err=True))
    if picture:
        picture.write_bytes(pictures.labels_needed(outcome))
    if as_json:
        click.echo(json.dumps(simulation.as_document(outcome)))
        return
    header, *rows = simulation.table(outcome)
    click.echo(aligned(header, rows))


@command("learning-curve")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option("--runs", default="", help="Labels of these runs only, such as 302634-302640.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a point, in place of the table.")
def learning_curve(driftwatch: Driftwatch, name: str | None, runs: str, as_json: bool) -> None:
    """Tell whether more labels would help: fit MODEL (the active one, if not given) to more and more of them.

    To nested subsets of the labelled chambers of the training part; measured on those of the test part. MODEL must not
    have learnt from labels. Changes nothing.
    """
    from app.ml.split import Split
    from app.subsystems.dt.learning import learning_curve as curve
    from app.subsystems.dt.learning.evaluation_tables import aligned
    from app.subsystems.dt.learning.labelled_items import counts_of, labelled_items, require_enough

    acting(driftwatch, "view")
    labels = labelled_items(driftwatch.store, Choice.of(runs))
    counts = counts_of(labels.items)
    require_enough(counts, driftwatch.store, {Split.TRAINING: curve.FIRST, Split.TEST: 1})
    training, test = (
        [(one.occupancy, one.targets) for one in labels.of(part)] for part in (Split.TRAINING, Split.TEST)
    )
    scorer = driftwatch.models.scorer(name)
    points = curve.learning_curve(scorer, training, test, report=lambda line: click.echo(line, err=True))
    if as_json:
        for point in points:
            click.echo(point.model_dump_json())
        return
    header = ["labelled chambers", "found at 1 %", "least–most of the orders", "area"]
    rows = [
        [f"{p.labels:,}", f"{p.found:.1%}", f"{p.found_least:.1%}–{p.found_most:.1%}", f"{p.area:.4f}"] for p in points
    ]
    click.echo(aligned(header, rows))
    tested = counts[Split.TEST]
    click.echo(f"measured on {tested.bad:,} bad and {tested.good:,} good layers of the test part")
    if points[0].found_least == 1:
        click.echo("all of them are found without any label: only other labels of the test part can tell more")
