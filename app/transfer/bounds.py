"""Limits on imported files; reading stops when a file exceeds them or nobody waits for it any more.

The size of a file says little: an 8 kB zip can hold three million bad lines, and any number of blank ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import FileTooLarge, GivenUp

LOOK_SECONDS = 5  # interval for checking that somebody still waits; an import's lease lasts 120


@dataclass(frozen=True)
class Bounds:
    """Limits of an import.

    Attributes:
        file: size of the file in bytes.
        unpacked: bytes of it that are read after decompression.
        rows: rows of all kinds together.
        bad: unusable rows; each is stored to be shown.
        seconds: time for checking.
        beyond: what to do with larger files, as a sentence.
    """

    file: int
    unpacked: int
    rows: int
    bad: int
    seconds: int
    beyond: str


BY_COMMAND = Bounds(  # count tables compress tenfold; 10,000 runs have 2.5 million rows of each kind
    file=2_000_000_000,
    unpacked=20_000_000_000,
    rows=50_000_000,
    bad=100_000,
    seconds=86_400,
    beyond="Export fewer runs at a time.",
)
ON_PAGE = Bounds(  # about 100 runs in a zip, checked within a minute or two
    file=50_000_000,
    unpacked=1_000_000_000,
    rows=1_000_000,
    bad=10_000,
    seconds=600,
    beyond="Larger files are imported by flask import.",
)


class Watch:
    """Monitors the reading of a file.

    Args:
        is_wanted: whether somebody still waits for it; called every few seconds.
    """

    def __init__(self, bounds: Bounds, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self._bounds, self._is_wanted = bounds, is_wanted
        self._bytes = self._rows = self._bad = 0
        self._begun = self._looked = time.monotonic()

    def read(self, size: int) -> None:
        """Count bytes that were read.

        Raises:
            FileTooLarge: the file exceeds its limits.
            GivenUp: nobody waits for it any more.
        """
        self._bytes += size
        self._refuse(self._bytes, self._bounds.unpacked, "becomes more than {} bytes when it is unpacked")
        if time.monotonic() > self._looked + LOOK_SECONDS:
            self.look()

    def rows(self, count: int, bad: int) -> None:
        """Count rows that were checked, and the unusable ones among them. Raises as `read` does."""
        self._rows += count
        self._bad += bad
        self._refuse(self._rows, self._bounds.rows, "has more than {} rows")
        self._refuse(self._bad, self._bounds.bad, "has more than {} rows that cannot be used")
        self.read(0)

    def look(self) -> None:
        """Check the time taken, and whether somebody still waits. Raises as `read` does."""
        self._looked = time.monotonic()
        self._refuse(int(self._looked - self._begun), self._bounds.seconds, "takes more than {} seconds to check")
        if not self._is_wanted():
            raise GivenUp("Nobody waits for this file any more; nothing of it is kept.")

    def _refuse(self, found: int, most: int, what: str) -> None:
        if found > most:
            raise FileTooLarge(f"The file {what.format(f'{most:,}')}. {self._bounds.beyond}")
