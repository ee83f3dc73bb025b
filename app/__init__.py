"""Driftwatch: which parts of a particle detector took good data, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.subsystems import Subsystem
    from config import Settings


def create_app(settings: Settings, subsystems: Sequence[Subsystem] = ()) -> Flask:
    """The Flask application. It connects to nothing until it is used, and does nothing in the background by itself.

    Args:
        subsystems: those that there are; those of the one table, if not given.
    """
    from flask import Flask

    from app import cli
    from app.driftwatch import Driftwatch
    from app.subsystems import SUBSYSTEMS
    from app.web import blueprints
    from config import ROOT

    app = Flask("driftwatch", root_path=str(ROOT), static_folder="static", template_folder="templates")
    app.extensions["driftwatch"] = Driftwatch(settings, subsystems or SUBSYSTEMS)
    blueprints.init_app(app)
    cli.init_app(app)
    return app
