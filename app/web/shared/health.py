"""/healthz, for monitoring."""

from __future__ import annotations

from flask import Blueprint
from pymongo.errors import PyMongoError

from app.errors import SettingsError, StoreUnavailable
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> tuple[dict, int]:
    """200 if the database answers, 503 if it does not."""
    try:
        current_driftwatch().store.ping()
    except (PyMongoError, StoreUnavailable, SettingsError) as error:
        return {"status": "unavailable", "database": type(error).__name__}, 503
    return {"status": "ok", "database": "ok"}, 200
