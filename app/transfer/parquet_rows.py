"""Converts Parquet (standard input) to an Arrow stream (standard output): a script, run within limits.

With dictionaries and run-length encoding, 13 kB of Parquet can become gigabytes, and the sizes stated in the file need
not be true. So it is decoded in a process with limited memory: see `app.limited`. The output is plain: a batch has at
most `BATCH` bytes, or one row within the size limit for rows. Imports nothing of Driftwatch.

    parquet_rows.py LONGEST_ROW MOST
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

BATCH = 4_000_000  # bytes; up to ten times as much as Python objects
ROWS = 500  # per batch
MOST_COLUMNS = 1_000  # ours have 23
LARGEST_METADATA = 1_000_000  # bytes; our manifest takes 3,000


def main(longest: int, most: int) -> None:
    try:
        _copy(open(0, "rb", closefd=False), sys.stdout.buffer, longest, most)  # noqa: SIM115 (the process ends)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        sys.exit(" ".join(str(error).split())[:200] or type(error).__name__)


def _copy(file: BinaryIO, out: BinaryIO, longest: int, most: int) -> None:
    parquet = pq.ParquetFile(file)
    schema = parquet.schema_arrow
    if len(schema) > MOST_COLUMNS:
        sys.exit(f"it has {len(schema):,} columns, more than {MOST_COLUMNS:,}")
    if sum(len(key) + len(value) for key, value in (schema.metadata or {}).items()) > LARGEST_METADATA:
        sys.exit(f"its metadata take more than {LARGEST_METADATA:,} bytes")
    for field in schema:
        if not _is_plain(field.type):
            sys.exit(f"its column {field.name[:60]!r} is of the type {str(field.type)[:60]}, which no export has")
    written, number = 0, 0
    with pa.ipc.new_stream(out, schema) as stream:
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(_rows(parquet, group), row_groups=[group], use_threads=False):
                for piece in _pieces(batch):
                    number += piece.num_rows
                    if piece.nbytes > longest and piece.num_rows == 1:
                        sys.exit(f"row {number:,} takes {piece.nbytes:,} bytes, more than {longest:,}")
                    written += piece.nbytes
                    if written > most:
                        sys.exit(f"it becomes more than {most:,} bytes when it is unpacked")
                    stream.write_batch(piece)
    out.flush()


def _rows(parquet: pq.ParquetFile, group: int) -> int:
    """Number of rows to decode at once, from the sizes stated in the file; if they are wrong, memory runs out."""
    metadata = parquet.metadata.row_group(group)
    each = metadata.total_byte_size // max(1, metadata.num_rows) + 1
    return max(1, min(ROWS, BATCH // max(1, each)))


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split a batch into small pieces, or single rows."""
    if batch.nbytes <= BATCH or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))


def _is_plain(kind: pa.DataType, within: bool = False) -> bool:
    """Whether values take about as many bytes as they contain: no dictionaries or lists that could repeat for free."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_plain(kind.value_type, within=True)
    takes_bytes = (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_timestamp(kind)
    )
    return takes_bytes or (not within and (pa.types.is_boolean(kind) or pa.types.is_null(kind)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
