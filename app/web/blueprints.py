"""Registration of all pages and the API with the application, and the processing common to all responses."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask

from app.driftwatch import Driftwatch
from app.web.accounts import account, sign_in, users
from app.web.api import blueprint as api
from app.web.data import scores, transfer_page
from app.web.labels import item_page, label_lists, label_page, progress
from app.web.models import comparison, models_page, training_pages
from app.web.review import agreement, answers, problems
from app.web.runs import drift, fetching, overview, reevaluations, run_page
from app.web.shared import access, application, display, errors, health, security, sessions

PAGES = (
    *(overview, run_page, fetching, reevaluations, drift),
    *(label_page, item_page, label_lists, progress),
    *(agreement, answers, problems),
    *(models_page, comparison, training_pages),
    *(scores, transfer_page),
    *(sign_in, account, users, health),
)


def init_app(app: Flask) -> None:
    for shared in (application, security, errors, sessions, access, display, reevaluations, item_page):
        shared.init_app(app)
    driftwatch: Driftwatch = app.extensions["driftwatch"]
    views = {name: driftwatch.of(name).subsystem.views() for name in driftwatch.subsystems}
    for page in PAGES:
        app.register_blueprint(page.blueprint)
    owners = app.extensions["owners"] = {}  # blueprint → the subsystem that owns it
    for name, its in views.items():
        for blueprint in its.pages:
            app.register_blueprint(blueprint)
            owners[blueprint.name] = name
    api.init_app(app, {name: its.api for name, its in views.items()}, owners)
    first = next(iter(views.values()))
    for endpoint in {one for its in views.values() for one in its.instead}:
        plain = app.view_functions[endpoint]
        app.view_functions[endpoint] = _chosen(endpoint, plain, first.instead.get(endpoint, plain))


def _chosen(endpoint: str, plain: Callable[..., Any], described: Callable[..., Any]) -> Callable[..., Any]:
    """A view that a subsystem may replace by its own.

    Args:
        described: the view of the default subsystem, whose request and response appear in the description of the
            API.
    """

    @wraps(described)
    def view(**arguments: Any) -> Any:
        return application.current_subsystem().views().instead.get(endpoint, plain)(**arguments)

    return view
