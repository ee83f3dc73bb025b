"""Driftwatch: which parts of a particle detector took good data, run by run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from config import Settings


def create_app(settings: Settings) -> Flask:
    """The Flask application. It connects to nothing until it is used, and does nothing in the background by itself."""
    from flask import Flask

    from app import cli
    from app.driftwatch import Driftwatch
    from app.web import blueprints
    from config import ROOT

    app = Flask("driftwatch", root_path=str(ROOT), static_folder="static", template_folder="templates")
    app.extensions["driftwatch"] = Driftwatch(settings)
    blueprints.init_app(app)
    cli.init_app(app)
    return app
