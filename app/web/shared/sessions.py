"""The session: a signed cookie with the signed-in account, the name of the cookie, and the signing key."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from datetime import timedelta
from pathlib import Path

from flask import Flask, Request, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from pymongo.errors import PyMongoError

from app.errors import DriftwatchError, SettingsError
from config import Settings

log = logging.getLogger(__name__)

LIFETIME = timedelta(hours=12)  # without any request: a shift and the way home
RENEWED_AFTER = 3600  # seconds
KEY_FILE = "secret_key"


def init_app(app: Flask) -> None:
    settings: Settings = app.extensions["driftwatch"].settings
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=LIFETIME,
        SESSION_REFRESH_EACH_REQUEST=False,  # see `keep_alive`
    )
    app.session_interface = _Sessions(settings)


def keep_alive() -> None:
    """Extend the session of this request, but only now and then.

    A response in flight while somebody signs out must not restore the cookie, so only few responses carry one.
    """
    if time.time() - session.get("renewed", 0) > RENEWED_AFTER:
        session["renewed"] = int(time.time())


class _Sessions(SecureCookieSessionInterface):
    """Flask's own, with a key that is created on first use, and Secure if the request was."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of a request; None if there is no key, so that nobody can be signed in."""
        try:
            return super().open_session(app, request)
        except SettingsError as error:  # boundary: Flask treats exceptions here as internal errors
            log.error("%s", error)
            return None

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        if not app.secret_key:
            with self._lock:
                app.secret_key = secret_key(self._settings)
        return super().get_signing_serializer(app)

    def get_cookie_name(self, app: Flask) -> str:
        """A name specific to the database: all processes that serve it share a session, and two installations on one
        host do not clash (browsers ignore the port of a host). Without a database, a name that belongs to none."""
        try:
            return f"driftwatch_{app.extensions['driftwatch'].store.installation}"
        except (PyMongoError, DriftwatchError):
            return "driftwatch"

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def secret_key(settings: Settings) -> str:
    """The key that signs sessions: SECRET_KEY, or else the one stored in DATA_DIR, which is created if necessary.

    Raises:
        SettingsError: it can be neither read nor created.
    """
    if settings.secret_key:
        return settings.secret_key
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            _keep_new_key(path)
        return path.read_text("ascii")
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR is {settings.data_dir}, but the key that signs sessions cannot be kept there: {error.strerror}."
        ) from None


def _keep_new_key(path: Path) -> None:
    """Write a file completely before giving it its name: of two processes that start at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
    fresh.touch(0o600, exist_ok=False)
    try:
        fresh.write_text(secrets.token_urlsafe(48), "ascii")
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()
