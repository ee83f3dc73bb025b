"""Shared by all commands: access to the program, the account they act for, and errors as one sentence."""

from __future__ import annotations

import functools
import getpass
import logging
from collections.abc import Callable

import click
from flask import current_app
from flask.cli import with_appcontext
from pymongo.errors import PyMongoError

from app import given
from app.driftwatch import Driftwatch
from app.errors import DiskFull, DriftwatchError, SignInNeeded
from app.store.connecting import unavailable, unhurried

LOOK_SECONDS = 0.2  # between two polls of the background work


def command(name: str) -> Callable:
    """A command that receives the `Driftwatch`, closes it at the end, and reports expected errors in one sentence."""

    def decorate(function: Callable) -> click.Command:
        @click.command(name)
        @functools.wraps(function)
        def run(*args: object, **kwargs: object) -> None:
            driftwatch: Driftwatch = current_app.extensions["driftwatch"]
            logging.basicConfig(level=logging.WARNING, format="%(message)s")
            try:
                for name, value in kwargs.items():
                    _require_sound(name, value)
                with unhurried():
                    function(driftwatch, *args, **kwargs)
            except PyMongoError as error:
                raise click.ClickException(str(unavailable(error))) from None
            except DriftwatchError as error:
                raise click.ClickException(str(error)) from None
            except OSError as error:
                if full := DiskFull.of(error):
                    raise click.ClickException(str(full)) from None
                raise
            finally:
                driftwatch.close()

        run.callback = with_appcontext(run.callback)
        return run

    return decorate


def acting(driftwatch: Driftwatch, action: str) -> str:
    """The name of the account that this command acts for, for `by` fields.

    Raises:
        SignInNeeded: there is no account to act for.
        Forbidden: its role is too low for `action`, one of `app.accounts.ACTIONS`.
    """
    account = driftwatch.accounts.at_console(system_user())
    if not account.signed_in and not account.may(action):
        raise SignInNeeded(
            f"There is no account {system_user()} in this database; set DRIFTWATCH_USER to the name of yours."
        )
    account.check(action)
    return account.name if account.signed_in else system_user()


class Whole(click.ParamType):
    """An integer within a range, in plain digits: click's own also accepts 1_000, and numbers of any size."""

    name = "integer"

    def __init__(self, least: int = given.EIGHT_BYTES[0], most: int = given.EIGHT_BYTES[-1]) -> None:
        self._allowed = range(least, most + 1)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return given.within("it", given.whole_number(str(value)), self._allowed)
        except (ValueError, DriftwatchError):
            self.fail(
                f"{value!r} is not a whole number from {self._allowed[0]:,} to {self._allowed[-1]:,}.", param, ctx
            )


class Number(click.ParamType):
    """A finite number in plain notation; its range is checked by whatever uses it."""

    name = "float"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return given.number(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)


def _require_sound(name: str, value: object) -> None:
    """Refuse text that cannot be stored or shown, since the shell passes any bytes. Paths are exempt."""
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, str):
            given.sound_text(name, one)


def system_user() -> str:
    try:
        return given.showable(getpass.getuser())
    except (KeyError, OSError):  # a container without a name for its user
        return "command"
