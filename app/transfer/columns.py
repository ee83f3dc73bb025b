"""Column types of exports: validation of external values, and conversion to and from each format.

A value in the program is an int, a float, a str, a bool, an aware datetime, bytes, or lists and mappings of these; None
means no value. The columns themselves are defined in `kinds`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter

from app import given
from app.errors import InvalidInput
from app.transfer.cells import MARK, harmless, original

if TYPE_CHECKING:
    import pyarrow


class Type(StrEnum):
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    YES_NO = "yes_no"
    TIME = "time"  # UTC, to the millisecond
    BYTES = "bytes"  # base64 in text formats
    INTEGERS = "integers"
    NUMBERS = "numbers"  # with optional elements
    TEXTS = "texts"
    ROWS = "rows"  # lists of integers of equal length
    JSON = "json"  # an object, or a list of objects


@dataclass(frozen=True)
class Column:
    """A column of a kind of export.

    Attributes:
        words: what it contains, for readers of the file.
        optional: values may be missing.
        later: exports by earlier versions lack this column; its values are then missing.
    """

    name: str
    type: Type
    words: str
    optional: bool = False
    later: bool = False

    # --- checking ---

    def checked(self, value: Any) -> Any:
        """Validate an external value and convert it to the program's type.

        Raises:
            InvalidInput: it is not of this column's type.
        """
        if value is None:
            if not self.optional:
                raise InvalidInput(self.name, None, _ACCEPTED[self.type])
            return None
        try:
            return _CHECKS[self.type](value)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(self.name, value, _ACCEPTED[self.type]) from None

    # --- JSON ---

    def to_json(self, value: Any) -> Any:
        """Convert a value for `json.dumps`."""
        if value is None:
            return None
        if self.type is Type.TIME:
            return written_time(value)
        return base64.b64encode(value).decode() if self.type is Type.BYTES else value

    # --- CSV ---

    def to_cell(self, value: Any) -> str:
        """Convert a value to a CSV cell; an empty cell is a missing value, and a lone mark is the empty text."""
        if value is None:
            return ""
        if self.type in (Type.TEXT, Type.BYTES):
            return harmless(self.to_json(value)) or MARK
        if self.type is Type.TIME:
            return written_time(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def from_cell(self, cell: str) -> Any:
        """The inverse of `to_cell`, with validation.

        Raises:
            InvalidInput: it is not of this column's type.
        """
        if not cell:
            return self.checked(None)
        try:
            return self.checked(_FROM_CELL.get(self.type, given.parsed)(cell))
        except (ValueError, KeyError):
            raise InvalidInput(self.name, cell, _ACCEPTED[self.type]) from None

    # --- Parquet ---

    @property
    def arrow(self) -> pyarrow.DataType:
        """The column's type in a Parquet file."""
        import pyarrow as pa

        return {
            Type.INTEGER: pa.int64(),
            Type.NUMBER: pa.float64(),
            Type.TEXT: pa.string(),
            Type.YES_NO: pa.bool_(),
            Type.TIME: pa.timestamp("ms", tz="UTC"),
            Type.BYTES: pa.binary(),
            Type.INTEGERS: pa.list_(pa.int64()),
            Type.NUMBERS: pa.list_(pa.float64()),
            Type.TEXTS: pa.list_(pa.string()),
            Type.ROWS: pa.list_(pa.list_(pa.int32())),
            Type.JSON: pa.string(),
        }[self.type]

    def to_arrow(self, value: Any) -> Any:
        """Convert a value for pyarrow."""
        return json.dumps(value) if self.type is Type.JSON and value is not None else value

    def from_arrow(self, value: Any) -> Any:
        """The inverse, with validation.

        Raises:
            InvalidInput: it is not of this column's type.
        """
        if self.type is Type.JSON and isinstance(value, str):
            try:
                value = given.parsed(value)
            except ValueError:
                raise InvalidInput(self.name, value, _ACCEPTED[self.type]) from None
        return self.checked(value)


def written_time(at: datetime) -> str:
    """A time in UTC, to the millisecond.

    >>> written_time(datetime(2026, 11, 22, 8, 5, 0, 120_000, UTC))
    '2026-11-22T08:05:00.120Z'
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_ACCEPTED = {
    Type.INTEGER: "a whole number",
    Type.NUMBER: "a finite number",
    Type.TEXT: given.TEXT,
    Type.YES_NO: "true or false",
    Type.TIME: "a time with its zone, such as 2026-11-22T08:05:00.120Z",
    Type.BYTES: "bytes, in base64 where the format has only text",
    Type.INTEGERS: "a list of whole numbers",
    Type.NUMBERS: "a list of finite numbers, null where there is none",
    Type.TEXTS: "a list of texts",
    Type.ROWS: "a list of lists of whole numbers",
    Type.JSON: "a JSON object, or a list of them, of what the database can keep",
}


_WHOLE_NUMBERS = TypeAdapter(list[int], config=ConfigDict(strict=True))


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in given.EIGHT_BYTES:
        raise ValueError
    return value


def _integers(value: Any) -> list[int]:
    found = _WHOLE_NUMBERS.validate_python(value)  # four times as fast as checking each element
    if found and (min(found) not in given.EIGHT_BYTES or max(found) not in given.EIGHT_BYTES):
        raise ValueError
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not given.is_sound(value):
        raise ValueError
    return value


def _yes_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(at, datetime):
        raise TypeError
    at = given.in_utc(at)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _bytes(value: Any) -> bytes:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(memoryview(value))


def _list_of(check: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def checked(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError
        return [check(one) for one in value]

    return checked


def _json(value: Any) -> Any:
    objects = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in objects):
        raise TypeError
    given.require_keepable(value)
    return value


_CHECKS: dict[Type, Callable[[Any], Any]] = {
    Type.INTEGER: _integer,
    Type.NUMBER: _number,
    Type.TEXT: _text,
    Type.YES_NO: _yes_no,
    Type.TIME: _time,
    Type.BYTES: _bytes,
    Type.INTEGERS: _integers,
    Type.NUMBERS: _list_of(lambda one: None if one is None else _number(one)),
    Type.TEXTS: _list_of(_text),
    Type.ROWS: _list_of(_integers),
    Type.JSON: _json,
}


_FROM_CELL: dict[Type, Callable[[str], Any]] = {
    Type.INTEGER: given.whole_number,
    Type.NUMBER: given.number,
    Type.TEXT: original,
    Type.YES_NO: lambda cell: {"true": True, "false": False}[cell.lower()],  # as written by spreadsheets
    Type.TIME: str,
    Type.BYTES: original,
}
