"""Training from labels: a candidate comes of it or nothing does, whatever happens on the way."""

import json

import labelled_chambers
import pytest
from killed import is_alive, killed_while
from labelled_chambers import RUNS
from waiting import wait_until

from app.domain.jobs import JobState
from app.domain.models import ModelState
from app.errors import InvalidInput, NotFound, TooFewLabels
from app.jobs.train import training_job
from app.ml.models import Card
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.labelled_items import Choice, labelled_items

ROWS = "row-cnn-1"
SMALL = {"architecture": "row-cnn", "seed": 3, "chambers": 600}
PLAN = Plan(**SMALL)
TOLERANT = {"forgetting_tolerance": 1, "forgetting_chambers": 400}


def with_labels(app):
    """One with labelled runs. The smaller network is active, and what a small candidate forgets is tolerated."""
    driftwatch = app.extensions["driftwatch"]
    driftwatch.activate(ROWS, by="tests")
    labelled_chambers.label_all(driftwatch)
    return driftwatch


@pytest.fixture
def driftwatch(make_app):
    return with_labels(make_app(**TOLERANT))


@pytest.fixture(scope="module")
def trained(_made_apps):
    """An application and a training that is over, begun by two who wanted the same."""
    app = _made_apps(**TOLERANT, driftwatch_user="eva")
    driftwatch = with_labels(app)
    driftwatch.store.users.add("eva", "expert", None, "tests", "tests")
    driftwatch.start()
    job = driftwatch.train(PLAN, by="eva")
    assert driftwatch.train(PLAN, by="bob").id == job.id
    asked = list(driftwatch.store.events._collection.find({"what": "training asked for"}))
    assert [(event["by"], event["job"]) for event in asked] == [("eva", job.id)]
    return app, ended(driftwatch, job)


def ended(driftwatch, job):
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active, patience=240)
    return driftwatch.store.jobs.get(job.id)


def names(driftwatch):
    return {model.name for model in driftwatch.models.all()}


def test_a_candidate_comes_of_labels_and_its_card_says_of_which(trained):
    app, job = trained
    driftwatch = app.extensions["driftwatch"]
    assert (job.state, job.why) == (JobState.DONE, "")
    model = driftwatch.models.get(job.progress["model"])
    assert (model.state, model.added_by, model.refused) == (ModelState.CANDIDATE, "eva", False)
    assert driftwatch.model == ROWS

    card = Card.model_validate(model.card)
    told = labelled_items(driftwatch.store, Choice()).composition
    assert card.trained_on.labels == told
    assert told.parts["training"].items == 48
    assert (card.trained_on.chambers, card.trained_on.seed, card.trained_on.simulated_weight) == (600, 3, 3)
    assert 1 <= card.trained_on.bad_weight <= 10
    assert card.figures_labelled.layers == told.parts["test"].good + told.parts["test"].bad
    assert card.trained_on.command == COMMAND
    assert driftwatch.models.scorer(model.name).version == model.name

    losses = job.progress["losses"]
    assert [epoch for epoch, *_ in losses] == list(range(1, len(losses) + 1))
    assert len(losses) <= job.progress["epochs"]
    assert losses[-1][1] < losses[0][1]
    assert model.check["against"] == ROWS
    assert {kind["kind"] for kind in model.check["kinds"]} > {"all", "dead_block"}
    assert not list((driftwatch.settings.data_dir / "training").iterdir())
    assert driftwatch.store.events.of_models(model.name)[0]["what"] == "model trained"


@pytest.mark.soak
def test_the_command_makes_the_same_network_of_the_same_labels(trained):
    app, job = trained
    models = app.extensions["driftwatch"].models
    ran = app.test_cli_runner().invoke(args=COMMAND.split()[1:])
    assert ran.exit_code == 0, ran.output
    one, again = (Card.model_validate(models.get(name).card) for name in (job.progress["model"], "row-cnn-3"))
    assert one.trained_on == again.trained_on
    for what in ("figures", "figures_all_faults", "figures_labelled", "calibration", "reliability", "thresholds"):
        assert getattr(one, what) == getattr(again, what)
    assert models.get("row-cnn-3").added_by == "eva"
    assert "epoch 1: loss" in ran.output


def test_a_candidate_that_was_added_before_the_program_was_killed_is_not_made_again(trained):
    app, job = trained
    driftwatch = app.extensions["driftwatch"]
    before = names(driftwatch)
    jobs = driftwatch.store.jobs._collection
    jobs.update_many({"kind": "train"}, {"$set": {"state": "queued", "active": True}, "$unset": {"progress.model": ""}})
    driftwatch.runner.stop()
    driftwatch.start()
    again = ended(driftwatch, job)
    assert (again.state, again.progress["model"]) == (JobState.DONE, job.progress["model"])
    assert names(driftwatch) == before


def test_a_training_is_stopped_and_leaves_nothing(driftwatch):
    before = names(driftwatch)
    driftwatch.start()
    job = driftwatch.train(Plan(**SMALL | {"chambers": 50_000}), by="eva")
    waiting = driftwatch.train(PLAN, by="bob")  # behind it
    wait_until(lambda: driftwatch.store.jobs.get(job.id).progress.get("words", "").startswith("simulating"), 240)
    assert driftwatch.stop_training(waiting.id, by="eva").state is JobState.CANCELLED
    driftwatch.stop_training(job.id, by="eva")
    assert ended(driftwatch, job).state is JobState.CANCELLED
    assert names(driftwatch) == before
    assert not list((driftwatch.settings.data_dir / "training").glob("*"))
    assert driftwatch.stop_training(job.id, by="eva").state is JobState.CANCELLED


def test_without_enough_labels_nothing_is_begun(make_app):
    driftwatch = make_app().extensions["driftwatch"]
    with pytest.raises(TooFewLabels, match="validation has 0 of at least 5 chambers"):
        driftwatch.train(PLAN, by="eva")
    labelled_chambers.label_all(driftwatch, RUNS[:4])
    with pytest.raises(TooFewLabels, match=r"^Too few labels: test has 0 of at least 5 chambers"):
        driftwatch.train(PLAN, by="eva")
    assert driftwatch.store.jobs.active() == []


def test_labels_withdrawn_while_a_training_waits_end_it_with_what_is_missing(driftwatch):
    job = driftwatch.train(PLAN, by="eva")
    labels = driftwatch.store.labels
    for place, (event,) in labels.of_run(RUNS[4]).items():
        driftwatch.labelling.undo(
            event.by, event.id, f"withdrawn-{place.wheel}-{place.station}-{place.sector}".replace("--", "-")
        )
    driftwatch.start()
    job = ended(driftwatch, job)
    assert job.state is JobState.FAILED
    assert job.why.startswith("Too few labels: test has 0 of at least 5 chambers")
    assert names(driftwatch) == {ROWS, "chamber-scan-1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"architecture": "resnet"},
        {"seed": -1},
        {"chambers": 399},
        {"chambers": 100_001},
        {"simulated_weight": 0},
        {"simulated_weight": 101},
        {"simulated_weight": float("nan")},
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidInput) as error:
        Plan(**SMALL | wrong)
    assert error.value.field == next(iter(wrong))


def test_what_is_no_training_is_not_found(driftwatch):
    other = driftwatch.store.jobs.ask("explain", 7, "explain", "ann")
    for job_id in (other.id, "0" * 24, "x"):
        with pytest.raises(NotFound):
            training_job(driftwatch.store, job_id)
        with pytest.raises(NotFound):
            driftwatch.stop_training(job_id, by="eva")


def test_a_plan_comes_back_from_a_jobs_arguments(driftwatch):
    plan = Plan(Choice.of("302641-302645", resolved_only=False), **SMALL)
    job = driftwatch.train(plan, by="eva")
    assert Plan.of_args(driftwatch.store.jobs.get(job.id).args) == plan
    assert json.dumps(job.args)


COMMAND = "flask train --from-labels --architecture row-cnn --seed 3 --chambers 600 --simulated-weight 3"


@pytest.mark.soak
def test_killed_in_the_midst_it_begins_anew_and_only_one_candidate_comes_of_it(driftwatch, tmp_path):
    before = names(driftwatch)
    job = driftwatch.train(PLAN, by="eva")
    trainers = killed_while(
        driftwatch, tmp_path, lambda: driftwatch.store.jobs.get(job.id).progress.get("losses"), **TOLERANT
    )
    assert trainers
    wait_until(lambda: not any(map(is_alive, trainers)))
    driftwatch.start()
    job = ended(driftwatch, job)
    assert job.state is JobState.DONE
    assert names(driftwatch) - before == {job.progress["model"]}
    assert job.progress["losses"][0][0] == 1
