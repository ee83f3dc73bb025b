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
    drift_api,
    errors,
    evaluation_api,
    health,
    influence_api,
    label,
    label_api,
    label_list_api,
    labels,
    model_api,
    models_page,
    overview,
    past_api,
    problems,
    progress,
    reevaluation_api,
    reevaluations,
    run_api,
    run_page,
    runs,
    saliency,
    scores,
    security,
    sessions,
    signin,
    statistics,
    training_api,
    trainings,
    transfer_api,
    transfer_page,
    trends,
    users,
)

for module in (
    drift_api,
    evaluation_api,
    influence_api,
    label_api,
    label_list_api,
    model_api,
    past_api,
    reevaluation_api,
    run_api,
    training_api,
    transfer_api,
):
    api.blueprint.register_blueprint(module.blueprint)  # once: it is one API, whichever application serves it


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
