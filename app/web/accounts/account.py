"""`/account/`: one's own account."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts.passwords import SHORTEST
from app.errors import InvalidInput, SignInNeeded, SignInRefused
from app.web.shared.access import accounts, begin, person

blueprint = Blueprint("account", __name__, url_prefix="/account")


@blueprint.before_request
def _only_ones_own() -> None:
    if not person().signed_in:
        raise SignInNeeded("Sign in first: this page is about one's own account.")


@blueprint.get("/")
def show() -> str:
    return _page(changed="changed" in request.args)


@blueprint.post("/password")
def change_password() -> ResponseReturnValue:
    """Change one's own password. This ends the sessions in other browsers."""
    old, new, again = (request.form.get(name, "") for name in ("old", "new", "again"))
    if new != again:
        return _page("The new password was not written the same way twice."), 400
    try:
        begin(accounts().change_password(person(), old, new, request.remote_addr or ""))
    except InvalidInput as error:
        return _page(f"The new password must be {error.accepted}."), error.status
    except SignInRefused as error:
        return _page(str(error)), error.status
    return redirect(url_for(".show", changed=""), 303)


def _page(error: str = "", changed: bool = False) -> str:
    return render_template("accounts/account.html", error=error, changed=changed, shortest=SHORTEST)
