"""Validation of requests and responses, and the description of the API, shared by all of its modules."""

from __future__ import annotations

from math import ceil
from typing import Any

from flask import Response
from spectree import SpecTree
from spectree.plugins.flask_plugin import FlaskPlugin

from app.errors import InvalidInput, NotFound
from app.web.api.schemas import ErrorOut

REFUSED = {"HTTP_401": ErrorOut, "HTTP_403": ErrorOut}  # nobody is signed in; the role is too low


def _refuse(_request, _response, error: Any, *_: object) -> None:
    """Convert pydantic's errors to our own, which the common error handler answers."""
    if error is None:
        return
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the body"
    if first["type"] == "extra_forbidden":
        raise InvalidInput(field, first["input"], "left out: there is no such field")
    if first["type"] == "missing":
        raise InvalidInput(field, None, "given")
    accepted = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    raise InvalidInput(field, first["input"], accepted)


class _Plugin(FlaskPlugin):
    """SpecTree's handling of requests and responses, except for two cases that it does not expect."""

    def request_validation(self, request: Any, query: Any, json: Any, *others: Any) -> None:
        """Reject a form where JSON is expected: SpecTree would take it for an empty body."""
        if json and request.mimetype in self.FORM_MIMETYPE:
            raise InvalidInput("Content-Type", request.mimetype, "application/json")
        super().request_validation(request, query, json, *others)

    def validate_response(self, resp: Any, *others: Any) -> Any:
        """Leave a streamed response alone, which would otherwise be read into memory."""
        if isinstance(resp, Response) and resp.is_streamed:
            return resp, None
        return super().validate_response(resp, *others)


spec = SpecTree(
    "flask",
    backend=_Plugin,
    title="Driftwatch",
    version="1",
    mode="strict",
    path="openapi",  # SpecTree's own pages are not served: see `describe`
    page_templates={},
    before=_refuse,
    validation_error_status=400,
    validation_error_model=ErrorOut,
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
)


def pages_of(page: int, size: int, count: int) -> int:
    """Number of pages; there is always a first.

    Raises:
        NotFound: the requested page is beyond the last.
    """
    pages = max(1, ceil(count / size))
    if page > pages:
        raise NotFound(f"There is no page {page:,}: the last is {pages:,}.")
    return pages
