"""What the browser and other programs see: a blueprint a page, the API, and what all answers share."""

from __future__ import annotations

from flask import Flask

from app.web import (
    access,
    account,
    agreement,
    api,
    chamber,
    comparison,
    display,
    errors,
    health,
    influence_api,  # noqa: F401 (it adds its routes to those of the API)
    label,
    label_api,  # noqa: F401 (the same)
    label_list_api,  # noqa: F401 (the same)
    labels,
    model_api,  # noqa: F401 (the same)
    models_page,
    overview,
    problems,
    progress,
    runs,
    saliency,
    scores,
    security,
    sessions,
    signin,
    training_api,  # noqa: F401 (the same)
    trainings,
    users,
)


def init_app(app: Flask) -> None:
    security.init_app(app)
    errors.init_app(app)
    sessions.init_app(app)
    access.init_app(app)
    display.init_app(app)
    for module in (
        overview,
        runs,
        label,
        chamber,
        scores,
        labels,
        progress,
        agreement,
        problems,
        models_page,
        comparison,
        trainings,
        saliency,
        signin,
        account,
        users,
        health,
    ):
        app.register_blueprint(module.blueprint)
    api.init_app(app)
