"""What all commands share: the subsystem, the acting account, and one-sentence error messages."""

from __future__ import annotations

import functools
import getpass
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from pymongo.errors import PyMongoError

from app import given
from app.driftwatch import Driftwatch
from app.errors import DiskFull, DriftwatchError, InvalidInput, SignInNeeded
from app.store.connecting import unavailable

LOOK_SECONDS = 0.2  # interval for polling background jobs
WHOSE = "Which subsystem is meant; the first, if not given."


def command(name: str, of_all: bool = False) -> Callable:
    """A command that gets the `Driftwatch`, closes it at the end, and reports expected errors in one sentence.

    Args:
        of_all: the command is the same for all subsystems; otherwise `--subsystem` selects the `Driftwatch` it gets.
    """

    def decorate(function: Callable) -> click.Command:
        @click.command(name)
        @functools.wraps(function)
        def run(*args: object, subsystem: str | None = None, **kwargs: object) -> None:
            whole: Driftwatch = current_app.extensions["driftwatch"]
            logging.basicConfig(level=logging.WARNING, format="%(message)s")
            try:
                for name, value in {"subsystem": subsystem, **kwargs}.items():
                    _require_sound(name, value)
                function(whole.of(subsystem) if subsystem else whole, *args, **kwargs)
            except PyMongoError as error:
                raise click.ClickException(str(unavailable(error))) from None
            except DriftwatchError as error:
                raise click.ClickException(str(error)) from None
            except OSError as error:
                if full := DiskFull.of(error):
                    raise click.ClickException(str(full)) from None
                raise
            finally:
                whole.close()

        run.callback = with_appcontext(run.callback)
        if not of_all:
            run.params.append(click.Option(["--subsystem"], metavar="NAME", help=WHOSE))
        return run

    return decorate


class OfEach(click.Command):
    """A command that some subsystems replace: `--subsystem` selects which one is run and which help is shown.

    Args:
        plain: for subsystems without their own; None if they have no such command.
        own: subsystem → its own command.
        first: the default subsystem.
    """

    def __init__(self, name: str, plain: click.Command | None, own: Mapping[str, click.Command], first: str) -> None:
        usual = own.get(first) or plain or next(iter(own.values()))
        super().__init__(name, help=usual.help)
        self._plain, self._own, self._first = plain, own, first

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        asked = _subsystem_of(args) or self._first
        chosen = self._own.get(asked, self._plain)
        if chosen is None:
            having = " or ".join(self._own)
            raise click.ClickException(str(InvalidInput("subsystem", asked, f"{having}: no other has this command")))
        return chosen.make_context(info_name, args, parent, **extra)


def _subsystem_of(args: Sequence[str]) -> str:
    """The subsystem named in a command's arguments.

    >>> _subsystem_of(["NAME", "--subsystem", "ecal"]), _subsystem_of(["--subsystem=ecal"]), _subsystem_of(["NAME"])
    ('ecal', 'ecal', '')
    """
    for argument, after in zip(args, [*args[1:], ""], strict=False):
        name, is_given, value = argument.partition("=")
        if name == "--subsystem":
            return value if is_given else after
    return ""


def acting(driftwatch: Driftwatch, action: str) -> str:
    """Return the account that runs this command, for `by` fields.

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
    """A whole number within a range, in plain digits; click's own type accepts 1_000 and numbers of any size."""

    name = "integer"

    def __init__(self, least: int = given.EIGHT_BYTES[0], most: int = given.EIGHT_BYTES[-1]) -> None:
        self._allowed = range(least, most + 1)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return given.within("it", given.whole_number(str(value)), self._allowed)
        except (ValueError, DriftwatchError):
            least, most = self._allowed[0], self._allowed[-1]
            self.fail(f"{value!r} is not a whole number from {least:,} to {most:,}.", param, ctx)


class Number(click.ParamType):
    """A finite number in plain notation; its range is checked where it is used."""

    name = "float"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return given.number(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)


def _require_sound(name: str, value: object) -> None:
    """Reject text that cannot be stored or displayed, as the shell passes any bytes. Paths may have such names."""
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, str):
            given.sound_text(name, one)


def system_user() -> str:
    try:
        return given.showable(getpass.getuser())
    except (KeyError, OSError):  # a container whose user has no name
        return "command"
