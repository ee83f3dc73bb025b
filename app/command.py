"""What every command shares: the program it works on, whom it acts for, and one sentence for whatever went wrong."""

from __future__ import annotations

import functools
import getpass
import logging
from collections.abc import Callable

import click
from flask import current_app
from flask.cli import with_appcontext
from pymongo.errors import PyMongoError

from app.driftwatch import Driftwatch
from app.errors import DiskFull, DriftwatchError, SignInNeeded
from app.store.connecting import unavailable

LOOK_SECONDS = 0.2  # between two looks at what the background is doing


def command(name: str) -> Callable:
    """A command that gets the `Driftwatch`, puts it away at the end, and answers expected errors with one sentence."""

    def decorate(function: Callable) -> click.Command:
        @click.command(name)
        @functools.wraps(function)
        def run(*args: object, **kwargs: object) -> None:
            driftwatch: Driftwatch = current_app.extensions["driftwatch"]
            logging.basicConfig(level=logging.WARNING, format="%(message)s")
            try:
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
    """Who runs this command, for `by` fields.

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


def system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "command"
