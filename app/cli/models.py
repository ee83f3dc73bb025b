"""The commands about models: `flask score`, `train`, `models`, `evaluate-model`, `simulate-labelling` and the like."""

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
@click.option("--model", "name", help="Judge by this model of the model folder, not by the one in use.")
def score(driftwatch: Driftwatch, file: BinaryIO, name: str | None) -> None:
    """Judge the chambers in FILE (- for standard input); needs no database.

    FILE has one JSON object a line: "wheel", "sector", "station", and "occupancy": 12 rows, the first layer 1, with -1
    where no cell exists. Writes one object a line: the chamber, "scores" (12 numbers, null where a layer is absent or
    unjudged), "verdicts" (12 words), "certainty", "findings" (what simple statistics find wrong, and where). A bad line
    is reported with its number and the others are judged; the exit status is 1 then.
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
    """A model by name: one that ships, else one of the database; without a name the one that ships as the default."""
    from app.subsystems.dt.learning.scoring import Scorer

    shipped = driftwatch.settings.model_dir
    if name is None:
        return Scorer(models.default_model(shipped))
    if (shipped / name / models.CARD_FILE).exists():
        return Scorer(models.named_model(shipped, name))
    acting(driftwatch, "view")
    return driftwatch.models.scorer(name)


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
    "Not with --from-labels: a candidate knows of the simulation what the model in use knows.",
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
    finds less of a kind of simulated fault than the model in use, beyond FORGETTING_TOLERANCE.
    """
    by = acting(driftwatch, "train")
    if from_labels:
        if out:
            raise click.UsageError("--out does not go with --from-labels: the candidate is kept in the database.")
        if without:
            raise click.UsageError("--without does not go with --from-labels: it is as for the model in use.")
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
        raise click.ClickException(f"{model.name} is kept, but refused; flask models override lets it be activated.")


def _tell(line: str) -> None:
    click.echo(line, err=True)


@click.group("models")
def models_group() -> None:
    """The registry of models: what there is, which is in use."""


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
    click.echo(f"{driftwatch.activate(name, by=acting(driftwatch, 'activate_model')).name}: in use")


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
@click.option("--score", type=Number(), help="From which a layer is bad.")
@click.option(
    "--false-alarms", "rate", type=Number(), help="In place of a score: the share of good layers, such as 0.01."
)
@click.option("--why", default="", help="The reason, for those who come later.")
def set_threshold(
    driftwatch: Driftwatch, name: str, use: str, score: float | None, rate: float | None, why: str
) -> None:
    """Set from which score of a model a layer is bad. It holds for what is scored from then on.

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
    """Compare two models, NAME and OTHER (the one in use, if not given), and keep the result for their page."""
    from app.subsystems.dt.learning.evaluation_tables import of_comparison
    from app.subsystems.dt.learning.side_by_side import SideBySide

    by = acting(driftwatch, "compare_models")
    other = other or driftwatch.model
    if other == name:
        raise click.UsageError(f"{name} is the one in use: name another to compare it with.")
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
@click.option("--name", help="What to call it; the file's name, if not given.")
def import_model(driftwatch: Driftwatch, file: Path, name: str | None) -> None:
    """Keep the row network in a Keras 2 .h5 FILE, as a candidate. Nothing in the file is executed."""
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
    """Compare MODEL (the one that ships in use, if not given) with the row network and with simpler methods.

    All on the same simulated chambers, which no model was trained on. Needs no database for models that ship, unless
    the result is kept.
    """
    from app.subsystems.dt.learning import evaluation
    from app.subsystems.dt.learning import evaluation_pictures as drawn
    from app.subsystems.dt.learning.evaluation_tables import tables
    from app.subsystems.dt.learning.known_chambers import read_labelled

    scorers = [_scorer(driftwatch, name)]
    if keep:
        by = acting(driftwatch, "keep_evaluation")
        driftwatch.models.get(scorers[0].version)  # before minutes are spent
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
@click.option("--json", "as_json", is_flag=True, help="One JSON object a method, in place of the table.")
def evaluate_saliency(driftwatch: Driftwatch, name: str | None, chambers: int, seed: int, as_json: bool) -> None:
    """Measure whether influences on the scores of MODEL (the one that ships in use, if not given) tell the truth.

    On simulated blocks of dead or noisy cells that the model finds: does the strongest cell lie in the block, and half
    of the influence; does the score fall when the cells are replaced in order of their influence. For every method, the
    one of 2018 and a random order. Needs no database for models that ship.
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
    """Tell whether more labels would help: fit MODEL (the one in use, if not given) to more and more of them.

    To nested subsets of the labelled chambers of the training part; measured on those of the test part. MODEL must not
    have learnt from labels. Changes nothing.
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
