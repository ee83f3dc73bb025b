"""What is given from outside, read in one way wherever it comes in: pages, API, imports, commands, settings.

A reader gives what the program and the database can hold, or raises: `ValueError` where it knows no field's name,
`InvalidInput` where it does. Not for what a field means: see `app.domain.run_numbers`, `app.web.shared.fields`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from app.errors import InvalidInput

EIGHT_BYTES = range(-(2**63), 2**63)  # whole numbers that MongoDB and Parquet hold
MOST_DEPTH = 50  # of JSON: ours has 6 at most, and MongoDB keeps 100
WHOLE = re.compile(r"[-+]?[0-9]{1,19}")  # 19 digits: those of eight bytes
NUMBER = re.compile(r"[-+]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")
TEXT = "a text without control characters and halves of characters"
# Control characters but for tabs and the ends of lines; halves of a surrogate pair, which UTF-8 cannot write.
_UNSOUND = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


# --- numbers ---


def whole_number(text: str) -> int:
    """The number that a text is, in plain digits and of eight bytes at most.

    Raises:
        ValueError: it is none; `int` alone takes 1_000, digits of every script, and texts that keep it busy.

    >>> whole_number(" −1"), whole_number("+2")
    (-1, 2)
    """
    written = text.strip().replace("−", "-")
    if not WHOLE.fullmatch(written) or int(written) not in EIGHT_BYTES:
        raise ValueError("not a whole number")
    return int(written)


def number(text: str) -> float:
    """The finite number that a text is, with a point or a comma.

    Raises:
        ValueError: it is none; `float` alone takes nan, inf and 1_000.

    >>> number("0,5"), number("1e-3")
    (0.5, 0.001)
    """
    written = text.strip().replace("−", "-").replace(",", ".")
    if not NUMBER.fullmatch(written) or not isfinite(float(written)):
        raise ValueError("not a number")
    return float(written)


def within(field: str, value: object, allowed: Sequence[int], accepted: str = "") -> int:
    """A whole number of a range. Only this asks a range for what may be no number: it would try all of its numbers.

    Raises:
        InvalidInput: it is another, or no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise InvalidInput(field, value, accepted or f"a whole number from {allowed[0]:,} to {allowed[-1]:,}")
    return value


# --- texts ---


def is_sound(text: str) -> bool:
    """Whether a text can be kept and shown.

    >>> is_sound("dead\\tsince\\nMay µ"), is_sound("dead\\x00"), is_sound("\\ud800")
    (True, False, False)
    """
    return not _UNSOUND.search(text)


def sound_text(field: str, text: str, most: int | None = None, least: int = 0) -> str:
    """A text without the blanks around it, of so many characters.

    Raises:
        InvalidInput: it is longer or shorter, or cannot be kept and shown.
    """
    text = text.strip()
    if not is_sound(text):
        raise InvalidInput(field, text, TEXT)
    if most is not None and not least <= len(text) <= most:
        raise InvalidInput(field, text, f"{least} to {most:,} characters" if least else f"at most {most:,} characters")
    return text


def sound_name(field: str, text: str, most: int = 100) -> str:
    """The name of somebody or something, on one line; the same name whichever way its accents are written (NFC).

    Raises:
        InvalidInput: it is empty, longer, or cannot be kept and shown.
    """
    written = unicodedata.normalize("NFC", sound_text(field, text))
    if not 1 <= len(written) <= most or re.search(r"[\t\n\r]", written):
        raise InvalidInput(field, text, f"a name of 1 to {most} characters, on one line")
    return written


def showable(text: str) -> str:
    """A text that this machine gave, such as the name of a file, with � for what cannot be kept and shown."""
    return _UNSOUND.sub("�", text)


# --- times ---


def in_utc(at: datetime) -> datetime:
    """A time in UTC.

    Raises:
        ValueError: it has no zone, or lies before the year 1 or after 9999 there.
    """
    if at.tzinfo is None:
        raise ValueError("Input should be a time with its zone")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a time of the years 1 to 9999, also in UTC") from None


# --- JSON ---


def parsed(text: str | bytes) -> Any:
    """What a JSON text says: of values that can be kept.

    Raises:
        ValueError: it is no JSON, nested too deeply, or a text, a key or a number in it cannot be kept.
    """
    value = loaded(text)
    require_keepable(value)
    return value


def loaded(text: str | bytes) -> Any:
    """The same where whoever asks looks at each value.

    Raises:
        ValueError: it is no JSON, or nested hundreds of times.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def require_keepable(value: Any) -> None:
    """Raises ValueError where something in a value of JSON cannot be kept: what, in words."""
    for depth, one in _all_of(value):
        if depth > MOST_DEPTH:
            raise ValueError(f"nested more than {MOST_DEPTH} deep")
        if isinstance(one, str) and not is_sound(one):
            raise ValueError(f"{_short(one)} in it is not {TEXT}")
        if isinstance(one, float) and not isfinite(one):
            raise ValueError(f"{one} in it is no number")
        if type(one) is int and one not in EIGHT_BYTES:
            raise ValueError("a number in it has more than eight bytes")


def _all_of(value: Any) -> Iterator[tuple[int, Any]]:
    """Everything in a value of JSON, also the keys, with how deeply it is nested; without recursion."""
    left = [(0, value)]
    while left:
        depth, one = left.pop()
        yield depth, one
        if depth > MOST_DEPTH:
            return
        if isinstance(one, dict):
            left += [(depth + 1, key) for key in one] + [(depth + 1, held) for held in one.values()]
        elif isinstance(one, list):
            left += [(depth + 1, held) for held in one]


def _short(text: str) -> str:
    return repr(text[:40])


# --- objects ---


class Given(BaseModel):
    """The base of what is given field by field: no other fields, and no numbers that are not plainly written."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plainly_written(cls, value: Any, info: ValidationInfo) -> Any:
        types = _types(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, str) and Path not in types and not is_sound(value):  # a path may be no text in the locale
            raise ValueError(f"Input should be {TEXT}")
        if isinstance(value, str) and str not in types:
            if int in types and not WHOLE.fullmatch(value):
                raise ValueError("Input should be a valid integer, in plain digits")
            if float in types and not NUMBER.fullmatch(value):
                raise ValueError("Input should be a finite number, plainly written")
        if type(value) is int and int in types and value not in EIGHT_BYTES:
            raise ValueError("Input should be a valid integer of eight bytes at most")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _times_in_utc(cls, value: Any) -> Any:
        return in_utc(value) if isinstance(value, datetime) else value


def _types(annotation: Any) -> set[Any]:
    """The types that an annotation allows: of `int | None`, int and NoneType."""
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_types, get_args(annotation)))
    if hasattr(annotation, "__metadata__"):  # such as StrictInt
        return _types(get_args(annotation)[0])
    return {annotation}
