"""Rows as CSV, JSON Lines and Parquet, and back: a format knows columns, and nothing of what they mean.

Whatever is written is made piece by piece and whatever is read is held row by row, so that memory does not grow with
the file. JSON Lines begin with a line that has the manifest and end with one that tells how many rows there were;
Parquet has both in its metadata; CSV has no place for either, so that it goes out in a zip with its manifest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from app.errors import DriftwatchError, InvalidInput
from app.given import loaded, parsed
from app.transfer.columns import Column

Row = Mapping[str, Any]
Numbered = Iterator[tuple[int, Row | DriftwatchError]]  # (line or row from 1, its row or what is wrong with it)

LONGEST_LINE = 32_000_000  # bytes: a model's file of 15 MB in base64, and the pictures of its evaluation
SKIPPED_AT_ONCE = 1_000_000  # bytes of a line that is longer
ROWS_AT_ONCE = 500
PARQUET_ROWS = 2_000  # of one row group: 15 MB of histograms before they are compressed

_JSON_OBJECT = TypeAdapter(dict[str, Any])


class Format(ABC):
    """One way of writing rows.

    Attributes:
        name: as people ask for it.
        ending: of a file's name.
        has_manifest: there is a place for the manifest in the file.
    """

    name: str
    ending: str
    mimetype: str
    has_manifest = True

    @abstractmethod
    def write(self, columns: Sequence[Column], rows: Iterable[Row], manifest: Mapping[str, Any]) -> Iterator[bytes]:
        """The pieces of a file."""

    @abstractmethod
    def manifest(self, file: BinaryIO) -> Any:
        """The manifest in a file, not checked; the file is at its beginning again.

        Raises:
            InvalidInput: there is none.
        """

    @abstractmethod
    def read(self, file: BinaryIO, columns: Sequence[Column]) -> Numbered:
        """The rows of a file, each with its number; one that cannot be used is an error and the others go on."""


class JsonLines(Format):
    name, ending, mimetype = "jsonl", "jsonl", "application/jsonl"

    def write(self, columns: Sequence[Column], rows: Iterable[Row], manifest: Mapping[str, Any]) -> Iterator[bytes]:
        yield _line({"manifest": manifest})
        digest, count, rows = hashlib.sha256(), 0, iter(rows)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            piece = b"".join(_line({c.name: c.to_json(row[c.name]) for c in columns}) for row in batch)
            digest.update(piece)
            count += len(batch)
            yield piece
        yield _line({"end": {"rows": count, "sha256": digest.hexdigest()}})

    def manifest(self, file: BinaryIO) -> Any:
        first = file.readline(LONGEST_LINE)
        file.seek(0)
        try:
            return parsed(first)["manifest"]
        except (ValueError, KeyError, TypeError):
            raise InvalidInput("line 1", first[:60].decode(errors="replace"), 'a JSON object {"manifest": …}') from None

    def read(self, file: BinaryIO, columns: Sequence[Column]) -> Numbered:
        by_name = {column.name: column for column in columns}
        digest, count, end = hashlib.sha256(), 0, None
        for number, line in _lines(file):
            if number == 1 or (line is not None and not line.strip()):
                continue
            try:
                if line is None:
                    raise InvalidInput("the line", "…", f"at most {LONGEST_LINE:,} bytes")
                if end is not None:
                    raise InvalidInput("the line", line[:60].decode(errors="replace"), "the end: one stood before it")
                given = _object(line)
                if given is not None and given.keys() == {"end"}:
                    end = given["end"]
                    continue
                digest.update(line)
                count += 1
                if given is None:
                    raise InvalidInput("the line", line[:60].decode(errors="replace"), "a JSON object")
                yield number, _checked(by_name, given, lambda column, value: column.checked(value))
            except InvalidInput as error:
                yield number, error
        if end != {"rows": count, "sha256": digest.hexdigest()}:
            accepted = f"that of these {count:,} rows: lines are missing, or were changed"
            yield number + 1, InvalidInput("end", end, accepted)


class Csv(Format):
    name, ending, mimetype, has_manifest = "csv", "csv", "text/csv", False

    def write(self, columns: Sequence[Column], rows: Iterable[Row], manifest: Mapping[str, Any]) -> Iterator[bytes]:
        text, rows = io.StringIO(), iter(rows)
        writer = csv.writer(text)
        writer.writerow([column.name for column in columns])
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            writer.writerows([column.to_cell(row[column.name]) for column in columns] for row in batch)
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
        yield text.getvalue().encode()

    def manifest(self, file: BinaryIO) -> Any:
        raise InvalidInput("the file", "CSV", "the zip that has its manifest too, as it was exported")

    def read(self, file: BinaryIO, columns: Sequence[Column]) -> Numbered:
        by_name = {column.name: column for column in columns}
        csv.field_size_limit(LONGEST_LINE)  # of the whole program, which reads CSV nowhere else
        reader = csv.reader(_text_lines(file), strict=True)
        header: list[str] | None = None
        number = 0
        while True:
            number = reader.line_num + 1  # a cell may have several lines
            try:
                cells = next(reader, None)
                if cells is None:
                    return
                if header is None:
                    header = cells
                    _all_of(by_name, header)
                elif cells:
                    yield number, _checked(by_name, _named(header, cells), lambda column, cell: column.from_cell(cell))
            except csv.Error as error:
                yield number, InvalidInput("the line", str(error), "as CSV has it (RFC 4180)")
            except UnicodeDecodeError:
                yield number, InvalidInput("the line", "…", "UTF-8")
                return
            except InvalidInput as error:
                yield number, error
                if header is cells:
                    return


class Parquet(Format):
    name, ending, mimetype = "parquet", "parquet", "application/vnd.apache.parquet"

    def write(self, columns: Sequence[Column], rows: Iterable[Row], manifest: Mapping[str, Any]) -> Iterator[bytes]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [pa.field(column.name, column.arrow, nullable=True) for column in columns]
        schema = pa.schema(fields, metadata={"driftwatch": json.dumps(manifest)})
        sink, rows = Pieces(), iter(rows)
        with pq.ParquetWriter(sink, schema) as writer:
            while batch := list(islice(rows, PARQUET_ROWS)):
                values = {c.name: [c.to_arrow(row[c.name]) for row in batch] for c in columns}
                writer.write_table(pa.Table.from_pydict(values, schema=schema))
                yield sink.taken()
        yield sink.taken()

    def manifest(self, file: BinaryIO) -> Any:
        found = (_opened(file).schema_arrow.metadata or {}).get(b"driftwatch")
        file.seek(0)
        try:
            return parsed(found or "")
        except ValueError:
            raise InvalidInput("the metadata", found, "a manifest under the key “driftwatch”") from None

    def read(self, file: BinaryIO, columns: Sequence[Column]) -> Numbered:
        import pyarrow as pa

        by_name = {column.name: column for column in columns}
        opened = _opened(file)
        _all_of(by_name, opened.schema_arrow.names)
        number = 0
        try:
            for batch in opened.iter_batches(batch_size=ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    try:
                        yield number, _checked(by_name, row, lambda column, value: column.from_arrow(value))
                    except InvalidInput as error:
                        yield number, error
        except (pa.ArrowException, OSError, ValueError) as error:
            yield number + 1, InvalidInput("the row", str(error)[:60], "as Parquet has it")


class Pieces:
    """What a writer of files writes to, taken away piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._held, self._position = bytearray(), 0

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._held += piece
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """What was written can still be taken."""

    def taken(self) -> bytes:
        """What was written since this was asked last."""
        piece = bytes(self._held)
        self._held.clear()
        return piece


FORMATS: dict[str, Format] = {one.name: one for one in (JsonLines(), Csv(), Parquet())}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, line), None for one that is too long to be held."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if line.endswith(b"\n") or len(line) < LONGEST_LINE:
            yield number, line
            continue
        line = b""
        while not line.endswith(b"\n") and (line := file.readline(SKIPPED_AT_ONCE)):
            pass
        yield number, None


def _text_lines(file: BinaryIO) -> Iterator[str]:
    """The lines as text; no character goes over the end of a line."""
    encoding = "utf-8-sig"  # spreadsheets begin their files with a byte order mark
    while line := file.readline(LONGEST_LINE):
        yield line.decode(encoding)
        encoding = "utf-8"


def _object(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None where it is none."""
    with suppress(ValueError):
        return _JSON_OBJECT.validate_json(line)  # four times as fast as json, and somewhat stricter
    try:
        found = loaded(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _named(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise InvalidInput("the line", f"{len(cells)} cells", f"{len(header)} cells, as the header has")
    return dict(zip(header, cells, strict=True))


def _all_of(by_name: Mapping[str, Column], names: Sequence[str]) -> None:
    """Refuse a table that has other columns than it should."""
    for name in names:
        if name not in by_name:
            raise InvalidInput("column", name, f"one of {', '.join(by_name)}")
    for name in by_name:
        if name not in names:
            raise InvalidInput("column", name, "there: it is missing")
    if len(set(names)) != len(names):
        raise InvalidInput("columns", ", ".join(names), "each there once")


def _checked(by_name: Mapping[str, Column], given: Row, read: Callable[[Column, Any], Any]) -> Row:
    """A row with a value for each column, in their order."""
    for name in given:
        if name not in by_name:
            raise InvalidInput(name, given[name], "left out: there is no such column")
    for name in by_name:
        if name not in given:
            raise InvalidInput(name, None, "given: the column is missing")
    return {name: read(column, given[name]) for name, column in by_name.items()}


def _opened(file: BinaryIO) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInput("the file", str(error)[:60], "a Parquet file") from None
