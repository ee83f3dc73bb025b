"""Histograms of many chambers in a file of numbers: none of them stays in memory, and another process can read them.

It is a cache of what the store has, made for one training or one comparison, and goes with it.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from app.subsystems.dt.geometry import LAYERS, Chamber
from app.subsystems.dt.histogram import Occupancy

_COUNT_BYTES = 4  # int32, little-endian: see `Occupancy.to_bytes`


class Histogram(Protocol):
    """A histogram, wherever it is."""

    def read(self) -> Occupancy: ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """A histogram that is here already."""

    occupancy: Occupancy

    def read(self) -> Occupancy:
        return self.occupancy


@dataclass(frozen=True, eq=False)
class Stored:
    """A histogram in a file; pickled, it is no more than where.

    Attributes:
        start: its first byte.
    """

    file: HistogramFile
    chamber: Chamber
    start: int

    def read(self) -> Occupancy:
        """Raises OSError where the file is not there any more."""
        data = self.file.read(self.start, LAYERS * self.chamber.columns * _COUNT_BYTES)
        return Occupancy.from_bytes(self.chamber, data)


class HistogramFile:
    """A file that histograms are added to; safe to read from several threads.

    Args:
        path: of the file to make, for other processes to read; without it, one without a name, which goes by itself.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._end = path, 0
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")

    def add(self, occupancy: Occupancy) -> Stored:
        """Write a histogram.

        Raises:
            OSError: such as on a full disk.
        """
        data, start = occupancy.to_bytes(), self._end
        self._file.write(data)
        self._file.flush()  # `read` asks the system, here or in another process
        self._end += len(data)
        return Stored(self, occupancy.chamber, start)

    def read(self, start: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, start)

    @cached_property
    def _file(self) -> IO[bytes]:
        file = tempfile.TemporaryFile() if self._path is None else self._path.open("r+b")  # noqa: SIM115
        weakref.finalize(self, file.close)  # whoever has an item of it may read it until then
        return file

    def __getstate__(self) -> dict[str, Any]:
        if self._path is None:
            raise TypeError("a file without a name cannot be handed to another process")
        return {"_path": self._path, "_end": self._end}
