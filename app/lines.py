"""The lines of a file that somebody gave, none of which is held in memory if it is too long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

SKIPPED_AT_ONCE = 1_000_000  # bytes of a line that is too long


def numbered_lines(
    file: BinaryIO, longest: int, seen: Callable[[int], object] = lambda size: None
) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, line with its end) of each line; None for one that is longer.

    Args:
        longest: bytes that a line may have, with its end.
        seen: is told, piece by piece, how much was read.

    >>> import io
    >>> list(numbered_lines(io.BytesIO(b"a\\nlong\\nb"), 3))
    [(1, b'a\\n'), (2, None), (3, b'b')]
    """
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        seen(len(line))
        if len(line) <= longest:
            yield number, line
            continue
        while not line.endswith(b"\n") and (line := file.readline(SKIPPED_AT_ONCE)):
            seen(len(line))
        yield number, None
