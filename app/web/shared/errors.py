"""The single error handler of requests: a page for people, a problem document (RFC 9457) for programs."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, current_app, json, render_template, request
from flask.typing import ResponseReturnValue
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException, SecurityError

from app.errors import DiskFull, DriftwatchError, InvalidInput
from app.store.connecting import unavailable

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    app.register_error_handler(DriftwatchError, answer_expected)
    app.register_error_handler(PyMongoError, _database)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OSError, _system)
    app.register_error_handler(Exception, _unexpected)


def answer_expected(error: DriftwatchError) -> Response:
    """One of our own errors, as a page or as a problem document."""
    extra = {"code": error.code}
    if isinstance(error, InvalidInput):
        extra |= {"field": error.field, "value": error.value, "accepted": error.accepted}
    return answer(error.status, str(error), **extra)


def _database(error: PyMongoError) -> Response:
    log.error("%s %s: %s: %s", request.method, request.path, type(error).__name__, error)
    return answer_expected(unavailable(error))


def _system(error: OSError) -> Response:
    full = DiskFull.of(error)
    if full is None:
        return _unexpected(error)
    log.error("%s %s: %s", request.method, request.path, error)
    return answer_expected(full)


def _http(error: HTTPException) -> ResponseReturnValue:
    if error.code is None or error.code < 400:
        return error.get_response()
    if isinstance(error, SecurityError):  # an unknown host name: a page cannot be given links for it
        return Response(error.description, error.code, mimetype="text/plain")
    response = answer(error.code, error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value  # such as Allow
    return response


def _unexpected(error: Exception) -> Response:
    log.exception("%s %s failed unexpectedly", request.method, request.path)
    if current_app.testing:
        raise error
    return answer(
        500, "Something went wrong here, not in what you asked for. It has been logged; nothing was changed half."
    )


def answer(status: int, detail: str, **extra: object) -> Response:
    """An error, as a page or as a problem document; `extra` is for programs only."""
    title = HTTPStatus(status).phrase
    if wants_json():
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": request.path}
        return Response(json.dumps(problem | extra), status, mimetype="application/problem+json")
    return Response(render_template("shared/error.html", status=status, title=title, detail=detail), status)


def wants_json() -> bool:
    """Whether the client is a program: it uses the API."""
    return request.path.startswith(("/api/", "/healthz"))
