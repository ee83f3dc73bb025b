"""Which Driftwatch the request at hand is served by."""

from __future__ import annotations

from flask import current_app

from app.driftwatch import Driftwatch


def current_driftwatch() -> Driftwatch:
    """The one of the application that serves this request."""
    return current_app.extensions["driftwatch"]
