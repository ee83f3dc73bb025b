"""Checks on every request and headers of every response: cross-site requests, host names, invalid text, and the content
security policy."""

from __future__ import annotations

import ipaddress

from flask import Flask, Response, abort, request
from flask.json.provider import DefaultJSONProvider

from app.errors import InvalidInput
from app.given import parsed, sound_text
from config import Settings

LARGEST_REQUEST = 1_000_000  # bytes; our forms and JSON bodies need a thousandth of that
UPLOADS = {"transfer.check", "api.transfer.import_file"}  # with larger bodies, read by the view
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def init_app(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    app.config["TRUSTED_HOSTS"] = _trusted_hosts(app.extensions["driftwatch"].settings)
    app.json = _Json(app)
    app.before_request(_refuse_other_sites)
    app.before_request(_refuse_unsound_texts)
    app.after_request(_add_headers)


def _trusted_hosts(settings: Settings) -> list[str] | None:
    """Host names under which our pages may be requested; None for any.

    If we only listen on this machine, no other name can be meant: it would be another site whose name was made to
    resolve to here (DNS rebinding).
    """
    named = [host.strip() for host in settings.trusted_hosts.split(",") if host.strip()]
    if not named and not is_loopback(settings.host):
        return None
    return ["localhost", "127.0.0.1", "[::1]", settings.host, *named]


def is_loopback(host: str) -> bool:
    """Whether a server listening there can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_other_sites() -> None:
    """Prevent pages of other sites from changing anything on behalf of their visitors.

    Browsers send the origin of a request in Sec-Fetch-Site, older ones in Origin; programs send neither.
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        allowed = origin is None or origin in (f"http://{request.host}", f"https://{request.host}")
    if not allowed:
        abort(403, f"This request comes from a page of another site ({origin or site}), which may change nothing here.")


def _refuse_unsound_texts() -> None:
    """Reject text that cannot be stored or displayed in a path, query or form; for JSON see `_Json`."""
    given = [*(request.view_args or {}).items(), *request.args.items(multi=True)]
    if request.method not in SAFE_METHODS and request.endpoint not in UPLOADS:
        given += request.form.items(multi=True)
    for name, text in given:
        sound_text("the name of a field", name)
        sound_text(name, text)


class _Json(DefaultJSONProvider):
    """Flask's JSON provider, restricted to values that can be stored."""

    def loads(self, s: str | bytes, **kwargs: object) -> object:
        try:
            return parsed(s)
        except ValueError as error:
            raise InvalidInput("the body", s[:60], f"JSON that can be kept: {error}") from None


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
