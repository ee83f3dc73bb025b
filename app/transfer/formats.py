"""Rows as CSV, JSON Lines and Parquet, in both directions. Formats know columns, but not their meaning.

Files are written piece by piece and read row by row, so memory use does not grow with the file. It does not grow with
the expansion of a small file either: the size of a row is limited, and Parquet is decoded in a separate process. JSON
Lines start with a line for the manifest and end with one for the number of rows; Parquet has both in its metadata; CSV
has no place for either, so it is exported in a zip with its manifest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from app import limited
from app.errors import DriftwatchError, InvalidInput
from app.given import loaded, parsed
from app.lines import numbered_lines
from app.transfer.cells import BOM
from app.transfer.columns import Column, Type

Row = Mapping[str, Any]
Numbered = Iterator[tuple[int, Row | DriftwatchError]]  # (line or row number from 1, the row or its error)

Seen = Callable[[int], object]  # called with the number of bytes read; may raise to stop reading

LONGEST_ROW = 32_000_000  # bytes: a 15 MB model file in base64, and the pictures of its evaluation
LARGEST_MANIFEST = 1_000_000  # bytes; ours take 4,000 per kind
ROWS_AT_ONCE = 500
PARQUET_ROWS = 2_000  # per row group: 15 MB of histograms before compression
PARQUET_ROWS_WITH_FILES = 10
PARQUET_READER = Path(__file__).with_name("parquet_rows.py")
PARQUET_LIMITS = limited.Limits(memory=1_000_000_000, seconds=3_600)  # a file of 2 GB takes a few minutes
MOST_UNPACKED = 20_000_000_000  # bytes that one Parquet file may expand to

_JSON_OBJECT = TypeAdapter(dict[str, Any])


class Format(ABC):
    """A file format for rows.

    Attributes:
        name: the name by which it is requested.
        ending: file name extension.
        has_manifest: the file itself can contain the manifest.
    """

    name: str
    ending: str
    mimetype: str
    has_manifest = True

    @abstractmethod
    def write(self, columns: Sequence[Column], rows: Iterable[Row], manifest: Mapping[str, Any]) -> Iterator[bytes]:
        """Generate the file in pieces."""

    @abstractmethod
    def manifest(self, file: BinaryIO) -> Any:
        """Read the manifest of a file, without validation, and rewind the file.

        Raises:
            InvalidInput: there is none.
        """

    @abstractmethod
    def read(
        self, file: BinaryIO, columns: Sequence[Column], longest: int = LONGEST_ROW, seen: Seen = lambda size: None
    ) -> Numbered:
        """The numbered rows of a file; an unusable row is returned as an error and reading continues.

        Args:
            longest: maximum size of a row in bytes.
            seen: called for each piece with the number of bytes read.
        """


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
        first = file.readline(LARGEST_MANIFEST)
        file.seek(0)
        try:
            return parsed(first)["manifest"]
        except (ValueError, KeyError, TypeError):
            raise InvalidInput("line 1", first[:60].decode(errors="replace"), 'a JSON object {"manifest": …}') from None

    def read(
        self, file: BinaryIO, columns: Sequence[Column], longest: int = LONGEST_ROW, seen: Seen = lambda size: None
    ) -> Numbered:
        by_name = {column.name: column for column in columns}
        digest, count, end = hashlib.sha256(), 0, None
        number = 0
        for number, line in numbered_lines(file, longest, seen):
            if number == 1 or (line is not None and not line.strip()):
                continue
            try:
                if line is None:
                    raise InvalidInput("the line", "…", f"at most {longest:,} bytes")
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
        text.write(BOM)
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

    def read(
        self, file: BinaryIO, columns: Sequence[Column], longest: int = LONGEST_ROW, seen: Seen = lambda size: None
    ) -> Numbered:
        by_name = {column.name: column for column in columns}
        csv.field_size_limit(LONGEST_ROW)  # for the whole process, which reads CSV nowhere else
        lines = _RowsOfLines(file, longest, seen)
        reader = csv.reader(lines, strict=True)
        header: list[str] | None = None
        while True:
            number = lines.begin_row()
            try:
                cells = next(reader, None)
                if cells is None:
                    return
                if header is None:
                    _all_of(by_name, cells)
                    header = cells
                elif cells:
                    yield number, _checked(by_name, _named(header, cells), lambda column, cell: column.from_cell(cell))
                continue
            except csv.Error as error:
                wrong = InvalidInput("the line", str(error), "as CSV has it (RFC 4180)")
            except UnicodeDecodeError:
                wrong = InvalidInput("the line", "…", "UTF-8")
            except InvalidInput as error:
                wrong = error
            yield number, wrong
            if header is None:  # without the header no row can be read
                return


class Parquet(Format):
    name, ending, mimetype = "parquet", "parquet", "application/vnd.apache.parquet"

    def write(self, columns: Sequence[Column], rows: Iterable[Row], manifest: Mapping[str, Any]) -> Iterator[bytes]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [pa.field(column.name, column.arrow, nullable=True) for column in columns]
        schema = pa.schema(fields, metadata={"driftwatch": json.dumps(manifest)})
        sink, rows = Pieces(), iter(rows)
        has_files = any(column.type is Type.BYTES for column in columns)
        at_once = PARQUET_ROWS_WITH_FILES if has_files else PARQUET_ROWS
        with pq.ParquetWriter(sink, schema) as writer:
            while batch := list(islice(rows, at_once)):
                values = {c.name: [c.to_arrow(row[c.name]) for row in batch] for c in columns}
                writer.write_table(pa.Table.from_pydict(values, schema=schema))
                yield sink.taken()
        yield sink.taken()

    def manifest(self, file: BinaryIO) -> Any:
        with self._decoded(file, LONGEST_ROW) as (stream, _):
            found = (stream.schema.metadata or {}).get(b"driftwatch")
        file.seek(0)
        try:
            return parsed(found or "")
        except ValueError:
            raise InvalidInput("the metadata", found, "a manifest under the key “driftwatch”") from None

    def read(
        self, file: BinaryIO, columns: Sequence[Column], longest: int = LONGEST_ROW, seen: Seen = lambda size: None
    ) -> Numbered:
        by_name = {column.name: column for column in columns}
        number = 0
        with self._decoded(file, longest) as (stream, running):
            _all_of(by_name, stream.schema.names)
            while (batch := _next_batch(stream)) is not None:
                seen(batch.nbytes)
                for row in _python_rows(batch):
                    number += 1
                    try:
                        if isinstance(row, InvalidInput):
                            raise row
                        yield number, _checked(by_name, row, lambda column, value: column.from_arrow(value))
                    except InvalidInput as error:
                        yield number, error
            if why := running.why():
                yield number + 1, InvalidInput("the row", "…", f"one that can be read: {why}")

    @staticmethod
    @contextmanager
    def _decoded(file: BinaryIO, longest: int) -> Iterator[tuple[Any, limited.Running]]:
        """Read the file as an Arrow stream, decoded by a process with limited memory.

        Raises:
            InvalidInput: it is not Parquet, or cannot be decoded this way.
        """
        import pyarrow as pa

        with _as_file(file) as stdin:
            arguments = (PARQUET_READER, longest, MOST_UNPACKED)
            with limited.running(*arguments, limits=PARQUET_LIMITS, stdin=stdin) as running:
                try:
                    stream = pa.ipc.open_stream(running.process.stdout)
                except (pa.ArrowException, OSError, ValueError) as error:
                    accepted = f"one that can be read: {running.why() or error}"
                    raise InvalidInput("the file", "Parquet", accepted) from None
                yield stream, running


def _next_batch(stream: Any) -> Any | None:
    """The next batch of rows; None after the last, or if the decoding process ended prematurely."""
    import pyarrow as pa

    try:
        return stream.read_next_batch()
    except (StopIteration, pa.ArrowException, OSError):
        return None


def _python_rows(batch: Any) -> Iterator[dict[str, Any] | InvalidInput]:
    """The rows of an Arrow batch; a row with a value that Python cannot represent, such as non-UTF-8 text, is an error.

    Arrow validates neither text nor the range of times before they are used.
    """
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        for i in range(batch.num_rows):
            try:
                yield batch.slice(i, 1).to_pylist()[0]
            except (ValueError, OverflowError) as error:
                yield InvalidInput("the row", "…", f"one whose values can be read: {error}")
    else:
        yield from rows


class Pieces:
    """A file object for writers, whose contents are taken away piece by piece."""

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
        """Nothing is buffered."""

    def close(self) -> None:
        """The contents can still be taken after closing."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        piece = bytes(self._held)
        self._held.clear()
        return piece


FORMATS: dict[str, Format] = {one.name: one for one in (JsonLines(), Csv(), Parquet())}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


class _RowsOfLines:
    """The lines of a CSV file as text for `csv.reader`, which joins several if a cell contains newlines.

    No character spans two lines. The size of a row is limited; otherwise it could be as long as the file.
    """

    def __init__(self, file: BinaryIO, longest: int, seen: Seen) -> None:
        self._lines, self._longest = numbered_lines(file, longest, seen), longest
        self._number = self._taken = 0

    def begin_row(self) -> int:
        """Start the next row and return the number of its first line."""
        self._taken = 0
        return self._number + 1

    def __iter__(self) -> _RowsOfLines:
        return self

    def __next__(self) -> str:
        self._number, line = next(self._lines)
        self._taken += self._longest + 1 if line is None else len(line)
        if line is None or self._taken > self._longest:
            raise InvalidInput("the row", "…", f"at most {self._longest:,} bytes")
        return line.decode("utf-8-sig" if self._number == 1 else "utf-8")  # spreadsheets write a byte order mark


def _object(line: bytes) -> dict[str, Any] | None:
    """Parse a line as a JSON object; None if it is not one."""
    with suppress(ValueError):
        return _JSON_OBJECT.validate_json(line)  # four times as fast as json, and slightly stricter
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
    """Reject a table with unexpected or missing columns."""
    for name in names:
        if name not in by_name:
            raise InvalidInput("column", name, f"one of {', '.join(by_name)}")
    for name, column in by_name.items():
        if name not in names and not column.later:
            raise InvalidInput("column", name, "there: it is missing")
    if len(set(names)) != len(names):
        raise InvalidInput("columns", ", ".join(names), "each there once")


def _checked(by_name: Mapping[str, Column], given: Row, read: Callable[[Column, Any], Any]) -> Row:
    """A row with a value for each column, in column order."""
    for name in given:
        if name not in by_name:
            raise InvalidInput(name, given[name], "left out: there is no such column")
    for name, column in by_name.items():
        if name not in given and not column.later:
            raise InvalidInput(name, None, "given: the column is missing")
    return {name: read(column, given[name]) if name in given else None for name, column in by_name.items()}


@contextmanager
def _as_file(file: BinaryIO) -> Iterator[BinaryIO]:
    """The same bytes in an operating system file, rewound, as another process needs it."""
    try:
        file.fileno()
    except OSError:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy
    else:
        file.seek(0)
        yield file
