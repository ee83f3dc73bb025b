"""All pages and the API, registered on the application, and what every answer passes through."""

from __future__ import annotations

from flask import Flask

from app.subsystems.dt.web import chamber_page, influence_pages, trends
from app.web.accounts import account, sign_in, users
from app.web.api import blueprint as api
from app.web.data import scores, statistics, transfer_page
from app.web.labels import label_lists, label_page, progress
from app.web.models import comparison, models_page, training_pages
from app.web.review import agreement, answers, problems
from app.web.runs import drift, fetching, overview, reevaluations, run_page
from app.web.shared import access, display, errors, health, security, sessions

PAGES = (
    *(overview, run_page, fetching, reevaluations, drift, trends),
    *(label_page, chamber_page, label_lists, progress),
    *(agreement, answers, problems),
    *(models_page, comparison, training_pages),
    *(scores, statistics, transfer_page, influence_pages),
    *(sign_in, account, users, health),
)


def init_app(app: Flask) -> None:
    for shared in (security, errors, sessions, access, display, reevaluations):
        shared.init_app(app)
    for page in PAGES:
        app.register_blueprint(page.blueprint)
    api.init_app(app)
