"""The commands: `flask fetch`, `runs`, `delete`, `score`, `train`, `demo-dqm`, `serve`.

The same use cases as the pages; they work whether or not these are being served, on the same database.
"""

from __future__ import annotations

import functools
import getpass
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from flask import Flask, current_app
from pymongo.errors import PyMongoError

from app.driftwatch import Driftwatch
from app.errors import DriftwatchError, InvalidInput, NotFound
from app.ml import models
from app.run_numbers import run_numbers
from app.store import unavailable
from app.store.runs import Run, RunState
from app.web.schemas import ModelOut, RunOut

if TYPE_CHECKING:
    from app.ml.scoring import Scorer

LOOK_SECONDS = 0.2  # between two looks at what the background is doing
REFERENCE = "row-cnn-1"  # the network of 2018, which every other is compared with
SCORED_AT_ONCE = 2_500  # lines of `flask score`: ten runs, some 100 MB


def init_app(app: Flask) -> None:
    for command in (fetch, list_runs, delete, score, train, evaluate_model, models_group, demo_dqm, serve):
        app.cli.add_command(command)


def _command(name: str) -> Callable:
    """A command that gets the `Driftwatch`, puts it away at the end, and answers expected errors with one sentence."""

    def decorate(function: Callable) -> click.Command:
        @click.command(name)
        @functools.wraps(function)
        def run(*args: object, **kwargs: object) -> None:
            driftwatch: Driftwatch = current_app.extensions["driftwatch"]
            logging.basicConfig(level=logging.WARNING, format="%(message)s")
            try:
                function(driftwatch, *args, **kwargs)
            except PyMongoError as error:
                raise click.ClickException(str(unavailable(error))) from None
            except DriftwatchError as error:
                raise click.ClickException(str(error)) from None
            finally:
                driftwatch.close()

        return _with_app_context(run)

    return decorate


def _with_app_context(command: click.Command) -> click.Command:
    from flask.cli import with_appcontext

    command.callback = with_appcontext(command.callback)
    return command


# --- runs ---


@_command("fetch")
@click.argument("runs", nargs=-1)
@click.option(
    "--wait", is_flag=True, help="Wait until the runs are fetched and scored, doing it here if nobody else does."
)
@click.option(
    "--root", type=click.Path(path_type=Path), help="Read the runs from this DQM ROOT file, not from the server; waits."
)
def fetch(driftwatch: Driftwatch, runs: tuple[str, ...], wait: bool, root: Path | None) -> None:
    """Fetch and score RUNS, such as 302634-302640 305000. Of a run that is there, only what is missing.

    Exit status 1 if --wait was given and a run failed or is not on the server.
    """
    if root:
        _fetch_root(driftwatch, runs, root)
    if not runs:
        raise click.UsageError("Name at least one run, such as 302635.")
    numbers = run_numbers(" ".join(runs))
    asked = [driftwatch.ask_for_run(number, by=_who()) for number in numbers]
    if wait:
        jobs = [job.id for number in numbers for job in driftwatch.store.jobs.active(number)]
        driftwatch.start(only=jobs)
        _finish([_wait_for(driftwatch, run.number) for run in asked])
    for run in asked:
        if driftwatch.is_complete(run):
            click.echo(f"run {run.number}: is there already")
        else:
            click.echo(f"run {run.number}: asked for; a Driftwatch that serves pages fetches it (or use --wait)")


def _fetch_root(driftwatch: Driftwatch, runs: tuple[str, ...], path: Path) -> None:
    from app.sources.rootfile import RootFile

    file = RootFile(path)
    numbers = run_numbers(" ".join(runs)) if runs else file.runs
    if unknown := set(numbers) - set(file.runs):
        held = ", ".join(map(str, file.runs)) or "none"
        raise InvalidInput("run", min(unknown), f"a run that {file.name} holds: {held}")
    driftwatch.start(only=[])
    for number in numbers:
        driftwatch.fetch_here(number, file, by=_who())
    _finish([_wait_for(driftwatch, number) for number in numbers])


def _wait_for(driftwatch: Driftwatch, number: int) -> Run:
    """Show a run's progress until nobody works on it any more."""
    while (run := driftwatch.store.runs.get(number)).busy:
        if sys.stderr.isatty():
            click.echo(f"\r{_sentence(run)}\033[K", nl=False, err=True)
        if not driftwatch.store.jobs.active(number):  # it ended between two looks, or its program did
            driftwatch.reconcile_runs()
            driftwatch.runner.also([job.id for job in driftwatch.store.jobs.active(number)])
        time.sleep(LOOK_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    click.echo(_sentence(run))
    return run


def _finish(runs: list[Run]) -> None:
    """End the command with the status that says whether all went well."""
    if any(run.state is not RunState.FINISHED for run in runs):
        raise click.exceptions.Exit(1)
    raise click.exceptions.Exit(0)


@_command("runs")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as in the API.")
def list_runs(driftwatch: Driftwatch, as_json: bool) -> None:
    """List the runs that were asked for, newest first."""
    found, page = 0, 100
    while batch := driftwatch.store.runs.find(skip=found, limit=page):
        for run in batch:
            click.echo(RunOut.of(run).model_dump_json() if as_json else _sentence(run))
        found += len(batch)
    if not found and not as_json:
        click.echo("No run was asked for yet. Try: flask fetch 302635 --wait", err=True)


@_command("delete")
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(driftwatch: Driftwatch, run: str, yes: bool) -> None:
    """Delete RUN with its histograms and scores, stopping what works on it. Asks first where a person can answer."""
    (number,) = run_numbers(run)
    known = driftwatch.store.runs.get(number)
    if not yes and _at_a_terminal():
        click.confirm(f"Delete {_sentence(known)}?", abort=True)
    job = driftwatch.delete_run(number, by=_who())
    driftwatch.start(only=[job.id])
    while driftwatch.store.jobs.get(job.id).active:
        time.sleep(LOOK_SECONDS)
    try:
        driftwatch.store.runs.get(number)
    except NotFound:
        click.echo(f"run {number}: deleted")
    else:
        raise click.ClickException(f"run {number} could not be deleted; it is marked, and will be tried again")


def _sentence(run: Run) -> str:
    words = {RunState.NOT_FOUND: "not found on the server", RunState.FAILED: "stopped"}.get(run.state, str(run.state))
    parts = [f"run {run.number}: {words}"]
    if run.state is RunState.FETCHING:
        left = f", {run.seconds_left:.0f} s left" if run.seconds_left is not None else ""
        parts.append(f"{run.done + run.missing} of {run.total} chambers{left}")
    elif run.done:
        parts.append(f"{run.done} chambers, {run.summary.get('bad_items', 0)} look bad ({run.model})")
    if run.missing:
        parts.append(f"{run.missing} missing ({', '.join(f'{n} {reason}' for reason, n in run.reasons.items())})")
    return ", ".join(parts) + (f": {run.why}" if run.why else "")


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "command"


# --- models ---


@_command("score")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--model", "name", help="Judge by this model of the model folder, not by the one in use.")
def score(driftwatch: Driftwatch, file: TextIO, name: str | None) -> None:
    """Judge the chambers in FILE (- for standard input); needs no database.

    FILE has one JSON object a line: "wheel", "sector", "station", and "occupancy": 12 rows, the first layer 1, with -1
    where no cell exists. Writes one object a line: the chamber, "scores" (12 numbers, null where a layer is absent or
    unjudged), "verdicts" (12 words), "certainty", "findings" (what simple statistics find wrong, and where). A bad line
    is reported with its number and the others are judged; the exit status is 1 then.
    """
    from app.ml.jsonlines import judged_lines

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
    from app.ml.scoring import Scorer

    shipped = driftwatch.settings.model_dir
    if name is None:
        return Scorer(models.default_model(shipped))
    if (shipped / name / models.CARD_FILE).exists():
        return Scorer(models.named_model(shipped, name))
    return driftwatch.models.scorer(name)


@_command("train")
@click.option("--architecture", default="row-cnn", show_default=True, help="Which network to train.")
@click.option("--seed", default=2018, show_default=True, help="The same seed gives the same network.")
@click.option("--chambers", default=8_000, show_default=True, help="Simulated chambers to learn from.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to make; the next free name in the model folder, if not given.",
)
def train(driftwatch: Driftwatch, architecture: str, seed: int, chambers: int, out: Path | None) -> None:
    """Train a network on simulated chambers. It is not put into use by that."""
    from app.ml import training

    out = out or models.free_folder(driftwatch.settings.model_dir, architecture)
    card = training.train(architecture, seed, out, chambers, report=lambda line: click.echo(line, err=True))
    click.echo(card.model_dump_json(indent=2))


@click.group("models")
def models_group() -> None:
    """The registry of models: what there is, which is in use."""


@_command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_models(driftwatch: Driftwatch, as_json: bool) -> None:
    """List the models, oldest first."""
    for model in driftwatch.models.all():
        if as_json:
            click.echo(ModelOut.of(model).model_dump_json())
        else:
            click.echo(f"{model.name:24} {model.state:10} {model.card['architecture']:12} added by {model.added_by}")


@_command("show")
@click.argument("name")
def show_model(driftwatch: Driftwatch, name: str) -> None:
    """Show a model's card."""
    click.echo(ModelOut.of(driftwatch.models.get(name)).model_dump_json(indent=2))


@_command("add")
@click.argument("folder", type=click.Path(path_type=Path))
def add_model(driftwatch: Driftwatch, folder: Path) -> None:
    """Keep the model of FOLDER, such as `flask train` makes, in the database, as a candidate."""
    click.echo(f"{driftwatch.models.add(folder, by=_who()).name}: added")


@_command("activate")
@click.argument("name")
def activate_model(driftwatch: Driftwatch, name: str) -> None:
    """Put a model into use. What other models scored keeps those scores until it is asked for again."""
    click.echo(f"{driftwatch.activate(name, by=_who()).name}: in use")


@_command("retire")
@click.argument("name")
def retire_model(driftwatch: Driftwatch, name: str) -> None:
    """Take a model out of the choice; its scores stay."""
    click.echo(f"{driftwatch.models.retire(name).name}: retired")


@_command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it; the file's name, if not given.")
def import_model(driftwatch: Driftwatch, file: Path, name: str | None) -> None:
    """Keep the row network in a Keras 2 .h5 FILE, as a candidate. Nothing in the file is executed."""
    click.echo(f"{driftwatch.models.import_keras2(file, name, by=_who()).name}: added")


for _model_command in (list_models, show_model, add_model, import_model, activate_model, retire_model):
    models_group.add_command(_model_command)


@_command("evaluate-model")
@click.argument("name", required=False, metavar="[MODEL]")
@click.option("--chambers", default=4_000, show_default=True, help="Simulated chambers to test on.")
@click.option("--seed", default=302_635, show_default=True, help="The same seed gives the same test.")
@click.option("--real", type=click.Path(path_type=Path), help="Labelled real chambers to test on besides, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON in place of tables.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Folder for the pictures, as SVG.")
def evaluate_model(
    driftwatch: Driftwatch,
    name: str | None,
    chambers: int,
    seed: int,
    real: Path | None,
    as_json: bool,
    pictures: Path | None,
) -> None:
    """Compare MODEL (the one that ships in use, if not given) with the row network and with simpler methods.

    All on the same simulated chambers, which no model was trained on. Needs no database for models that ship.
    """
    from app.ml import evaluation
    from app.ml import pictures as drawn
    from app.ml.labelled import read_labelled
    from app.ml.tables import tables

    scorers = [_scorer(driftwatch, name)]
    if scorers[0].version != REFERENCE:
        scorers.append(_scorer(driftwatch, REFERENCE))
    labelled = read_labelled(real) if real else ()
    found = evaluation.evaluate(scorers, chambers, seed, labelled, report=lambda line: click.echo(line, err=True))
    click.echo(found.to_json() if as_json else tables(found))
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        for picture, content in drawn.pictures(found).items():
            (pictures / f"{picture}.svg").write_bytes(content)


# --- servers ---


@_command("demo-dqm")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8081, show_default=True, help="0 takes a free one.")
@click.option("--latency", default=0.0, show_default=True, help="Seconds from a request to its reply.")
@click.option("--jitter", default=0.0, show_default=True, help="Up to so many seconds more, at random.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=SHARE[:TRIES]]",
    help="Let this share of the chambers fail in this way, for so many tries or for ever; may be repeated. "
    "A wrong kind lists all.",
)
@click.option("--until-stdin-ends", is_flag=True, hidden=True)
def demo_dqm(
    driftwatch: Driftwatch,
    host: str,
    port: int,
    latency: float,
    jitter: float,
    faults: tuple[str, ...],
    until_stdin_ends: bool,
) -> None:
    """Serve simulated runs as the DQM server does. Prints its base URL first: what DQM_URL takes."""
    from app.sources.demo import DemoOptions, DemoServer, Fault

    options = DemoOptions(latency=latency, jitter=jitter, faults=tuple(Fault.parse(fault) for fault in faults))
    server = DemoServer(options, host, port)
    click.echo(server.url)
    if until_stdin_ends:
        threading.Thread(target=lambda: (sys.stdin.read(), server.stop()), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()


@_command("serve")
def serve(driftwatch: Driftwatch) -> None:
    """Serve the pages and do the work in the background, until Ctrl-C."""
    from app.serving import serve_until_told

    serve_until_told(current_app._get_current_object())
