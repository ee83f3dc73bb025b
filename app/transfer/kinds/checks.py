"""Checks of the values of a row; each raises `InvalidInput`, naming the column and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from app.domain.judgement import Verdict
from app.errors import InvalidInput
from app.given import sound_name, whole_number
from app.ml.models import NAME
from app.transfer.kinds.kind import Document, Row

VERDICTS = tuple(map(str, Verdict))


def given_together(row: Row, names: Mapping[str, str], where: str) -> Document | None:
    """field → value, for columns that are given together or not at all."""
    found = {field: row[name] for field, name in names.items()}
    missing = [names[field] for field, value in found.items() if value is None]
    if missing and len(missing) < len(found):
        raise InvalidInput(missing[0], None, f"given, where {where}")
    return None if missing else found


def one_of(field: str, value: str | None, accepted: Sequence[str]) -> str:
    if value not in accepted:
        raise InvalidInput(field, value, "one of " + ", ".join(one or "an empty text" for one in accepted))
    return value


def not_negative(field: str, value: int) -> None:
    if value < 0:
        raise InvalidInput(field, value, "0 or more")


def as_long_as(field: str, value: Sequence[Any], length: int) -> None:
    if len(value) != length:
        raise InvalidInput(field, value, f"a list of {length}, one a part")


def whole_counts(field: str, value: Any) -> None:
    def are_counts(one: Any) -> bool:
        return all(map(are_counts, one.values())) if isinstance(one, dict) else type(one) is int

    if not isinstance(value, dict) or not are_counts(value):
        raise InvalidInput(field, value, "an object of whole numbers, or of such objects")


def sound_findings(value: Any, part: str) -> None:
    if not isinstance(value, list) or not all(_is_finding(one, part) for one in value):
        raise InvalidInput("findings", value, f"a list of objects with {part}, kind, cells, text and makes_bad")


def _is_finding(one: Document, part: str) -> bool:
    return (
        type(one.get(part)) is int
        and isinstance(one.get("kind"), str)
        and isinstance(one.get("text"), str)
        and isinstance(one.get("makes_bad"), bool)
        and type(one.get("significance", 0.0)) in (int, float)
    )


def person_name(field: str, value: str) -> None:
    if sound_name(field, value) != value:
        raise InvalidInput(field, value, "the same without blanks around it, with its accents composed (NFC)")


def model_name(field: str, value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise InvalidInput(field, value, "the name of a model: small letters, digits, dots, dashes")
    return value


def part_number(text: str) -> Any:
    """A part number given as a JSON key; the text itself if it is not a number, for the error that follows."""
    try:
        return whole_number(text)
    except ValueError:
        return text


def object_id(field: str, value: str) -> ObjectId:
    if not re.fullmatch("[0-9a-f]{24}", value):
        raise InvalidInput(field, value, "24 hexadecimal digits")
    return ObjectId(value)
