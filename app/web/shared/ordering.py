"""Sorting of lists: `sort` in the address names a column, also for pages with several small tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from app.web.shared.fields import YES_OR_NO, Fields, one_of

T = TypeVar("T")
Keys = Mapping[str, Callable[[T], Any]]  # name of a column → its value in a row


def read_order(fields: Fields, *tables: Keys) -> tuple[str, bool]:
    """The sort column of the address, "" if there is none, and whether the order is descending.

    Args:
        tables: the columns of each table on the page; no two have the same name.
    """
    return read_sort(fields, [name for keys in tables for name in keys], "", lambda sort: False)


def read_sort(fields: Fields, names: Iterable[str], usual: str, descends: Callable[[str], bool]) -> tuple[str, bool]:
    """The column by which the address sorts a list, and whether the order is descending.

    Args:
        names: the sortable columns.
        usual: the default, also for an unknown column.
        descends: whether a column is in descending order unless the address says otherwise.
    """
    sort = fields.read("sort", one_of("sort", {name: name for name in names}), usual)
    return sort, fields.read("descending", one_of("descending", YES_OR_NO), descends(sort))


def ordered(rows: Sequence[T], keys: Keys, sort: str, descending: bool) -> Sequence[T]:
    """Sort rows by a column, those without a value last; the order is unchanged if the column is not one of theirs.

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
