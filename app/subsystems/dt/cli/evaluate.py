"""The commands `flask evaluate-model` and `evaluate-saliency` of the drift tubes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from app.cli.command import Whole, acting, command
from app.cli.models import tell, write_pictures
from app.driftwatch import Driftwatch
from app.ml import models
from app.subsystems.dt.cli.score import scorer_of
from app.subsystems.dt.learning.candidate import MOST_CHAMBERS


@command("evaluate-model")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option(
    "--chambers", type=Whole(1, MOST_CHAMBERS), default=4_000, show_default=True, help="Simulated chambers to test on."
)
@click.option("--seed", type=Whole(), default=302_635, show_default=True, help="The same seed gives the same test.")
@click.option("--real", type=click.Path(path_type=Path), help="Labelled real chambers to test on besides, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON in place of tables.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Folder for the pictures, as SVG.")
@click.option("--keep", is_flag=True, help="Keep figures and pictures in the database, for the model's page.")
def evaluate_model(
    driftwatch: Driftwatch,
    name: str | None,
    chambers: int,
    seed: int,
    real: Path | None,
    as_json: bool,
    pictures: Path | None,
    keep: bool,
) -> None:
    """Compare MODEL (the shipped active one, if not given) with the row network and with simpler methods.

    All on the same simulated chambers, which no model was trained on. Needs no database for models that ship, unless
    the result is kept.
    """
    from app.subsystems.dt.learning import evaluation
    from app.subsystems.dt.learning import evaluation_pictures as drawn
    from app.subsystems.dt.learning.evaluation_tables import tables
    from app.subsystems.dt.learning.known_chambers import read_labelled

    scorers = [scorer_of(driftwatch, name)]
    if keep:
        by = acting(driftwatch, "keep_evaluation")
        driftwatch.models.get(scorers[0].version)  # before minutes are spent
    if scorers[0].version != models.REFERENCE:
        scorers.append(scorer_of(driftwatch, models.REFERENCE))
    labelled = read_labelled(real) if real else ()
    found = evaluation.evaluate(scorers, chambers, seed, labelled, report=tell)
    click.echo(found.model_dump_json() if as_json else tables(found))
    svg = drawn.pictures(found) if pictures or keep else {}
    if pictures:
        write_pictures(pictures, svg)
    if keep:
        driftwatch.models.keep_evaluation(scorers[0].card, found.model_dump_json(), svg, by=by)


@command("evaluate-saliency")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option(
    "--chambers", type=Whole(1, MOST_CHAMBERS), default=800, show_default=True, help="Simulated chambers to draw."
)
@click.option("--seed", type=Whole(0, 2**30 - 1), default=302_635, help="The same seed gives the same test.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a method, in place of the table.")
def evaluate_saliency(driftwatch: Driftwatch, name: str | None, chambers: int, seed: int, as_json: bool) -> None:
    """Measure whether influences on the scores of MODEL (the shipped active one, if not given) tell the truth.

    On simulated blocks of dead or noisy cells that the model finds: does the strongest cell lie in the block, and half
    of the influence; does the score fall when the cells are replaced in order of their influence. For every method, the
    one of 2018 and a random order. Needs no database for models that ship.
    """
    from app.subsystems.dt.learning import explanation_quality as truth
    from app.subsystems.dt.learning.evaluation_tables import aligned
    from app.subsystems.dt.learning.saliency import Explainer

    explainer = Explainer(scorer_of(driftwatch, name))
    found = truth.measure(explainer, chambers, seed, report=tell)
    if not found[0].blocks:
        raise click.ClickException(f"{explainer.version} finds no block in so few chambers; draw more.")
    if as_json:
        for line in found:
            click.echo(json.dumps(asdict(line)))
        return
    header, *rows = truth.table(found)
    click.echo(f"{explainer.version}: {found[0].blocks} layers with a block that it finds")
    click.echo(aligned(header, rows))
