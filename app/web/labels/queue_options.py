"""A person's queue options: strategy and restrictions, stored in a cookie of this browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Response, request

from app.domain.run_numbers import run_number
from app.domain.strategies import DEFAULT, Strategy
from app.errors import InvalidInput
from app.web.shared import fields
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.fields import YES_OR_NO, Fields

REMEMBERED = 365 * 24 * 3600  # seconds


@dataclass(frozen=True)
class QueueOptions:
    """The arguments of a claim.

    Attributes:
        place: restriction by the first key of a place.
    """

    strategy: Strategy = DEFAULT
    run: int | None = None
    place: int | None = None
    leave_out_known: bool = False

    @property
    def in_place(self) -> dict[str, int]:
        """The key and its value, if restricted."""
        return {} if self.place is None else {current_subsystem().keys[0]: self.place}

    @classmethod
    def read(cls, given: Mapping[str, str]) -> QueueOptions:
        """Parse a form.

        Raises:
            InvalidInput: a field is invalid.
        """
        subsystem, form = current_subsystem(), Fields(given).given
        key = subsystem.keys[0]
        readers: dict[str, Callable[[str], Any]] = {
            "strategy": fields.one_of("strategy", {str(strategy): strategy for strategy in Strategy}),
            "run": run_number,
            key: fields.number_in(key, subsystem.allowed[key]),
            "leave_out_known": fields.one_of("leave_out_known", YES_OR_NO),
        }
        read = {name: reader(form[name]) for name, reader in readers.items() if name in form}
        return cls(place=read.pop(key, None), **read)

    @classmethod
    def remembered(cls) -> QueueOptions:
        """Those stored in this browser; the defaults if the cookie is invalid."""
        try:
            return cls.read(dict(parse_qsl(request.cookies.get(cookie(), ""))))
        except InvalidInput:
            return cls()

    def remember(self, response: Response) -> Response:
        key = current_subsystem().keys[0]
        chosen = {"strategy": self.strategy, "run": self.run, key: self.place, "leave_out_known": self.leave_out_known}
        given = {name: str(value).lower() for name, value in chosen.items() if value is not None}
        path = request.script_root or "/"
        secure = request.is_secure
        response.set_cookie(
            cookie(), urlencode(given), max_age=REMEMBERED, path=path, secure=secure, httponly=True, samesite="Lax"
        )
        return response


def cookie() -> str:
    """Name of the cookie, different for each subsystem."""
    name = current_subsystem().name
    return "queue" if name == current_driftwatch().subsystems[0] else f"queue_{name}"
