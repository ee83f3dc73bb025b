"""`flask train --from-labels` and `flask models override`: what they refuse. What they make: see `jobs/test_train`."""

import shutil

import pytest

from app.ml.models import CARD_FILE, load_card
from app.subsystems.dt.learning.forgetting import Forgetting, KindFound
from config import ROOT

ROW = ROOT / "models" / "row-cnn-1"


@pytest.fixture
def run_command(app):
    def run(*arguments):
        return app.test_cli_runner().invoke(args=list(arguments))

    return run


def test_too_few_labels_are_refused_with_what_is_missing(run_command, driftwatch):
    ran = run_command("train", "--from-labels")
    assert ran.exit_code == 1
    assert "Error: Too few labels: training has 0 of at least 20 chambers" in ran.output
    assert len(driftwatch.models.all()) == 2


def test_a_learning_curve_without_labels_says_what_is_missing_and_in_which_runs_labels_would_count(run_command):
    ran = run_command("learning-curve")
    assert ran.exit_code == 1
    assert "Error: Too few labels: training has 0 of at least 10 chambers" in ran.output
    assert "test has 0 of at least 1 chambers" in ran.output
    assert "no run that is loaded counts there" in ran.output
    assert "validation" not in ran.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runs", "7-8"], "need --from-labels"),
        (["--resolved-only"], "need --from-labels"),
        (["--simulated-weight", "2"], "need --from-labels"),
        (["--without", "dead_end"], "'dead_end' is not one of 'dead_block'"),
        (["--from-labels", "--without", "periodic"], "--without cannot be combined with --from-labels"),
        (["--from-labels", "--out", "models/mine"], "--out cannot be combined with --from-labels"),
        (["--from-labels", "--runs", "8-7"], "runs is '8-7', but must be a run or a range of runs"),
        (["--from-labels", "--simulated-weight", "0"], "simulated_weight is 0.0, but must be a number from 0.1 to 100"),
        (["--from-labels", "--architecture", "resnet"], "architecture is 'resnet', but must be one of"),
        (["--from-labels", "--seed", "-1"], "seed is -1, but must be a whole number"),
        (["--from-labels", "--chambers", "3"], "chambers is 3, but must be a whole number, 400 or more"),
    ],
)
def test_what_does_not_go_together_or_cannot_be_is_refused(run_command, arguments, words):
    ran = run_command("train", *arguments)
    assert ran.exit_code in (1, 2)
    assert words in " ".join(ran.output.split())


def test_a_refusal_is_overridden_with_a_reason(run_command, driftwatch, tmp_path):
    folder = tmp_path / "row-cnn-2"
    shutil.copytree(ROW, folder)
    (folder / CARD_FILE).write_text(load_card(ROW).model_copy(update={"name": folder.name}).model_dump_json())
    lost = KindFound(kind="low_rate", layers=200, active=0.9, candidate=0.2)
    found = Forgetting(against="chamber-scan-1", chambers=400, seed=1, tolerance=0.05, kinds=(lost,))
    driftwatch.models.add_candidate(folder, found, by="eva")
    assert "refused" in run_command("models", "list").output
    assert "is refused" in run_command("models", "activate", "row-cnn-2").output
    assert run_command("models", "override", "row-cnn-2").exit_code == 2  # no reason
    assert run_command("models", "override", "row-cnn-2", "--reason", " ").exit_code == 1
    assert run_command("models", "override", "row-cnn-2", "--reason", "a test").output == "row-cnn-2: candidate\n"
    assert run_command("models", "activate", "row-cnn-2").output == "row-cnn-2: active\n"
