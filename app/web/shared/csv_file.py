"""Lists as CSV or JSON, streamed while they are read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from flask import Response, stream_with_context

from app.errors import NotFound
from app.store.item_lists import MOST_LISTED
from app.transfer.cells import BOM, harmless
from app.web.shared.display import is_simulated

T = TypeVar("T")

AT_ONCE = 1_000  # rows read from the database at once


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A CSV file for download; the first row is read before anything is sent, so that errors still get a response.

    Args:
        name: file name without its extension.
    """
    lines = csv_lines(header, rows)
    first = next(lines)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "private, no-cache"}
    return Response(stream_with_context(_again(first, lines)), mimetype="text/csv", headers=headers)


def json_file(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """The same rows as a JSON array of objects, with the columns as names; missing values are null."""
    lines = _objects(header, rows)
    first = next(lines)
    headers = {"Content-Disposition": f'attachment; filename="{name}.json"', "Cache-Control": "private, no-cache"}
    return Response(stream_with_context(_again(first, lines)), mimetype="application/json", headers=headers)


def table_file(name: str, ending: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Either of the two, by the extension; lists by run get a column that marks simulated runs.

    Raises:
        NotFound: there is no such file type.
    """
    kinds = {"csv": csv_file, "json": json_file}
    if header[0] == "run":
        header, rows = (*header, "simulated"), ((*row, is_simulated(row[0])) for row in rows)
    if ending not in kinds:
        raise NotFound(f"There is no {name}.{ending}; there are: {', '.join(kinds)}.")
    return kinds[ending](name, header, rows)


def one_table(
    tables: Mapping[str, tuple[Sequence[str], Iterable[Sequence[object]]]], name: str, ending: str
) -> Response:
    """One of the tables of a page, each given as header and rows.

    Raises:
        NotFound: there is no such table or file type.
    """
    if name not in tables:
        raise NotFound(f"There is no table {name!r} here; there are: {', '.join(tables)}.")
    return table_file(name, ending, *tables[name])


def in_batches(find: Callable[[int, int], Sequence[T]]) -> Iterator[T]:
    """All rows of a list, up to `MOST_LISTED`.

    Args:
        find: reads a batch of rows: find(skip, limit).
    """
    for skip in range(0, MOST_LISTED, AT_ONCE):
        batch = find(skip, AT_ONCE)
        yield from batch
        if len(batch) < AT_ONCE:
            return


def cell(value: object) -> object:
    """Convert a value to a cell that no spreadsheet treats as a formula; numbers stay numbers, None is an empty cell.

    >>> cell("=HYPERLINK(1)"), cell("part 3"), cell(-2), cell(None)
    ("'=HYPERLINK(1)", 'part 3', -2, '')
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return harmless(value) if isinstance(value, str) else value


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Chunks of many lines; the first one contains a byte order mark and the header."""
    text = io.StringIO()
    text.write(BOM)
    writer = csv.writer(text)
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        writer.writerow([cell(value) for value in row])
        if number % AT_ONCE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _objects(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Chunks of many objects, one object per line."""
    text, between = ["["], "\n"
    for number, row in enumerate(rows, start=1):
        text.append(between + json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False, default=_written))
        between = ",\n"
        if number % AT_ONCE == 0:
            yield "".join(text)
            text.clear()
    yield "".join([*text, "\n]\n"])


def _written(value: object) -> object:
    """Convert what JSON cannot express."""
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
