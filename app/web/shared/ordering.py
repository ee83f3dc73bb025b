"""How lists are sorted: `sort` in the address names a column, also of several small tables that a page has whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from app.web.shared.fields import YES_OR_NO, Fields, one_of

T = TypeVar("T")
Keys = Mapping[str, Callable[[T], Any]]  # name of a column → its value in a row


def read_order(fields: Fields, *tables: Keys) -> tuple[str, bool]:
    """The column of the address, "" where there is none, and whether the order is descending.

    Args:
        tables: of each table on the page its columns; no two have the same name.
    """
    return read_sort(fields, [name for keys in tables for name in keys], "", lambda sort: False)


def read_sort(fields: Fields, names: Iterable[str], usual: str, descends: Callable[[str], bool]) -> tuple[str, bool]:
    """The column by which the address sorts a list, and whether the greatest comes first.

    Args:
        names: of the columns that it can be sorted by.
        usual: the one where the address names none, or no such one.
        descends: whether a column's greatest value comes first where the address says nothing of that.
    """
    sort = fields.read("sort", one_of("sort", {name: name for name in names}), usual)
    return sort, fields.read("descending", one_of("descending", YES_OR_NO), descends(sort))


def ordered(rows: Sequence[T], keys: Keys, sort: str, descending: bool) -> Sequence[T]:
    """The rows by a column, those without a value last; as they are where it is not a column of theirs.

    >>> keys = {"share": lambda row: row}
    >>> ordered([0.5, None, 0.1], keys, "share", False), ordered([3, 1], keys, "parts", False)
    ([0.1, 0.5, None], [3, 1])
    """
    if sort not in keys:
        return rows
    value = keys[sort]
    known = [row for row in rows if value(row) is not None]
    unknown = [row for row in rows if value(row) is None]
    return sorted(known, key=value, reverse=descending) + unknown
