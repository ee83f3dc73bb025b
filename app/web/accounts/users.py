"""`/users/`: the accounts, for admins."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts import ACTIONS, Role
from app.errors import Conflict, InvalidInput
from app.web.shared.access import accounts, needs, person
from app.web.shared.fields import one_of

ROLES = {str(role): role for role in Role}

blueprint = Blueprint("users", __name__, url_prefix="/users")


@blueprint.get("/")
@needs("users")
def index() -> str:
    return _page()


@blueprint.post("/")
@needs("users")
def add() -> str | tuple[str, int]:
    """Create an account, and a link for its owner to sign in."""
    written = request.form.get("name", "")
    try:
        role = one_of("role", ROLES)(request.form.get("role", ""))
        account = accounts().add(written, role, by=person().name)
    except InvalidInput as error:
        return _page(written, f"{error.value} is not possible here: it must be {error.accepted}."), error.status
    except Conflict as error:
        return _page(written, str(error)), error.status
    return _page_with_link(account.name)


@blueprint.post("/<name>/link")
@needs("users")
def link(name: str) -> str | tuple[str, int]:
    """Create a one-time sign-in link for an account."""
    return _page_with_link(name)


@blueprint.post("/<name>/role")
@needs("users")
def set_role(name: str) -> ResponseReturnValue:
    accounts().set_role(name, one_of("role", ROLES)(request.form.get("role", "")), by=person().name)
    return redirect(url_for(".index"), 303)


@blueprint.post("/<name>/disable")
@needs("users")
def disable(name: str) -> ResponseReturnValue:
    accounts().disable(name, by=person().name)
    return redirect(url_for(".index"), 303)


@blueprint.post("/<name>/enable")
@needs("users")
def enable(name: str) -> ResponseReturnValue:
    accounts().enable(name, by=person().name)
    return redirect(url_for(".index"), 303)


@blueprint.after_request
def _forget(response: Response) -> Response:
    """Forbid caching: the page may show a link."""
    response.headers["Cache-Control"] = "no-store"
    return response


def _page_with_link(name: str) -> str:
    token = accounts().new_link(name, by=person().name)
    return _page(link=(name, url_for("signin.link", token=token, _external=True)))


def _page(written: str = "", error: str = "", link: tuple[str, str] | None = None) -> str:
    return render_template(
        "accounts/users.html",
        accounts=accounts().all(),
        roles=[(role, [action for action, least in ACTIONS.items() if least is role]) for role in Role],
        written=written,
        error=error,
        link=link,
    )
