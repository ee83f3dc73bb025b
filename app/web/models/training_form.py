"""The form that requests a candidate from labels, and the latest trainings, on the page of models."""

from __future__ import annotations

from app.domain.jobs import Job, JobState
from app.jobs.train import KIND
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.fields import Fields

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
    """The context for the form and the latest trainings.

    Args:
        form: its values and errors.
        refused: why a request was refused.
    """
    return {
        "form": form,
        "refused": refused,
        "cannot": current_subsystem().learning().cannot,
        "trainings": current_driftwatch().store.jobs.newest(KIND, MOST_LISTED),
        "training_state": training_state,
    }


def training_state(job: Job) -> tuple[str, str]:
    """Its icon and its word."""
    if job.cancel and job.active:
        return "waiting", "stopping"
    return STATE_SHAPES[job.state], STATE_WORDS[job.state]
