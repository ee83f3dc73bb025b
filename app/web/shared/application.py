"""The Driftwatch and the subsystem that serve the current request."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app, g, has_request_context, request

from app.driftwatch import Driftwatch
from app.errors import InvalidInput
from app.subsystems import Subsystem

# Blueprints whose pages are the same for all subsystems.
OF_ALL = frozenset({"signin", "account", "users", "health"})


def init_app(app: Flask) -> None:
    app.before_request(_choose)
    app.url_defaults(_stay)
    app.jinja_env.globals |= {"subsystem": current_subsystem, "subsystems": subsystems, "has_page": has_page}


def current_driftwatch() -> Driftwatch:
    """The Driftwatch of the subsystem that the request names: `subsystem=` in its address."""
    return g.get("driftwatch") or current_app.extensions["driftwatch"]


def current_subsystem() -> Subsystem:
    """The subsystem that the request is about."""
    return current_driftwatch().subsystem


def has_page(blueprint: str) -> bool:
    """Whether the current subsystem has pages that belong to one subsystem only."""
    return current_app.extensions["owners"].get(blueprint) == current_subsystem().name


def subsystems() -> list[Subsystem]:
    """All subsystems."""
    driftwatch = current_driftwatch()
    return [driftwatch.of(name).subsystem for name in driftwatch.subsystems]


def _choose() -> None:
    """Raise InvalidInput if there is no such subsystem, or the page belongs to another one."""
    whole: Driftwatch = current_app.extensions["driftwatch"]
    asked = (request.view_args or {}).get("subsystem") or request.args.get("subsystem")
    owner = current_app.extensions["owners"].get(request.blueprint)
    if asked:
        g.driftwatch = whole.of(asked)
    if owner and owner != current_subsystem().name:
        g.pop("driftwatch", None)
        raise InvalidInput("subsystem", asked or whole.subsystem.name, f"{owner}: no other has this page")


def _stay(endpoint: str, values: dict[str, Any]) -> None:
    """Make the links of a page lead to pages about the same subsystem."""
    if not has_request_context() or "driftwatch" not in g or "subsystem" in values:
        return
    blueprint = endpoint.rpartition(".")[0]
    if blueprint and blueprint not in OF_ALL and blueprint not in current_app.extensions["owners"]:
        values["subsystem"] = g.driftwatch.subsystem.name
