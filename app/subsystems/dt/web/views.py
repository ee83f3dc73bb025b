"""What the drift tubes add to the pages, the API and the commands."""

from __future__ import annotations

from collections.abc import Sequence

import click

from app.domain.items import Item
from app.domain.runs import Run
from app.subsystems.dt.web import (
    chamber_api,
    chamber_page,
    influence_api,
    influence_pages,
    model_api,
    model_pages,
    statistics,
    training_form,
    trends,
)
from app.subsystems.dt.web.run_map import VIEW_WORDS, RunMap, View, run_map
from app.subsystems.views import RunPicture, Views
from app.web.labels.label_words import Reader
from app.web.runs.run_report import RunReport


def _run_picture(run: Run, items: Sequence[Item], view: str, reader: Reader, report: RunReport | None) -> RunMap:
    return run_map(run, items, View(view), reader, report)


def _commands() -> Sequence[click.Command]:
    from app.subsystems.dt.cli import COMMANDS  # it is above the pages

    return COMMANDS


VIEWS = Views(
    pages=(
        chamber_page.blueprint,
        trends.blueprint,
        influence_pages.blueprint,
        model_pages.blueprint,
        training_form.blueprint,
        statistics.blueprint,
    ),
    instead=model_api.INSTEAD,
    item=chamber_page.PAGES,
    models=model_pages.MODELS,
    run_picture=RunPicture("dt/_map.html", {str(view): words for view, words in VIEW_WORDS.items()}, _run_picture),
    styles=("dt/chamber.css", "dt/saliency.css"),
    api=(chamber_api.blueprint, influence_api.blueprint),
    commands=_commands,
)
