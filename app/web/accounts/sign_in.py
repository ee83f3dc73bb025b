"""`/sign-in/`: sign in by name and password or by a one-time link; and sign out."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import logout_user

from app.errors import SignInRefused
from app.web.shared.access import accounts, begin, person

blueprint = Blueprint("signin", __name__, url_prefix="/sign-in")


@blueprint.get("/")
def form() -> str:
    return _form()


@blueprint.post("/")
def sign_in() -> ResponseReturnValue:
    """Start a session by name and password."""
    name, password = request.form.get("name", ""), request.form.get("password", "")
    try:
        begin(accounts().sign_in(name, password, request.remote_addr or ""))
    except SignInRefused as error:
        return _form(name, str(error)), error.status
    return redirect(_on_this_site(request.form.get("next", "")), 303)


@blueprint.get("/link/<token>")
def link(token: str) -> str:
    """Ask for a click on a button: a preview of the link must not use it up."""
    return render_template("accounts/sign_in_link.html", account=accounts().link_owner(token))


@blueprint.post("/link/<token>")
def use_link(token: str) -> ResponseReturnValue:
    """Start a session by a one-time link."""
    begin(accounts().use_link(token))
    return redirect(url_for("overview.index"), 303)


@blueprint.post("/out")
def out() -> ResponseReturnValue:
    """End the session in this browser."""
    logout_user()
    session.clear()
    return redirect(url_for("overview.index"), 303)


def _form(name: str = "", error: str = "") -> str:
    return render_template(
        "accounts/sign_in.html", name=name, error=error, next=request.values.get("next", ""), known=person().signed_in
    )


def _on_this_site(address: str) -> str:
    """Where to go after signing in; the start page, if the address could lead to another site.

    >>> from flask import Flask
    >>> app = Flask("example"); _ = app.add_url_rule("/", "overview.index")
    >>> with app.test_request_context():
    ...     [_on_this_site(a) for a in ("/fetch/?page=2", "//elsewhere.org", "https://elsewhere.org", "")]
    ['/fetch/?page=2', '/', '/', '/']
    """
    plain = address.isprintable() and "\\" not in address and address.startswith("/") and not address.startswith("//")
    if plain and not urlsplit(address).netloc:
        return address
    return url_for("overview.index")
