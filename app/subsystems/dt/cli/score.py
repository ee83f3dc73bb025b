"""The command `flask score`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

import click

from app.cli.command import acting, command
from app.driftwatch import Driftwatch
from app.errors import DriftwatchError
from app.ml import models

if TYPE_CHECKING:
    from app.subsystems.dt.learning.scoring import Scorer

SCORED_AT_ONCE = 2_500  # lines of `flask score`: ten runs, some 100 MB


@command("score")
@click.argument("file", type=click.File("rb"))
@click.option("--model", "name", help="Judge by this model of the model folder, not by the active one.")
def score(driftwatch: Driftwatch, file: BinaryIO, name: str | None) -> None:
    """Judge the chambers in FILE (- for standard input); needs no database.

    FILE has one JSON object a line: "wheel", "sector", "station", and "occupancy": 12 rows, the first layer 1, with -1
    where no cell exists. Writes one object a line: the chamber, "scores" (12 numbers, null where a layer is absent or
    unjudged), "verdicts" (12 words), "certainty", "findings" (what simple statistics find wrong, and where). A bad line
    is reported with its number and the others are judged; the exit status is 1 then.
    """
    from app.subsystems.dt.learning.jsonlines import judged_lines

    scorer = scorer_of(driftwatch, name)
    bad = 0
    for number, outcome in judged_lines(file, scorer, SCORED_AT_ONCE):
        if isinstance(outcome, DriftwatchError):
            bad += 1
            click.echo(f"line {number}: {outcome}", err=True)
        else:
            click.echo(json.dumps(outcome))
    if bad:
        raise click.ClickException(f"{bad} line{'s' * (bad != 1)} could not be judged.")


def scorer_of(driftwatch: Driftwatch, name: str | None) -> Scorer:
    """A model by name: one that ships, else one of the database; without a name the one that ships as the default."""
    from app.subsystems.dt.learning.scoring import Scorer

    shipped = driftwatch.settings.model_dir
    if name is None:
        return Scorer(models.default_model(shipped))
    if (shipped / name / models.CARD_FILE).exists():
        return Scorer(models.named_model(shipped, name))
    acting(driftwatch, "view")
    return driftwatch.models.scorer(name)
