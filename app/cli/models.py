"""The commands about models: `flask score`, `train`, `models`, `evaluate-model`, `simulate-labelling` and others."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from app.cli.command import LOOK_SECONDS, Number, Whole, acting, command
from app.driftwatch import Driftwatch
from app.errors import DriftwatchError
from app.ml import models
from app.subsystems.dt.defects import DefectKind
from app.subsystems.dt.learning import cards
from app.subsystems.dt.learning.candidate import MOST_CHAMBERS, Plan
from app.subsystems.dt.learning.labelled_items import Choice
from app.web.api.schemas import ModelOut

if TYPE_CHECKING:
    from app.subsystems.dt.learning.scoring import Scorer

SCORED_AT_ONCE = 2_500  # lines of `flask score`: ten runs, some 100 MB


@command("score")
@click.argument("file", type=click.File("rb"))
@click.option("--model", "name", help="Score with this model from the model folder instead of the one in use.")
def score(driftwatch: Driftwatch, file: BinaryIO, name: str | None) -> None:
    """Score the chambers in FILE (- for standard input); needs no database.

    FILE has one JSON object per line: "wheel", "sector", "station", and "occupancy": 12 rows, the first being layer 1,
    with -1 where no cell exists. Writes one object per line: the chamber, "scores" (12 numbers, null for layers that
    are absent or not judged), "verdicts" (12 words), "certainty", "findings" (what simple statistics find wrong, and
    where). A bad line is reported with its number and the others are scored; the exit status is then 1.
    """
    from app.subsystems.dt.learning.jsonlines import judged_lines

    scorer = _scorer(driftwatch, name)
    bad = 0
    for number, outcome in judged_lines(file, scorer, SCORED_AT_ONCE):
        if isinstance(outcome, DriftwatchError):
            bad += 1
            click.echo(f"line {number}: {outcome}", err=True)
        else:
            click.echo(json.dumps(outcome))
    if bad:
        raise click.ClickException(f"{bad} line{'s' * (bad != 1)} could not be judged.")


def _scorer(driftwatch: Driftwatch, name: str | None) -> Scorer:
    """A model by name, shipped or from the database; without a name, the default of the shipped models."""
    from app.subsystems.dt.learning.scoring import Scorer

    shipped = driftwatch.settings.model_dir
    if name is None:
        return Scorer(models.default_model(shipped))
    if (shipped / name / models.CARD_FILE).exists():
        return Scorer(models.named_model(shipped, name))
    acting(driftwatch, "view")
    return driftwatch.models.scorer(name)


@command("train")
@click.option("--architecture", help="Network to train; by default row-cnn, or chamber-scan with --from-labels.")
@click.option("--seed", type=Whole(), default=2018, show_default=True, help="The same seed gives the same network.")
@click.option("--chambers", type=Whole(), help="Simulated chambers to train on; 8000, or 20000 with labels.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to create; by default the next free name in the model folder. Not with --from-labels.",
)
@click.option("--from-labels", is_flag=True, help="Also train on labels; store the result as a candidate.")
@click.option("--runs", default="", help="Only labels of these runs, such as 302634-302640.")
@click.option("--resolved-only", is_flag=True, help="Only labels by which an expert resolved a disagreement.")
@click.option(
    "--simulated-weight",
    type=Number(),
    help="Total weight of all simulated layers relative to all labelled ones; 3 by default.",
)
@click.option(
    "--without",
    type=click.Choice([str(kind) for kind in DefectKind], case_sensitive=False),
    multiple=True,
    metavar="KIND",
    help="Leave a kind of fault, such as periodic, out of the training; repeatable. "
    "Not with --from-labels, which simulates the same kinds as for the model in use.",
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
    """Train a network on simulated chambers, or on these and labels, without putting it into use.

    With --from-labels the result is stored in the database as a candidate. It is refused, with exit status 1, if it
    finds less of any kind of simulated fault than the model in use, beyond FORGETTING_TOLERANCE.
    """
    by = acting(driftwatch, "train")
    if from_labels:
        if out:
            raise click.UsageError(
                "--out cannot be combined with --from-labels: the candidate is stored in the database."
            )
        if without:
            raise click.UsageError(
                "--without cannot be combined with --from-labels: the same kinds are left out as for the model in use."
            )
        given: dict[str, Any] = {
            "architecture": architecture,
            "chambers": chambers,
            "simulated_weight": simulated_weight,
        }
        plan = {name: value for name, value in given.items() if value is not None}
        _train_from_labels(driftwatch, Plan(Choice.of(runs, resolved_only), seed=seed, **plan), by)
        return
    if runs or resolved_only or simulated_weight is not None:
        raise click.UsageError("--runs, --resolved-only and --simulated-weight need --from-labels.")
    from app.subsystems.dt.learning import training

    architecture = architecture or "row-cnn"
    out = out or models.free_folder(driftwatch.settings.model_dir, architecture)
    chambers = 8_000 if chambers is None else chambers
    kinds = [DefectKind(kind) for kind in without]
    card = training.train(architecture, seed, out, chambers, report=_tell, without=kinds)
    click.echo(card.model_dump_json(indent=2))


def _train_from_labels(driftwatch: Driftwatch, plan: Plan, by: str) -> None:
    model = driftwatch.training.here(plan, by, report=_tell)
    click.echo(ModelOut.of(model).model_dump_json(indent=2))
    if model.refused:
        raise click.ClickException(
            f"{model.name} is stored, but refused; flask models override allows it to be activated."
        )


def _tell(line: str) -> None:
    click.echo(line, err=True)


@click.group("models")
def models_group() -> None:
    """The registry of models: which there are, and which is in use."""


@command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
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
    """Add the model in FOLDER, as made by `flask train`, to the database as a candidate."""
    click.echo(f"{driftwatch.models.add(folder, by=acting(driftwatch, 'import_model')).name}: added")


@command("activate")
@click.argument("name")
def activate_model(driftwatch: Driftwatch, name: str) -> None:
    """Put a model into use. Runs scored by other models keep their scores until they are re-evaluated."""
    click.echo(f"{driftwatch.activate(name, by=acting(driftwatch, 'activate_model')).name}: in use")


@command("override")
@click.argument("name")
@click.option("--reason", required=True, help="Why it may be used although it finds less; stored with the model.")
def override_refusal(driftwatch: Driftwatch, name: str, reason: str) -> None:
    """Allow a refused model to be activated."""
    by = acting(driftwatch, "override_refusal")
    click.echo(f"{driftwatch.override_refusal(name, reason, by=by).name}: {driftwatch.models.get(name).state}")


@command("retire")
@click.argument("name")
def retire_model(driftwatch: Driftwatch, name: str) -> None:
    """Retire a model; its scores stay."""
    click.echo(f"{driftwatch.retire(name, by=acting(driftwatch, 'retire_model')).name}: retired")


@command("threshold")
@click.argument("name")
@click.option("--use", default=models.SHIFTER, show_default=True, help="Which threshold: shifter or alarm.")
@click.option("--score", type=Number(), help="Score from which a layer is bad.")
@click.option(
    "--false-alarms",
    "rate",
    type=Number(),
    help="Instead of a score: the false-alarm rate among good layers, such as 0.01.",
)
@click.option("--why", default="", help="The reason, for the record.")
def set_threshold(
    driftwatch: Driftwatch, name: str, use: str, score: float | None, rate: float | None, why: str
) -> None:
    """Set the score from which a layer is bad. It applies to runs scored from then on.

    Earlier runs keep their verdicts until `flask reevaluate`, which renews them without computing scores.
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
@click.option("--runs", type=Whole(), default=10, show_default=True, help="How many of the latest runs to include.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON instead of tables.")
def compare_models(driftwatch: Driftwatch, name: str, other: str | None, runs: int, as_json: bool) -> None:
    """Compare model NAME with OTHER (by default the one in use), and store the result for their page."""
    from app.subsystems.dt.learning.evaluation_tables import of_comparison
    from app.subsystems.dt.learning.side_by_side import SideBySide

    by = acting(driftwatch, "compare_models")
    other = other or driftwatch.model
    if other == name:
        raise click.UsageError(f"{name} is the model in use: name another one to compare it with.")
    job = driftwatch.compare(name, other, runs, by=by)
    driftwatch.start(only=[job.id])
    told = ""
    while (job := driftwatch.store.jobs.get(job.id)).active:
        if (step := job.progress.get("step", "")) != told:
            told = step
            _tell(told)
        time.sleep(LOOK_SECONDS)
    kept = driftwatch.store.comparisons.get((name, other))
    if job.why or kept is None:
        raise click.ClickException(job.why or "The comparison was stopped.")
    if as_json:
        click.echo(kept.figures)
        return
    found = SideBySide.readable(kept.figures)
    for one in found.sets:
        click.echo(of_comparison(f"{one.name.capitalize()} chambers", one.comparison) + "\n")
    for change in found.runs:
        layers = f"{change.appear:,} bad layer{'s' * (change.appear != 1)}"
        click.echo(f"run {change.run}: {layers} would appear, {change.go:,} go")
    click.echo(f"{len(found.contradicted)} layers whose label both contradict; see the page of the comparison")


@command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Its name; by default the name of the file.")
def import_model(driftwatch: Driftwatch, file: Path, name: str | None) -> None:
    """Add the row network in a Keras 2 .h5 FILE as a candidate. Nothing in the file is executed."""
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


@command("evaluate-model")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option(
    "--chambers", type=Whole(1, MOST_CHAMBERS), default=4_000, show_default=True, help="Simulated chambers to test on."
)
@click.option("--seed", type=Whole(), default=302_635, show_default=True, help="The same seed gives the same test.")
@click.option("--real", type=click.Path(path_type=Path), help="JSON file of labelled real chambers to test on as well.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON instead of tables.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Folder for the pictures, as SVG.")
@click.option("--keep", is_flag=True, help="Store figures and pictures in the database, for the model's page.")
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
    """Compare MODEL (by default the shipped default) with the row network and with simpler methods.

    All are tested on the same simulated chambers, on which no model was trained. Shipped models need no database,
    unless the result is stored.
    """
    from app.subsystems.dt.learning import evaluation
    from app.subsystems.dt.learning import evaluation_pictures as drawn
    from app.subsystems.dt.learning.evaluation_tables import tables
    from app.subsystems.dt.learning.known_chambers import read_labelled

    scorers = [_scorer(driftwatch, name)]
    if keep:
        by = acting(driftwatch, "keep_evaluation")
        driftwatch.models.get(scorers[0].version)  # before spending minutes
    if scorers[0].version != models.REFERENCE:
        scorers.append(_scorer(driftwatch, models.REFERENCE))
    labelled = read_labelled(real) if real else ()
    found = evaluation.evaluate(scorers, chambers, seed, labelled, report=_tell)
    click.echo(found.to_json() if as_json else tables(found))
    svg = drawn.pictures(found) if pictures or keep else {}
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        for picture, content in svg.items():
            (pictures / f"{picture}.svg").write_bytes(content)
    if keep:
        driftwatch.models.keep_evaluation(scorers[0].card, found.to_json(), svg, by=by)


@command("evaluate-saliency")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option(
    "--chambers", type=Whole(1, MOST_CHAMBERS), default=800, show_default=True, help="Simulated chambers to draw."
)
@click.option("--seed", type=Whole(0, 2**30 - 1), default=302_635, help="The same seed gives the same test.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per method, instead of the table.")
def evaluate_saliency(driftwatch: Driftwatch, name: str | None, chambers: int, seed: int, as_json: bool) -> None:
    """Measure how faithful the saliency maps of MODEL (by default the shipped default) are.

    On simulated blocks of dead or noisy cells that the model finds: do the strongest cell and half of the influence
    lie in the block, and does the score fall when cells are replaced in order of influence? Covers every method, the
    one of 2018, and a random order. Shipped models need no database.
    """
    from app.subsystems.dt.learning import explanation_quality as truth
    from app.subsystems.dt.learning.evaluation_tables import aligned
    from app.subsystems.dt.learning.saliency import Explainer

    explainer = Explainer(_scorer(driftwatch, name))
    found = truth.measure(explainer, chambers, seed, report=_tell)
    if not found[0].blocks:
        raise click.ClickException(f"{explainer.version} finds no block in so few chambers; draw more.")
    if as_json:
        for line in found:
            click.echo(json.dumps(asdict(line)))
        return
    header, *rows = truth.table(found)
    click.echo(f"{explainer.version}: {found[0].blocks} layers with a block that it finds")
    click.echo(aligned(header, rows))


@command("simulate-labelling")
@click.option(
    "--seeds", type=Whole(), default=5, show_default=True, help="Number of repetitions, with different runs and draws."
)
@click.option(
    "--seed", type=Whole(), default=1, show_default=True, help="The first seed; the same seed gives the same result."
)
@click.option(
    "--runs", type=Whole(), default=40, show_default=True, help="Simulated runs; every other place can be labelled."
)
@click.option("--rate", type=Number(), default=0.95, show_default=True, help="Goal: share found at 1 % false alarms.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON instead of the table.")
@click.option("--picture", type=click.Path(path_type=Path), help="SVG file for the curves.")
def simulate_labelling(
    driftwatch: Driftwatch, seeds: int, seed: int, runs: int, rate: float, as_json: bool, picture: Path | None
) -> None:
    """Measure how many labels each queue strategy needs: certain, diverse and random.

    On simulated runs with faults that the network was not trained on; an oracle labels whatever a strategy selects
    next, and the network learns from it. Takes some minutes; needs no database.
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
@click.option("--runs", default="", help="Only labels of these runs, such as 302634-302640.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per point, instead of the table.")
def learning_curve(driftwatch: Driftwatch, name: str | None, runs: str, as_json: bool) -> None:
    """Find out whether more labels would help: fit MODEL (by default the one in use) to more and more of them.

    MODEL is fitted to nested subsets of the labelled chambers of the training part and measured on those of the test
    part. It must not have been trained on labels. Changes nothing.
    """
    from app.ml.split import Part
    from app.subsystems.dt.learning import learning_curve as curve
    from app.subsystems.dt.learning.evaluation_tables import aligned
    from app.subsystems.dt.learning.labelled_items import counts_of, labelled_items, require_enough

    acting(driftwatch, "view")
    labels = labelled_items(driftwatch.store, Choice.of(runs))
    counts = counts_of(labels.items)
    require_enough(counts, driftwatch.store, {Part.TRAINING: curve.FIRST, Part.TEST: 1})
    training, test = ([(one.occupancy, one.targets) for one in labels.of(part)] for part in (Part.TRAINING, Part.TEST))
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
    tested = counts[Part.TEST]
    click.echo(f"measured on {tested.bad:,} bad and {tested.good:,} good layers of the test part")
    if points[0].found_least == 1:
        click.echo("all of them are found without any label: only other labels of the test part can tell more")
