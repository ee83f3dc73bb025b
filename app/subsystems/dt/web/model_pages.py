"""The parts of the model pages specific to chamber networks: evaluation, threshold curve and composition of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint
from flask.blueprints import BlueprintSetupState

from app.domain.jobs import Job
from app.errors import NotFound
from app.ml.cards import uses
from app.ml.models import SHIFTER, Composition
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.cards import Known
from app.subsystems.dt.learning.evaluation_figures import (
    ALL,
    ALL_KINDS,
    FALSE_ALARMS,
    LEVELS,
    CurvePoint,
    Evaluation,
    Method,
    in_words,
)
from app.subsystems.dt.learning.evaluation_tables import of_comparison as table_of
from app.subsystems.dt.learning.forgetting import Forgetting
from app.subsystems.dt.learning.side_by_side import BINS, CELLS, Cell, SideBySide, Where
from app.subsystems.dt.web.evaluation_tables import EvaluationTables, rate
from app.subsystems.dt.web.threshold_curve import ThresholdCurve, threshold
from app.subsystems.dt.web.training_form import of_form, read_plan
from app.subsystems.views import ModelPages
from app.web.shared.application import current_driftwatch
from app.web.shared.display import item_url
from app.web.shared.fields import Fields, fraction, percentage
from app.web.shared.ordering import read_order

PICTURES = {  # in the order shown, each with its alternative text
    "roc": "Share of bad layers found against the share of good layers flagged, for each method, simulated chambers",
    "reliability": "Share of bad layers against the mean score, in tenths of the score",
    "found-by-kind": "Share of bad layers found at 1 % false alarms, for each kind of fault and method",
    "roc-real": "Share of bad layers found against the share of good layers flagged, for each method, real chambers",
}
SET_WORDS = {
    "simulated": "Simulated test set",
    "labelled": "Labelled chambers of the test part",
    "control": "Random control",
}
BAR = 24  # height of a full bar of a distribution, in units of its picture

blueprint = Blueprint("threshold_curve", __name__, url_prefix="/models")


@blueprint.record_once
def _add_filters(state: BlueprintSetupState) -> None:
    state.app.jinja_env.filters["threshold"] = threshold


@blueprint.get("/<name>/curve.json")
def curve(name: str) -> dict[str, object]:
    """The performance at each threshold, by descending score, with positions on the picture."""
    method = current_driftwatch().models.known(name).method
    if method is None or not method.curve:
        raise NotFound(f"The model {name} has no curve: flask evaluate-model {name} --keep makes it.")
    return {"levels": list(LEVELS), "points": ThresholdCurve(method.curve).document()}


def _of_model(known: Known, given: Fields) -> dict[str, Any]:
    method = known.method
    curve = ThresholdCurve(method.curve) if method and method.curve else None
    wanted = _wanted(given, method, next(one.score for one in uses(known) if one.use == SHIFTER))
    tables = _tables(known.evaluation)
    sort, descending = read_order(given, *(keys for _, one in tables for keys in one.keys)) if tables else ("", False)
    return {
        "forgetting": known.model.check and Forgetting.model_validate(known.model.check),
        "curve": curve,
        "wanted": wanted,
        "at": curve and wanted and curve.at(wanted),
        "levels": LEVELS,
        "evaluation": known.evaluation,
        "evaluated": tables,
        "false_alarm_rate": rate,
        "sort": sort,
        "descending": descending,
        "pictures": [(one, words) for one, words in PICTURES.items() if known.stored and one in known.stored.pictures],
        "rates": FALSE_ALARMS,
        "in_words": in_words,
    }


def _tables(evaluation: Evaluation | None) -> list[tuple[str, EvaluationTables]]:
    """(words, tables) for each set of chambers that a model was evaluated on."""
    if evaluation is None:
        return []
    parts = {"simulated": evaluation.simulated} | ({"real": evaluation.real} if evaluation.real else {})
    return [(f"{part.capitalize()} chambers", EvaluationTables(part, found)) for part, found in parts.items()]


def _wanted(given: Fields, method: Method | None, score: float) -> CurvePoint | None:
    """The point requested in the address or form: the threshold for a rate, or a score; by default the current one.
    None if the model has not been evaluated."""
    rate = given.read("rate", percentage("rate"), None)
    score = given.read("score", fraction("score"), score)
    if method is None:
        return None
    return method.for_false_alarms(rate) if rate is not None else method.meaning(score)


def _of_comparison(figures: str) -> dict[str, Any]:
    return {
        "found": SideBySide.readable(figures),
        "set_words": SET_WORDS,
        "rates": FALSE_ALARMS,
        "levels": [level for level in LEVELS if level != ALL],
        "all_kinds": ALL_KINDS,
        "cells": CELLS,
        "bars": _bars,
        "bar": BAR,
        "chamber_at": lambda where: item_url(where.run, _chamber(where)),
        "chamber_of": _chamber,
        "in_words": in_words,
    }


def _bars(cell: Cell) -> list[tuple[int, float]]:
    """The bars of a distribution: (index of the twentieth, height); on a square root scale, so that small bars show."""
    most = max(cell.scores)
    return [(i, round(BAR * (count / most) ** 0.5, 1)) for i, count in enumerate(cell.scores) if count and i < BINS]


def _chamber(where: Where) -> Chamber:
    return Chamber(wheel=where.wheel, station=where.station, sector=where.sector)


def _of_training(job: Job) -> dict[str, Any]:
    labels: Mapping[str, Any] | None = job.progress.get("labels")
    return {
        "plan": Plan.of_args(job.args),
        "labels": labels and Composition.model_validate(labels),
        "has_losses": True,
    }


def _comparison_text(figures: str) -> str:
    """The result of a comparison, as tables for a terminal."""
    found = SideBySide.readable(figures)
    lines = [table_of(f"{one.name.capitalize()} chambers", one.comparison) + "\n" for one in found.sets]
    for change in found.runs:
        layers = f"{change.appear:,} bad layer{'s' * (change.appear != 1)}"
        lines.append(f"run {change.run}: {layers} would appear, {change.go:,} go")
    lines.append(f"{len(found.contradicted)} layers whose label both contradict; see the page of the comparison")
    return "\n".join(lines)


MODELS = ModelPages(
    templates="dt",
    of_model=_of_model,
    of_comparison=_of_comparison,
    of_form=of_form,
    read_plan=read_plan,
    of_training=_of_training,
    comparison_text=_comparison_text,
)
