"""The API under /api/v1/: the same use cases as the pages, as JSON. Its description is generated from this code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Flask, Response, request

from app.errors import NotFound
from app.web.api import (
    drift,
    evaluation,
    label_lists,
    labelling,
    models,
    reevaluations,
    runs,
    scores,
    training,
    transfer,
)
from app.web.api.definition import spec

PARTS = (
    runs,
    scores,
    labelling,
    label_lists,
    models,
    evaluation,
    training,
    reevaluations,
    drift,
    transfer,
)


def init_app(app: Flask, own: Mapping[str, Sequence[Blueprint]], owners: dict[str, str]) -> None:
    """Register all parts of the API.

    Args:
        own: a subsystem's own parts, by its name.
        owners: receives the subsystem of each of their blueprints.
    """
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
    for part in PARTS:
        blueprint.register_blueprint(part.blueprint)
    for name, its in own.items():
        for one in its:
            blueprint.register_blueprint(one)
            owners[f"api.{one.name}"] = name
    blueprint.add_url_rule("/openapi.json", view_func=describe)
    blueprint.add_url_rule("/", "nothing_here", nothing_here, defaults={"path": ""})
    blueprint.add_url_rule("/<path:path>", view_func=nothing_here)
    blueprint.after_request(_remember)
    app.register_blueprint(blueprint)
    spec.app = app


def describe() -> dict[str, Any]:
    """The description of this API as an OpenAPI document."""
    return spec.spec


def nothing_here(path: str) -> Any:
    raise NotFound(f"There is no /api/v1/{path}; what there is stands in /api/v1/openapi.json.")


def _remember(response: Response) -> Any:
    """Allow polling clients to be answered that nothing has changed."""
    if request.method == "GET" and response.status_code == 200 and not response.is_streamed:
        response.add_etag()
        response.headers["Cache-Control"] = "no-cache"
        return response.make_conditional(request)
    return response
