"""The form for trainings on chambers; `/models/training/labels` shows the labels that would be used."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from app.errors import TooFewLabels
from app.subsystems.dt.learning.candidate import MOST_CHAMBERS, SIMULATED_WEIGHTS, Plan
from app.subsystems.dt.learning.labelled_items import (
    ELSEWHERE,
    NO_HISTOGRAM,
    SIMULATED_RUN,
    Choice,
    outlook,
    require_enough,
)
from app.subsystems.dt.learning.networks import ARCHITECTURES
from app.subsystems.dt.learning.training import LEAST_CHAMBERS
from app.web.shared.access import needs
from app.web.shared.application import current_driftwatch
from app.web.shared.cache import cache
from app.web.shared.fields import Fields, number_from, number_in, one_of

MOST_KEPT = 8  # selections whose label counts are cached
WHY = {  # descriptions of the reasons why labels are not used
    ELSEWHERE: "the run is for the test and the chamber is not, or the other way round; the test is apart in both",
    NO_HISTOGRAM: "the run was deleted",
    SIMULATED_RUN: "the run is simulated, and there are labels of real ones",
    "skipped": "all who looked passed on",
    "withdrawn": "the label was taken back",
    "not resolved": "no expert ended a disagreement",
}

blueprint = Blueprint("training_labels", __name__, url_prefix="/models/training")


@blueprint.get("/labels")
@needs("train")
def count() -> tuple[str, int]:
    """How many labels a training would use, and why others are left out; `?part=labels` is that part alone."""
    form, store = Fields(request.args), current_driftwatch().store
    choice, found, too_few = _read_choice(form), None, ""
    if not form.errors:
        key = (store.labels.stamp(), store.runs.stamp(), choice)
        found = cache("training_labels", MOST_KEPT).get(key, lambda: outlook(store, choice))
        try:
            require_enough(found.counts, store)
        except TooFewLabels as error:
            too_few = str(error)
    given = {"form": form, "choice": choice, "outlook": found, "too_few": too_few, "why": WHY}
    if request.args.get("part") == "labels":
        return render_template("dt/training_labels.html", **given), 200  # the form shows the error
    return render_template("dt/training_labels_page.html", **given), form.status


def of_form() -> dict[str, Any]:
    """Additional context for the template."""
    return {"usual": Plan(), "architectures": [(name, name) for name in ARCHITECTURES]}


def read_plan(form: Fields) -> Plan | None:
    """The plan in the form; None if there are errors, which the form shows."""
    usual, allowed = Plan(), range(LEAST_CHAMBERS, MOST_CHAMBERS + 1)
    given: dict[str, Any] = {
        "architecture": form.read("architecture", one_of("architecture", _BY_NAME), usual.architecture),
        "seed": form.read("seed", number_in("seed", range(2**32)), usual.seed),
        "chambers": form.read("chambers", number_in("chambers", allowed), usual.chambers),
        "simulated_weight": form.read("simulated_weight", _weight, usual.simulated_weight),
    }
    choice = _read_choice(form)
    return None if form.errors else Plan(choice, **given)


def _read_choice(form: Fields) -> Choice:
    """The selection of labels in the form; all labels if there are errors, which the form shows."""
    resolved_only = "resolved_only" in form.given
    return form.read("runs", lambda text: Choice.of(text, resolved_only), Choice(resolved_only=resolved_only))


_BY_NAME = {name: name for name in ARCHITECTURES}


_weight = number_from("simulated_weight", *SIMULATED_WEIGHTS)
