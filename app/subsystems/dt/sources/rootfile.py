"""A run's DQM ROOT file: the same 250 histograms in one file, for users without a certificate.

The online DQM names it DQM_V0001_DT_R000<run>.root. Not for other ROOT files, nor for writing them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import limited
from app.domain.origin import Origin, SourceKind
from app.errors import InvalidInput, Reason, SourceDown, UnusableHistogram
from app.sources import Fetched
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.sources import dqm

READER = Path(__file__).with_name("root_reader.py")
MEMORY = 1_000_000_000  # bytes of address space in addition to the file's size; uproot takes 360 MB
CPU_SECONDS = 120  # a run takes one or two
EXAMPLE = "DQM_V0001_DT_R000302635.root"


class RootFile:
    """A DQM ROOT file as a source.

    Args:
        path: the file; opened by each call and never kept open.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self.name = self._path.name
        self.origin, self.simulated = Origin(SourceKind.ROOT, self.name), False

    @property
    def runs(self) -> list[int]:
        """The runs in the file, in ascending order; usually one.

        Raises:
            InvalidInput: there is no such file, or it is not a ROOT file.
            SourceDown: the file is damaged.
        """
        with self._read() as reading:
            return reading.runs

    def require_runs(self) -> list[int]:
        """The same, requiring at least one.

        Raises:
            InvalidInput: there is none; says what is in the file.
        """
        with self._read() as reading:
            if not reading.runs:
                held = ", ".join(reading.holds) or "nothing"
                if any(name.startswith("Indices ") for name in reading.holds):
                    held += ", as DQMIO does before it is harvested"
                form = f"a DQM file with DQMData/Run <number>/DT in it, such as {EXAMPLE}; this one holds {held}"
                raise InvalidInput("file", self.name, form)
            return reading.runs

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        """Never: files are written after the end of a run."""
        return False

    def fetch(self, run: int, chambers: Sequence[Chamber], stop: threading.Event) -> Iterator[Fetched]:
        """Yield each of the chambers once, in the given order: its occupancy, or why there is none.

        Raises:
            InvalidInput: there is no such file, it is not a ROOT file, or it holds other runs.
            SourceDown: the file is damaged as a whole.
        """
        with self._read() as reading:
            if run not in reading.runs:
                held = ", ".join(map(str, reading.runs)) or "none"
                raise InvalidInput("run", run, f"a run that {self.name} holds: {held}")
            for chamber in dict.fromkeys(chambers):
                if stop.is_set():
                    return
                outcome: Occupancy | UnusableHistogram
                try:
                    outcome = occupancy(chamber, reading.ask(_path(run, chamber)))
                except UnusableHistogram as error:
                    outcome = error
                yield chamber, outcome

    @contextmanager
    def _read(self) -> Iterator[_Reading]:
        """The file, read by a separate process."""
        if not self._path.is_file():
            raise InvalidInput("file", self.name, "the path of a ROOT file")
        try:
            with self._path.open("rb") as file:
                begins, size = file.read(4), file.seek(0, 2)
        except OSError as error:
            raise InvalidInput("file", self.name, f"a file that can be read ({error.strerror})") from None
        if begins != b"root":
            raise InvalidInput("file", self.name, "a ROOT file, which begins with the letters root")
        limits = limited.Limits(MEMORY + size, CPU_SECONDS)
        with limited.running(READER, self._path.absolute(), limits=limits, stdin=limited.PIPE) as running:
            yield _Reading(self.name, running)


class _Reading:
    """An open file and its contents.

    Attributes:
        runs: their numbers, in ascending order.
        holds: some of the names in it.

    Raises:
        SourceDown: the file is damaged as a whole.
    """

    def __init__(self, name: str, running: limited.Running) -> None:
        self._name, self._running = name, running
        found = self._answer()
        if "damaged" in found:
            raise self._down(found["damaged"])
        self.runs, self.holds = found["runs"], found["holds"]

    def ask(self, place: str) -> Mapping[str, Any]:
        """The contents at a place: see `root_reader.answers`."""
        pipe: Any = self._running.process.stdin
        try:
            pipe.write(place.encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            raise self._down(self._running.why()) from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        pipe: Any = self._running.process.stdout
        line = pipe.readline()
        if not line.endswith(b"\n"):
            raise self._down(self._running.why())
        return json.loads(line)

    def _down(self, why: str | None) -> SourceDown:
        return SourceDown(Reason.SERVER_ERROR, f"{self._name} is damaged or incomplete ({why}).")


def occupancy(chamber: Chamber, answer: Mapping[str, Any]) -> Occupancy:
    """A chamber's histogram, from the reader's answer.

    Raises:
        UnusableHistogram: there is none, or it cannot be used.
    """
    place = _place(chamber)
    if "absent" in answer:
        raise UnusableHistogram(Reason.ABSENT, f"the file has no {place}")
    if "damaged" in answer:
        raise UnusableHistogram(Reason.SERVER_ERROR, f"{place} is damaged ({answer['damaged']})")
    if "kind" in answer:
        raise UnusableHistogram(Reason.WRONG_SHAPE, f"{place} is a {answer['kind']}, not a TH2 of a chamber")
    return Occupancy.from_rows(chamber, answer["rows"])


def _path(run: int, chamber: Chamber) -> str:
    return f"DQMData/Run {run}/DT/Run summary/{_place(chamber)}"


def _place(chamber: Chamber) -> str:
    return dqm.histogram_path(1, chamber).partition("/DT/")[2]  # below DT, file and server have the same folders
