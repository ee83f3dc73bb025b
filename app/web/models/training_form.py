"""The form that asks for a candidate from labels, and how trainings are listed: on the page of the models."""

from __future__ import annotations

from typing import Any

from app.domain.jobs import Job, JobState
from app.jobs.train import KIND
from app.subsystems.dt.learning.candidate import MOST_CHAMBERS, SIMULATED_WEIGHTS, Plan
from app.subsystems.dt.learning.labelled_items import Choice
from app.subsystems.dt.learning.networks import ARCHITECTURES
from app.subsystems.dt.learning.training import LEAST_CHAMBERS
from app.web.shared.application import current_driftwatch
from app.web.shared.fields import Fields, number_from, number_in, one_of

MOST_LISTED = 10
STATE_WORDS = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "training",
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "stopped",
}
STATE_SHAPES = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "scoring",
    JobState.DONE: "finished",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "gone",
}


def form_and_trainings(form: Fields, refused: str = "") -> dict[str, object]:
    """What a template needs to show the form and the last trainings.

    Args:
        form: what was written into it, and what is wrong with that.
        refused: why what was asked for cannot be done.
    """
    return {
        "form": form,
        "refused": refused,
        "usual": Plan(),
        "architectures": [(name, name) for name in ARCHITECTURES],
        "trainings": current_driftwatch().store.jobs.newest(KIND, MOST_LISTED),
        "training_state": training_state,
    }


def training_state(job: Job) -> tuple[str, str]:
    """Its shape and its word."""
    if job.cancel and job.active:
        return "waiting", "stopping"
    return STATE_SHAPES[job.state], STATE_WORDS[job.state]


def read_plan(form: Fields) -> Plan | None:
    """What the form asks for; None where that is wrong, then the form has it."""
    usual, allowed = Plan(), range(LEAST_CHAMBERS, MOST_CHAMBERS + 1)
    given: dict[str, Any] = {
        "architecture": form.read("architecture", one_of("architecture", _BY_NAME), usual.architecture),
        "seed": form.read("seed", number_in("seed", range(2**32)), usual.seed),
        "chambers": form.read("chambers", number_in("chambers", allowed), usual.chambers),
        "simulated_weight": form.read("simulated_weight", _weight, usual.simulated_weight),
    }
    choice = read_choice(form)
    return None if form.errors else Plan(choice, **given)


def read_choice(form: Fields) -> Choice:
    """Which labels the form asks for; all where that is wrong, then the form has it."""
    resolved_only = "resolved_only" in form.given
    return form.read("runs", lambda text: Choice.of(text, resolved_only), Choice(resolved_only=resolved_only))


_BY_NAME = {name: name for name in ARCHITECTURES}


_weight = number_from("simulated_weight", *SIMULATED_WEIGHTS)
