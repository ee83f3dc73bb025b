"""Parsing of form fields and query strings, with one clear sentence for each error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from app import given
from app.errors import InvalidInput
from app.pictures import Scheme

T = TypeVar("T")
D = TypeVar("D")


class Fields:
    """The values of a form and their errors.

    Attributes:
        given: name → text as entered, for showing it again.
        errors: name → what is allowed, as a sentence, for invalid fields.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = {name: text for name, text in given.items() if text.strip()}
        self.errors: dict[str, str] = {}

    def read(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        """The value of a field; the default if it is empty or invalid (then `errors` has it)."""
        if name not in self.given:
            return default
        try:
            return parse(self.given[name])
        except InvalidInput as error:
            self.refuse(error, name)
            return default

    def refuse(self, error: InvalidInput, name: str | None = None) -> None:
        self.errors[name or error.field] = f"{error.value} is not possible here: it must be {error.accepted}."

    @property
    def status(self) -> int:
        """The HTTP status of the page that shows the form again."""
        return 400 if self.errors else 200


def whole_number(text: str) -> Any:
    """Parse a whole number, or return the text, so that `given.within` can report what is accepted.

    >>> whole_number(" −1"), whole_number("+2"), whole_number("two")
    (-1, 2, 'two')
    """
    try:
        return given.whole_number(text)
    except ValueError:
        return text


def number_in(field: str, allowed: Sequence[int]) -> Callable[[str], int]:
    """A parser for whole numbers within a range."""

    def parse(text: str) -> int:
        return given.within(field, whole_number(text), allowed)

    return parse


def number_from(field: str, low: float, high: float) -> Callable[[str], float]:
    """A parser for numbers within a range, both ends included, without an exponent."""

    def parse(text: str) -> float:
        accepted = f"a number from {low:g} to {high:g}"
        try:
            value = given.number(text)
        except ValueError:
            raise InvalidInput(field, text, accepted) from None
        if not low <= value <= high or "e" in text.lower():
            raise InvalidInput(field, text, accepted)
        return value

    return parse


def fraction(field: str) -> Callable[[str], float]:
    """A parser for numbers from 0 to 1."""
    return number_from(field, 0, 1)


def percentage(field: str) -> Callable[[str], float]:
    """A parser for percentages, with or without the % sign, returned as a fraction.

    >>> percentage("rate")("0.5 %")
    0.005
    """

    def parse(text: str) -> float:
        accepted = "a number of per cent, above 0 and 100 at most"
        try:
            share = given.number(text.strip().removesuffix("%")) / 100
        except ValueError:
            raise InvalidInput(field, text, accepted) from None
        if not 0 < share <= 1:
            raise InvalidInput(field, text, accepted)
        return share

    return parse


def one_of(field: str, allowed: Mapping[str, T]) -> Callable[[str], T]:
    """A parser for words."""

    def parse(text: str) -> T:
        if text not in allowed:
            raise InvalidInput(field, text, "one of " + ", ".join(allowed))
        return allowed[text]

    return parse


def number_list(field: str, words: str, most: int) -> Callable[[str], tuple[int, ...]]:
    """A parser for lists of numbers from 1.

    Args:
        words: what the numbers refer to.

    >>> number_list("parts", "parts", 12)("5-8, 1 12")
    (1, 5, 6, 7, 8, 12)
    """

    def parse(text: str) -> tuple[int, ...]:
        wrong = InvalidInput(field, text, f"{words} from 1 to {most}, such as 3, 5-8")
        found: set[int] = set()
        for part in re.split(r"[\s,;]+", re.sub(r"\s*[-–]\s*", "-", text.strip())):
            ends = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
            first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, 0)
            if not 1 <= first <= last <= most:
                raise wrong
            found |= set(range(first, last + 1))
        return tuple(sorted(found))

    return parse


def moment(field: str, ends: bool = False) -> Callable[[str], datetime]:
    """A parser for dates with an optional time, in UTC.

    Args:
        ends: a date without a time means the end of that day.

    >>> moment("since")("2026-11-22 14:30").isoformat()
    '2026-11-22T14:30:00+00:00'
    >>> moment("until", ends=True)("2026-11-22").isoformat()
    '2026-11-23T00:00:00+00:00'
    """

    def parse(text: str) -> datetime:
        written = text.strip()
        try:
            if not re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}.{0,12})?", written):
                raise ValueError
            if len(written) == len("2026-11-22"):
                return datetime.fromisoformat(written).replace(tzinfo=UTC) + timedelta(days=ends)
            return datetime.strptime(written.replace(" ", "T")[:16], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
        except ValueError:
            raise InvalidInput(field, text, "a day or a minute such as 2026-11-22 or 2026-11-22 14:30") from None

    return parse


YES_OR_NO = {"true": True, "false": False}


def read_scheme(fields: Fields) -> Scheme:
    """The background that a picture is requested for; white paper by default."""
    return fields.read("scheme", one_of("scheme", {str(scheme): scheme for scheme in Scheme}), Scheme.PAPER)
