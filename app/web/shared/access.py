"""The acting account and its permissions: checked by every page and by the API, never in the rooms below."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_user
from pymongo.errors import PyMongoError

from app.accounts import Account, Accounts
from app.errors import DriftwatchError, SignInNeeded, TooManyAttempts
from app.web.shared.application import current_driftwatch
from app.web.shared.errors import answer_expected, wants_json
from app.web.shared.sessions import keep_alive, secret_key

OPEN_TO_ALL = frozenset({"static", "health", "signin"})  # blueprints, and the endpoint of static files


class _SignedIn(UserMixin):
    """An account for Flask-Login. Its id includes the stamp, so that a new stamp ends the session."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def get_id(self) -> str:
        return f"{self.account.stamp}/{self.account.name}"


def init_app(app: Flask) -> None:
    manager = LoginManager()
    manager.session_protection = None  # a phone may change its address during a shift
    manager.user_loader(_load)
    manager.init_app(app, add_context_processor=False)
    app.before_request(_close_to_nobody)
    app.after_request(_keep_to_oneself)
    app.register_error_handler(SignInNeeded, _ask_to_sign_in)
    app.register_error_handler(TooManyAttempts, _tell_when)
    app.jinja_env.globals |= {"person": _person_or_nobody, "may": _may, "here": here}


def person() -> Account:
    """The acting account: the signed-in one, or the anonymous one.

    Raises:
        PyMongoError, StoreUnavailable: the database does not answer.
    """
    if failure := g.get("person_failure"):  # the page reporting an unavailable database must not wait for it again
        raise failure
    try:
        return current_user.account if current_user.is_authenticated else accounts().anonymous
    except (PyMongoError, DriftwatchError) as failure:
        g.person_failure = failure
        raise


def needs(action: str) -> Callable[[Callable], Callable]:
    """Restrict a view to those who may do `action`, one of `app.accounts.ACTIONS`: `@needs("label")`."""

    def decorate(view: Callable) -> Callable:
        @functools.wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            person().check(action)
            return view(*args, **kwargs)

        return checked

    return decorate


def begin(account: Account) -> None:
    """Start a session for an account. Nothing of an earlier session is kept.

    Raises:
        SettingsError: there is no key to sign it with.
    """
    secret_key(current_driftwatch().settings)
    session.clear()
    session.permanent = True
    login_user(_SignedIn(account))
    keep_alive()


def accounts() -> Accounts:
    return current_driftwatch().accounts


def _load(session_id: str) -> _SignedIn | None:
    stamp, _, name = session_id.partition("/")
    account = accounts().of_session(name, stamp)
    return _SignedIn(account) if account else None


def _person_or_nobody() -> Account:
    """`person()` for templates; if the database is unavailable, the anonymous account."""
    try:
        return person()
    except (PyMongoError, DriftwatchError):
        return accounts().anonymous


def _may(action: str) -> bool:
    return _person_or_nobody().may(action)


def _close_to_nobody() -> None:
    what = request.blueprint or request.endpoint  # None if no view matches
    if what and what not in OPEN_TO_ALL and not accounts().anonymous.may("view"):
        person().check("view")


def _keep_to_oneself(response: Response) -> Response:
    """Prevent caching for the next user of the browser, and keep the session alive."""
    if session.accessed and request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "private, no-cache")
        if "_user_id" in session:
            keep_alive()
    return response


def _ask_to_sign_in(error: SignInNeeded) -> ResponseReturnValue:
    if request.method in ("GET", "HEAD") and not wants_json():
        return redirect(url_for("signin.form", next=here()), 303)
    response = answer_expected(error)
    response.headers["WWW-Authenticate"] = 'Session realm="Driftwatch"'
    return response


def _tell_when(error: TooManyAttempts) -> Response:
    response = answer_expected(error)
    response.headers["Retry-After"] = str(error.seconds)
    return response


def here() -> str:
    """The address of this page, for returning to it."""
    if request.method not in ("GET", "HEAD"):
        return ""
    return request.script_root + (request.full_path if request.query_string else request.path)
