import json

import pytest
from queue_of_chambers import PLACES, RUN, load

from app.subsystems.dt.learning import drift

NEW = "row-cnn-1"


@pytest.fixture
def run_command(app):
    def run(*arguments):
        return app.test_cli_runner().invoke(args=list(arguments))

    return run


@pytest.fixture
def scored(driftwatch):
    for run in (RUN, RUN + 1):
        load(driftwatch, {PLACES[0]: {7: 0.51}}, run)
    driftwatch.activate(NEW, by="eve")
    return driftwatch


def test_reevaluate_wait_does_it_here_and_the_list_tells(run_command, scored):
    done = run_command("reevaluate", "--all", "--wait")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"re-evaluation of all runs by {NEW}: done, 2 of 2 runs\n"
    assert scored.store.runs.get(RUN).model == NEW
    listed = json.loads(run_command("reevaluations", "list", "--json").output)
    assert (listed["state"], listed["computed"], listed["runs"]) == ("done", 2, None)
    assert run_command("reevaluations", "list").output == done.stdout


def test_one_that_is_under_way_is_paused_resumed_and_cancelled(run_command, scored):
    assert "of 1 run by row-cnn-1: running" in run_command("reevaluate", str(RUN)).output
    for change, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert f": {state}, 0 of 1 runs" in run_command("reevaluations", change).output
    late = run_command("reevaluations", "cancel")
    assert (late.exit_code, "No re-evaluation is under way" in late.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"), [([], "Name at least one run"), (["5", "--all"], "Name at least"), (["5"], "is not loaded")]
)
def test_what_is_not_said_clearly_is_refused(run_command, scored, arguments, says):
    refused = run_command("reevaluate", *arguments)
    assert refused.exit_code != 0
    assert says in refused.output
    assert scored.store.reevaluations.newest(1) == []


def test_the_command_that_sets_a_threshold_says_how_many_runs_are_of_another(run_command, scored):
    assert run_command("reevaluate", "--all", "--wait").exit_code == 0
    done = run_command("models", "threshold", NEW, "--score", "0.6", "--why", "fewer alarms")
    assert done.stdout.endswith("2 runs have verdicts of another threshold until: flask reevaluate --all\n")
    assert run_command("reevaluate", "--all", "--wait").exit_code == 0
    again = run_command("models", "threshold", NEW, "--score", "0.6", "--why", "the same")
    assert again.stdout == f"{NEW}: shifter 0.6\n"


def test_drift_is_measured_here_and_there_is_nothing_left_then(run_command, scored, monkeypatch):
    monkeypatch.setattr(drift, "SEEN", 250)
    monkeypatch.setattr(drift, "HELD_OUT", 250)
    assert "are measured already" in run_command("drift").output
    scored.activate("chamber-scan-1", by="eve")
    assert "requested" in run_command("drift").output
    done = run_command("drift", "--wait")
    assert done.exit_code == 0, done.output
    assert "all runs scored by chamber-scan-1 are measured\n" in done.output
    assert scored.store.runs.get(RUN).drift["model"] == "chamber-scan-1"
    assert "are measured already" in run_command("drift").output
