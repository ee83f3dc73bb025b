"""What a person wants from the queue: the strategy and its limits, remembered in a cookie of this browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Response, request

from app.domain.run_numbers import run_number
from app.domain.strategies import DEFAULT, Strategy
from app.errors import InvalidInput
from app.subsystems.dt.geometry import WHEELS
from app.web.shared import fields
from app.web.shared.fields import YES_OR_NO, Fields

COOKIE = "queue"
REMEMBERED = 365 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Wish:
    """The arguments of a claim."""

    strategy: Strategy = DEFAULT
    run: int | None = None
    wheel: int | None = None
    leave_out_known: bool = False

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Wish:
        """Of a form.

        Raises:
            InvalidInput: a field cannot be used.
        """
        form = Fields(given).given
        readers: dict[str, Callable[[str], Any]] = {
            "strategy": fields.one_of("strategy", {str(strategy): strategy for strategy in Strategy}),
            "run": run_number,
            "wheel": fields.number_in("wheel", WHEELS),
            "leave_out_known": fields.one_of("leave_out_known", YES_OR_NO),
        }
        return cls(**{name: read(form[name]) for name, read in readers.items() if name in form})

    @classmethod
    def remembered(cls) -> Wish:
        """Of this browser; the usual one where its cookie is not one of ours."""
        try:
            return cls.read(dict(parse_qsl(request.cookies.get(COOKIE, ""))))
        except InvalidInput:
            return cls()

    def remember(self, response: Response) -> Response:
        given = {name: str(value).lower() for name, value in asdict(self).items() if value is not None}
        path = request.script_root or "/"
        secure = request.is_secure
        response.set_cookie(
            COOKIE, urlencode(given), max_age=REMEMBERED, path=path, secure=secure, httponly=True, samesite="Lax"
        )
        return response
