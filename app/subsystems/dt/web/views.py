"""The drift tubes' additions to the pages and the API."""

from __future__ import annotations

from app.subsystems.dt.web import chamber_api, chamber_page, influence_api, influence_pages, trends
from app.subsystems.views import Views

VIEWS = Views(
    pages=(chamber_page.blueprint, trends.blueprint, influence_pages.blueprint),
    item=chamber_page.PAGES,
    api=(chamber_api.blueprint, influence_api.blueprint),
)
