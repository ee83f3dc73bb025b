"""Keys of places in the API: requests and responses have those of their subsystem as additional fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from app import given
from app.errors import InvalidInput
from app.given import Given
from app.subsystems import SUBSYSTEMS
from app.web.shared.application import current_subsystem
from app.web.shared.fields import whole_number

NO_FIELD = "left out: there is no such field"


def _described(schema: dict[str, Any]) -> None:
    """Add the keys of all subsystems to the description of schemas that have them."""
    properties = schema.setdefault("properties", {})
    for subsystem in SUBSYSTEMS:
        for key in subsystem.path:
            allowed = subsystem.allowed[key]
            of_it = {"type": "integer", "minimum": min(allowed), "maximum": max(allowed)}
            properties.setdefault(key, of_it | {"description": f"of {subsystem.name}"})


class WithPlace(Given):
    """A request with some keys of a place as additional fields."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_described)

    def place_filter(self) -> dict[str, int]:
        """The given keys of a place.

        Raises:
            InvalidInput: an unknown field, or a value that its key cannot have.
        """
        allowed = current_subsystem().allowed
        wanted = {}
        for field, value in (self.model_extra or {}).items():
            if field not in allowed:
                raise InvalidInput(field, value, NO_FIELD)
            if value is not None:
                wanted[field] = given.within(field, _number(value), allowed[field])
        return wanted

    def place(self) -> Any:
        """The given place.

        Raises:
            InvalidInput: a field is unknown or missing, or there is no such place.
        """
        subsystem, extra = current_subsystem(), self.model_extra or {}
        for field, value in extra.items():
            if field not in subsystem.keys:
                raise InvalidInput(field, value, NO_FIELD)
        for key in subsystem.path:
            if key not in extra:
                raise InvalidInput(key, None, "given")
        return subsystem.place(**{key: _number(extra[key]) for key in subsystem.keys})


class PlaceOut(BaseModel):
    """A response with the keys of a place as additional fields."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_described)


def keys_of(place: Any) -> Mapping[str, int]:
    """The keys of a place, as fields."""
    return current_subsystem().in_path(place)


def checked_sort(sort: str, allowed: tuple[str, ...]) -> str:
    """The order of a list: one of some words, or a key of a place.

    Raises:
        InvalidInput: it is neither.
    """
    names = (*allowed, *current_subsystem().path)
    if sort not in names:
        raise InvalidInput("sort", sort, f"one of {', '.join(names)}")
    return sort


def _number(value: Any) -> Any:
    return whole_number(value) if isinstance(value, str) else value
