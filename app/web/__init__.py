"""What the browser and other programs see: a blueprint a page, the API, and what all answers share."""

from __future__ import annotations

from flask import Flask

from app.web import (
    access,
    account,
    agreement,
    answers,
    api,
    chamber,
    comparison,
    display,
    drift,
    drift_api,  # noqa: F401 (it adds its routes to those of the API)
    errors,
    evaluation_api,  # noqa: F401 (it adds its routes to those of the API)
    health,
    influence_api,  # noqa: F401 (it adds its routes to those of the API)
    label,
    label_api,  # noqa: F401 (the same)
    label_list_api,  # noqa: F401 (the same)
    labels,
    model_api,  # noqa: F401 (the same)
    models_page,
    overview,
    past_api,  # noqa: F401 (the same)
    problems,
    progress,
    reevaluation_api,  # noqa: F401 (the same)
    reevaluations,
    run_api,  # noqa: F401 (the same)
    run_page,
    runs,
    saliency,
    scores,
    security,
    sessions,
    signin,
    statistics,
    training_api,  # noqa: F401 (the same)
    trainings,
    transfer_api,  # noqa: F401 (the same)
    transfer_page,
    trends,
    users,
)


def init_app(app: Flask) -> None:
    security.init_app(app)
    errors.init_app(app)
    sessions.init_app(app)
    access.init_app(app)
    display.init_app(app)
    reevaluations.init_app(app)
    for module in (
        overview,
        run_page,
        runs,
        label,
        chamber,
        scores,
        labels,
        progress,
        agreement,
        answers,
        problems,
        models_page,
        comparison,
        trainings,
        reevaluations,
        drift,
        saliency,
        transfer_page,
        trends,
        statistics,
        signin,
        account,
        users,
        health,
    ):
        app.register_blueprint(module.blueprint)
    api.init_app(app)
