"""Parsing of all external input, the same for pages, API, imports, commands and settings.

A parser returns a value that the program and the database can hold, or raises: `ValueError` if it knows no field name,
`InvalidInput` if it does. For the meaning of fields see `app.domain.run_numbers` and `app.web.shared.fields`.
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

EIGHT_BYTES = range(-(2**63), 2**63)  # range of whole numbers in MongoDB and Parquet
MOST_DEPTH = 50  # nesting of JSON: ours has 6 levels at most, MongoDB allows 100
WHOLE = re.compile(r"[-+]?[0-9]{1,19}")  # 19 digits, as many as eight bytes hold
NUMBER = re.compile(r"[-+]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")
TEXT = "a text without control characters and halves of characters"
# Control characters except tabs and newlines; lone surrogates, which UTF-8 cannot encode.
_UNSOUND = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


# --- numbers ---


def whole_number(text: str) -> int:
    """Parse a whole number in plain digits, of eight bytes at most.

    Raises:
        ValueError: it is not one. `int` alone accepts 1_000, digits of any script, and texts that take long to parse.

    >>> whole_number(" −1"), whole_number("+2")
    (-1, 2)
    """
    written = text.strip().replace("−", "-")
    if not WHOLE.fullmatch(written) or int(written) not in EIGHT_BYTES:
        raise ValueError("not a whole number")
    return int(written)


def number(text: str) -> float:
    """Parse a finite number with a decimal point or comma.

    Raises:
        ValueError: it is not one. `float` alone accepts nan, inf and 1_000.

    >>> number("0,5"), number("1e-3")
    (0.5, 0.001)
    """
    written = text.strip().replace("−", "-").replace(",", ".")
    if not NUMBER.fullmatch(written) or not isfinite(float(written)):
        raise ValueError("not a number")
    return float(written)


def within(field: str, value: object, allowed: Sequence[int], accepted: str = "") -> int:
    """Check a whole number against a range. The type comes first: for other types `in` would iterate over the range.

    Raises:
        InvalidInput: it is out of range or not a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise InvalidInput(field, value, accepted or f"a whole number from {allowed[0]:,} to {allowed[-1]:,}")
    return value


# --- text ---


def is_sound(text: str) -> bool:
    """Whether a text can be stored and displayed.

    >>> is_sound("dead\\tsince\\nMay µ"), is_sound("dead\\x00"), is_sound("\\ud800")
    (True, False, False)
    """
    return not _UNSOUND.search(text)


def sound_text(field: str, text: str, most: int | None = None, least: int = 0) -> str:
    """Strip a text and check its length.

    Raises:
        InvalidInput: it is too long or too short, or cannot be stored and displayed.
    """
    text = text.strip()
    if not is_sound(text):
        raise InvalidInput(field, text, TEXT)
    if most is not None and not least <= len(text) <= most:
        raise InvalidInput(field, text, f"{least} to {most:,} characters" if least else f"at most {most:,} characters")
    return text


def sound_name(field: str, text: str, most: int = 100) -> str:
    """Check a one-line name and normalize its accents (NFC).

    Raises:
        InvalidInput: it is empty or too long, or cannot be stored and displayed.
    """
    written = unicodedata.normalize("NFC", sound_text(field, text))
    if not 1 <= len(written) <= most or re.search(r"[\t\n\r]", written):
        raise InvalidInput(field, text, f"a name of 1 to {most} characters, on one line")
    return written


def showable(text: str) -> str:
    """Text from this machine, such as a file name, with � for whatever cannot be stored and displayed."""
    return _UNSOUND.sub("�", text)


# --- times ---


def in_utc(at: datetime) -> datetime:
    """Convert a time to UTC.

    Raises:
        ValueError: it has no time zone, or falls outside the years 1 to 9999 in UTC.
    """
    if at.tzinfo is None:
        raise ValueError("Input should be a time with its zone")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a time of the years 1 to 9999, also in UTC") from None


# --- JSON ---


def parsed(text: str | bytes) -> Any:
    """Parse JSON whose values can be stored.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or contains a text, key or number that cannot be stored.
    """
    value = loaded(text)
    require_keepable(value)
    return value


def loaded(text: str | bytes) -> Any:
    """Parse JSON for a caller that checks each value itself.

    Raises:
        ValueError: it is not JSON, or is nested hundreds of levels deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def require_keepable(value: Any) -> None:
    """Raise ValueError, naming the problem, if something in a JSON value cannot be stored."""
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
    """Everything in a JSON value, including keys, with its nesting depth; without recursion."""
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
    """Base of models parsed field by field: no extra fields, and numbers in plain notation only."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plainly_written(cls, value: Any, info: ValidationInfo) -> Any:
        types = _types(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, str) and Path not in types and not is_sound(value):  # a path may not be text in the locale
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
    """The types that an annotation allows: int and NoneType for `int | None`."""
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_types, get_args(annotation)))
    if hasattr(annotation, "__metadata__"):  # such as StrictInt
        return _types(get_args(annotation)[0])
    return {annotation}
