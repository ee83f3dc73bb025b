"""Addresses that each subsystem has in its own terms, such as /eval/toy/<run>/<lumi>/<region>/label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint
from flask.blueprints import BlueprintSetupState

from app.domain.run_numbers import run_number
from app.driftwatch import Driftwatch
from app.errors import InvalidInput
from app.web.shared.application import current_subsystem
from app.web.shared.fields import Fields, whole_number

View = Callable[..., Any]


def of_each(
    blueprint: Blueprint, rule: str, methods: Sequence[str] = ("GET",), plain: bool = False
) -> Callable[[View], View]:
    """Register a view at an address of each subsystem, prefixed with its name for all but the first.

    Args:
        rule: contains "{item}", which becomes `<run>` and the keys of a place, or "{items}", the word for items. The
            view receives the values of "{item}" as text: see `place_at`.
        plain: skip subsystems that have their own pages of items.
    """

    def decorate(view: View) -> View:
        def here(subsystem: str = "", **where: str) -> Any:
            return view(**where)

        here.__name__, here.__doc__ = view.__name__, view.__doc__

        def register(state: BlueprintSetupState) -> None:
            driftwatch: Driftwatch = state.app.extensions["driftwatch"]
            for name in driftwatch.subsystems:
                subsystem = driftwatch.of(name).subsystem
                if plain and subsystem.views().item:
                    continue
                is_first = name == driftwatch.subsystems[0]
                begin = "" if is_first else f"{name}/"
                item = "/".join(("<run>", *(f"<{key}>" for key in subsystem.path)))
                address = rule.format(item=begin + item, items=f"{begin}{subsystem.item}s")
                defaults = {} if is_first else {"subsystem": name}
                state.add_url_rule(address, view.__name__, here, methods=methods, defaults=defaults)

        blueprint.record(register)
        return view

    return decorate


def place_at(texts: Mapping[str, str]) -> Any:
    """Parse a place from text, by key.

    Raises:
        InvalidInput: there is no such place; says what is allowed.
    """
    subsystem = current_subsystem()
    return subsystem.place(**{key: whole_number(texts.get(key, "")) for key in subsystem.keys})


def read_where(form: Fields) -> tuple[int | None, Any]:
    """Run and place from a form; errors are recorded on it."""
    run, place = form.read("run", run_number, None), None
    if all(key in form.given for key in current_subsystem().path):
        try:
            place = place_at(form.given)
        except InvalidInput as error:
            form.refuse(error)
    return run, place


def require_where(form: Fields) -> tuple[int | None, Any]:
    """The same; an empty field is an error too."""
    for name in ("run", *current_subsystem().path):
        if name not in form.given:
            form.errors[name] = f"The {name} is missing."
    return read_where(form)
