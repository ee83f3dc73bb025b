"""The commands about models: `flask models …`, and what every subsystem has of `flask train` and `evaluate-model`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.command import LOOK_SECONDS, Number, Whole, acting, command
from app.driftwatch import Driftwatch
from app.ml import cards, models
from app.subsystems.learning import Plan, require_offered
from app.web.api.schemas import ModelOut
from app.web.models.plain_pages import PLAIN, USUAL_SEED, text_of


@command("train")
@click.option("--seed", type=Whole(), default=USUAL_SEED, show_default=True, help="The same seed gives the same model.")
@click.option("--note", default="", help="For those who come later.")
def train(driftwatch: Driftwatch, seed: int, note: str) -> None:
    """Train a model from what people labelled; keep it in the database as a candidate. It is not put into use by that.

    It is refused, and the exit status is 1, if it forgot what the active model knows.
    """
    by = acting(driftwatch, "train")
    learning = driftwatch.subsystem.learning()
    require_offered(learning, "train")
    train_candidate(driftwatch, learning.plan_of({"seed": seed, "note": note}), by)


def train_candidate(driftwatch: Driftwatch, plan: Plan, by: str) -> None:
    """Train a model from labels and show it."""
    model = driftwatch.training.here(plan, by, report=tell)
    click.echo(ModelOut.of(model).model_dump_json(indent=2))
    if model.refused:
        raise click.ClickException(f"{model.name} is kept, but refused; flask models override lets it be activated.")


def tell(line: str) -> None:
    """Print progress messages, separate from the results."""
    click.echo(line, err=True)


@command("evaluate-model")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option("--items", type=Whole(1), help="How many to test on; as many as for its page, if not given.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON in place of a table.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Folder for the pictures, as SVG.")
@click.option("--keep", is_flag=True, help="Keep figures and pictures in the database, for the model's page.")
def evaluate_model(
    driftwatch: Driftwatch, name: str | None, items: int | None, as_json: bool, pictures: Path | None, keep: bool
) -> None:
    """Work out what MODEL (the active one, if not given) is worth."""
    by = acting(driftwatch, "keep_evaluation" if keep else "view")
    learning = driftwatch.subsystem.learning()
    require_offered(learning, "evaluate")
    name = name or driftwatch.model
    folder = driftwatch.models.folder(name)
    task = learning.evaluation([(folder, driftwatch.models.bad_from(name))], items or learning.test_items["evaluation"])
    found: dict[str, Any] = task(lambda told: tell(told["words"]))
    click.echo(found["figures"] if as_json else text_of(found["figures"]))
    svg = {picture: content.encode() for picture, content in found["pictures"].items()}
    if pictures:
        write_pictures(pictures, svg)
    if keep:
        driftwatch.models.keep_evaluation(models.load_card(folder), found["figures"], svg, by=by)


def write_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Write pictures, name → SVG, to a folder, which is created if necessary."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (folder / f"{name}.svg").write_bytes(content)


@click.group("models")
def models_group() -> None:
    """The registry of models: all models, and which is active."""


@command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_models(driftwatch: Driftwatch, as_json: bool) -> None:
    """List the models, oldest first."""
    acting(driftwatch, "view")
    for model in driftwatch.models.all():
        if as_json:
            click.echo(ModelOut.of(model).model_dump_json())
        else:
            click.echo(f"{model.name:24} {model.state:10} {model.card['architecture']:12} added by {model.added_by}")


@command("show")
@click.argument("name")
@click.option("--markdown", is_flag=True, help="For people: data, labels, figures, thresholds, limits.")
def show_model(driftwatch: Driftwatch, name: str, markdown: bool) -> None:
    """Show a model's card."""
    acting(driftwatch, "view")
    if markdown:
        click.echo(cards.markdown(driftwatch.models.known(name)), nl=False)
        return
    click.echo(ModelOut.of(driftwatch.models.get(name)).model_dump_json(indent=2))


@command("add")
@click.argument("folder", type=click.Path(path_type=Path))
def add_model(driftwatch: Driftwatch, folder: Path) -> None:
    """Keep the model of FOLDER, such as `flask train` makes, in the database, as a candidate."""
    click.echo(f"{driftwatch.models.add(folder, by=acting(driftwatch, 'import_model')).name}: added")


@command("activate")
@click.argument("name")
def activate_model(driftwatch: Driftwatch, name: str) -> None:
    """Put a model into use. What other models scored keeps those scores until it is re-evaluated."""
    click.echo(f"{driftwatch.activate(name, by=acting(driftwatch, 'activate_model')).name}: active")


@command("override")
@click.argument("name")
@click.option("--reason", required=True, help="Why it may be used although it finds less; kept with the model.")
def override_refusal(driftwatch: Driftwatch, name: str, reason: str) -> None:
    """Let a model be activated that was refused."""
    by = acting(driftwatch, "override_refusal")
    click.echo(f"{driftwatch.override_refusal(name, reason, by=by).name}: {driftwatch.models.get(name).state}")


@command("retire")
@click.argument("name")
def retire_model(driftwatch: Driftwatch, name: str) -> None:
    """Take a model out of the choice; its scores stay."""
    click.echo(f"{driftwatch.retire(name, by=acting(driftwatch, 'retire_model')).name}: retired")


@command("threshold")
@click.argument("name")
@click.option("--use", default=models.SHIFTER, show_default=True, help="Whose: shifter or alarm.")
@click.option("--score", type=Number(), help="From which a part is bad.")
@click.option(
    "--false-alarms", "rate", type=Number(), help="In place of a score: the share of good parts, such as 0.01."
)
@click.option("--why", default="", help="The reason, for those who come later.")
def set_threshold(
    driftwatch: Driftwatch, name: str, use: str, score: float | None, rate: float | None, why: str
) -> None:
    """Set from which score of a model a part is bad. It holds for what is scored from then on.

    Runs that it scored before keep their verdicts until `flask reevaluate`, which computes nothing for that.
    """
    by = acting(driftwatch, "set_threshold")
    if (score is None) == (rate is None):
        raise click.UsageError("Give either --score or --false-alarms.")
    if rate is not None:
        score = driftwatch.models.threshold_for(name, rate)
    found = driftwatch.set_threshold(name, use, score, why, by=by)
    means = "" if found.false_alarms is None else f", {found.false_alarms:.2%} false alarms, {found.found:.1%} found"
    click.echo(f"{name}: {use} {found.score:g}{means}")
    if name == driftwatch.model and (runs := driftwatch.reevaluations.outlook(name).other_threshold):
        have = "run has" if runs == 1 else "runs have"
        click.echo(f"{runs:,} {have} verdicts of another threshold until: flask reevaluate --all")


@command("compare")
@click.argument("name")
@click.argument("other", required=False)
@click.option("--runs", type=Whole(), default=10, show_default=True, help="How many of the last runs to look at.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON in place of tables.")
def compare_models(driftwatch: Driftwatch, name: str, other: str | None, runs: int, as_json: bool) -> None:
    """Compare two models, NAME and OTHER (the active one, if not given), and keep the result for their page."""
    by = acting(driftwatch, "compare_models")
    other = other or driftwatch.model
    if other == name:
        raise click.UsageError(f"{name} is the active one: name another to compare it with.")
    job = driftwatch.compare(name, other, runs, by=by)
    driftwatch.start(only=[job.id])
    told = ""
    while (job := driftwatch.store.jobs.get(job.id)).active:
        if (step := job.progress.get("step", "")) != told:
            told = step
            tell(told)
        time.sleep(LOOK_SECONDS)
    kept = driftwatch.store.comparisons.get((name, other))
    if job.why or kept is None:
        raise click.ClickException(job.why or "The comparison was stopped.")
    pages = driftwatch.subsystem.views().models or PLAIN
    click.echo(kept.figures if as_json else pages.comparison_text(kept.figures))


@command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it; the file's name, if not given.")
def import_model(driftwatch: Driftwatch, file: Path, name: str | None) -> None:
    """Keep the network in a FILE of another program, such as Keras 2 .h5, as a candidate. Nothing in it is executed."""
    by = acting(driftwatch, "import_model")
    click.echo(f"{driftwatch.models.import_keras2(file, name, by=by).name}: added")


for _model_command in (
    list_models,
    show_model,
    add_model,
    import_model,
    activate_model,
    override_refusal,
    retire_model,
    set_threshold,
    compare_models,
):
    models_group.add_command(_model_command)
