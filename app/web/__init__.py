"""What the browser and other programs see: a blueprint a page, the API, and what all answers share."""

from __future__ import annotations

from flask import Flask

from app.web import api, chamber, display, errors, health, overview, runs, scores, security


def init_app(app: Flask) -> None:
    security.init_app(app)
    errors.init_app(app)
    display.init_app(app)
    for module in (overview, runs, chamber, scores, health):
        app.register_blueprint(module.blueprint)
    api.init_app(app)
