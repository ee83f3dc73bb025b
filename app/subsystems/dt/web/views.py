"""What the drift tubes add to the pages, the API and the commands."""

from __future__ import annotations

from collections.abc import Sequence

import click

from app.subsystems.dt.web import (
    chamber_api,
    chamber_page,
    influence_api,
    influence_pages,
    model_api,
    model_pages,
    training_form,
    trends,
)
from app.subsystems.views import Views


def _commands() -> Sequence[click.Command]:
    from app.subsystems.dt.cli import COMMANDS  # it stands above the pages

    return COMMANDS


VIEWS = Views(
    pages=(
        chamber_page.blueprint,
        trends.blueprint,
        influence_pages.blueprint,
        model_pages.blueprint,
        training_form.blueprint,
    ),
    instead=model_api.INSTEAD,
    item=chamber_page.PAGES,
    models=model_pages.MODELS,
    api=(chamber_api.blueprint, influence_api.blueprint),
    commands=_commands,
)
