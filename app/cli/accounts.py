"""The commands about accounts: `flask users`."""

from __future__ import annotations

import sys

import click
from flask import current_app, url_for

from app.accounts import LINK_HOURS, Role
from app.cli.command import acting, command, system_user
from app.driftwatch import Driftwatch
from app.web.shared.security import is_loopback

ROLES = click.Choice([str(role) for role in Role])


@click.group("users")
def users_group() -> None:
    """Accounts: who may do what."""


@command("add", of_all=True)
@click.argument("name")
@click.option("--role", type=ROLES, required=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, for scripts.")
@click.option("--no-password", is_flag=True, help="Set none: the account is entered by a link (flask users link).")
def add_user(driftwatch: Driftwatch, name: str, role: str, password_stdin: bool, no_password: bool) -> None:
    """Create an account; asks for its password."""
    by = acting(driftwatch, "users")
    password = None if no_password else _password(password_stdin)
    account = driftwatch.accounts.add(name, Role(role), by, password)
    click.echo(f"{account.name}: added, {account.role}")


@command("list", of_all=True)
def list_users(driftwatch: Driftwatch) -> None:
    """List the accounts, by name."""
    acting(driftwatch, "users")
    for account in driftwatch.accounts.all():
        state = "disabled" if account.disabled else "active"
        password = "" if account.has_password else "no password"
        click.echo(f"{account.name:24} {account.role:8} {state:8} {password}".rstrip())


@command("role", of_all=True)
@click.argument("name")
@click.argument("role", type=ROLES)
def set_role(driftwatch: Driftwatch, name: str, role: str) -> None:
    """Change an account's role."""
    account = driftwatch.accounts.set_role(name, Role(role), by=acting(driftwatch, "users"))
    click.echo(f"{account.name}: {account.role}")


@command("disable", of_all=True)
@click.argument("name")
def disable_user(driftwatch: Driftwatch, name: str) -> None:
    """Disable an account; what it did stays under its name."""
    account = driftwatch.accounts.disable(name, by=acting(driftwatch, "users"))
    click.echo(f"{account.name}: disabled")


@command("enable", of_all=True)
@click.argument("name")
def enable_user(driftwatch: Driftwatch, name: str) -> None:
    """Enable a disabled account."""
    account = driftwatch.accounts.enable(name, by=acting(driftwatch, "users"))
    click.echo(f"{account.name}: active")


@command("password", of_all=True)
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, for scripts.")
def set_password(driftwatch: Driftwatch, name: str, password_stdin: bool) -> None:
    """Set a new password for an account; ends its sessions."""
    by = acting(driftwatch, "users")
    name = driftwatch.accounts.get(name).name  # fail before prompting for a password
    driftwatch.accounts.set_password(name, _password(password_stdin), by)
    click.echo(f"{name}: password changed")


@command("link", of_all=True)
@click.argument("name", required=False)
def make_link(driftwatch: Driftwatch, name: str | None) -> None:
    """Print a link that signs in once, within 24 hours: as NAME, or as the local admin."""
    by = acting(driftwatch, "users")
    name, token = (
        (name, driftwatch.accounts.new_link(name, by)) if name else driftwatch.accounts.local_link(system_user())
    )
    host, port = driftwatch.settings.host, driftwatch.settings.port
    if is_loopback(host) and port:
        where = sign_in_url(host, port, token)
    else:  # the address of the pages is unknown
        where = f"/sign-in/link/{token}, appended to the address of the pages"
    click.echo(f"{name}, once, within {LINK_HOURS} hours: {where}")


for _command in (add_user, list_users, set_role, disable_user, enable_user, set_password, make_link):
    users_group.add_command(_command)


def sign_in_url(host: str, port: int, token: str) -> str:
    """Address of a sign-in link, for pages served by this machine."""
    host = f"[{host}]" if ":" in host else host
    with current_app.test_request_context(base_url=f"http://{host}:{port}"):
        return url_for("signin.link", token=token, _external=True)


def _password(from_standard_input: bool) -> str:
    if from_standard_input:
        return sys.stdin.readline().rstrip("\r\n")
    return click.prompt("Password", hide_input=True, confirmation_prompt=True)
