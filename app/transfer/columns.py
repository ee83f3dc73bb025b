"""The types that a column of an export can have: checked when they come from outside, written in each format.

A value in the program is an int, a float, a str, a bool, an aware datetime, bytes, or lists and mappings of these; None
is nothing. Not for which columns there are: see `kinds`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter

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
    BYTES = "bytes"  # base64 where a format has only text
    INTEGERS = "integers"
    NUMBERS = "numbers"  # some of which may be nothing
    TEXTS = "texts"
    ROWS = "rows"  # lists of integers, of equal length
    JSON = "json"  # an object, or a list of objects


@dataclass(frozen=True)
class Column:
    """A column of a kind of export.

    Attributes:
        words: what it holds, for whoever reads the file elsewhere.
        optional: it can be nothing.
        later: exports of earlier versions do not have it; then it is nothing.
    """

    name: str
    type: Type
    words: str
    optional: bool = False
    later: bool = False

    # --- checking ---

    def checked(self, value: Any) -> Any:
        """A value from outside, as the program has it.

        Raises:
            InvalidInput: it is not of this column's type.
        """
        if value is None:
            if not self.optional:
                raise InvalidInput(self.name, None, _ACCEPTED[self.type])
            return None
        try:
            return _CHECKS[self.type](value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise InvalidInput(self.name, value, _ACCEPTED[self.type]) from None

    # --- JSON ---

    def to_json(self, value: Any) -> Any:
        """As `json.dumps` takes it."""
        if value is None:
            return None
        if self.type is Type.TIME:
            return written_time(value)
        return base64.b64encode(value).decode() if self.type is Type.BYTES else value

    # --- CSV ---

    def to_cell(self, value: Any) -> str:
        """As a cell of a CSV file; an empty one is nothing, and a lone mark the empty text."""
        if value is None:
            return ""
        if self.type in (Type.TEXT, Type.BYTES):
            return harmless(self.to_json(value)) or MARK
        if self.type is Type.TIME:
            return written_time(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def from_cell(self, cell: str) -> Any:
        """The reverse of `to_cell`, checked.

        Raises:
            InvalidInput: it is not of this column's type.
        """
        if not cell:
            return self.checked(None)
        try:
            return self.checked(_FROM_CELL.get(self.type, json.loads)(cell))
        except (ValueError, KeyError, RecursionError):
            raise InvalidInput(self.name, cell, _ACCEPTED[self.type]) from None

    # --- Parquet ---

    @property
    def arrow(self) -> pyarrow.DataType:
        """The type in a Parquet file."""
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
        """As pyarrow takes it."""
        return json.dumps(value) if self.type is Type.JSON and value is not None else value

    def from_arrow(self, value: Any) -> Any:
        """The reverse, checked.

        Raises:
            InvalidInput: it is not of this column's type.
        """
        if self.type is Type.JSON and isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
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
    Type.TEXT: "a text",
    Type.YES_NO: "true or false",
    Type.TIME: "a time with its zone, such as 2026-11-22T08:05:00.120Z",
    Type.BYTES: "bytes, in base64 where the format has only text",
    Type.INTEGERS: "a list of whole numbers",
    Type.NUMBERS: "a list of finite numbers, null where there is none",
    Type.TEXTS: "a list of texts",
    Type.ROWS: "a list of lists of whole numbers",
    Type.JSON: "a JSON object, or a list of them, with finite numbers",
}


_WHOLE_NUMBERS = TypeAdapter(list[int], config=ConfigDict(strict=True))


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _integers(value: Any) -> list[int]:
    found = _WHOLE_NUMBERS.validate_python(value)  # a quarter of the time that looking at each takes
    if found and not -(2**63) <= min(found) <= max(found) < 2**63:
        raise ValueError
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half of a surrogate pair cannot be kept
    return value


def _yes_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise TypeError
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


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
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
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


def _whole_number(cell: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", cell):
        raise ValueError
    return int(cell)


_FROM_CELL: dict[Type, Callable[[str], Any]] = {
    Type.INTEGER: _whole_number,
    Type.NUMBER: float,
    Type.TEXT: original,
    Type.YES_NO: lambda cell: {"true": True, "false": False}[cell.lower()],  # spreadsheets write TRUE
    Type.TIME: str,
    Type.BYTES: original,
}
