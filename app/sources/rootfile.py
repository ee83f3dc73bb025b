"""A run's DQM ROOT file: the same 250 histograms in one file, for whoever has the file and no certificate.

The online DQM names it DQM_V0001_DT_R000<run>.root. Not for other ROOT files, nor for writing any.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.errors import InvalidInput, Reason, SourceDown, UnusableHistogram
from app.sources import Fetched
from app.sources.origin import Origin, SourceKind
from app.subsystems.dt import dqm
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy


class RootFile:
    """A DQM ROOT file as a source.

    Args:
        path: the file; it is opened by each call and never kept open.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self.name = self._path.name
        self.origin, self.simulated = Origin(SourceKind.ROOT, self.name), False

    @property
    def runs(self) -> list[int]:
        """The runs in the file, in ascending order: one, as a rule.

        Raises:
            InvalidInput: there is no such file, or it is not a ROOT file.
            SourceDown: the file is damaged.
        """
        with self._opened() as file:
            return self._runs(file)

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        """Never: a file is written when a run is over."""
        return False

    def fetch(self, run: int, chambers: Sequence[Chamber], stop: threading.Event) -> Iterator[Fetched]:
        """Yield each of the chambers once, in the order asked for: its occupancy, or why there is none.

        Raises:
            InvalidInput: there is no such file, it is not a ROOT file, or it holds other runs.
            SourceDown: the file is damaged as a whole.
        """
        with self._opened() as file:
            if run not in (runs := self._runs(file)):
                held = ", ".join(map(str, runs)) or "none"
                raise InvalidInput("run", run, f"a run that {self.name} holds: {held}")
            for chamber in dict.fromkeys(chambers):
                if stop.is_set():
                    return
                try:
                    outcome = _occupancy(file, run, chamber)
                except UnusableHistogram as error:
                    outcome = error
                yield chamber, outcome

    @contextmanager
    def _opened(self):
        import uproot  # slow to import, and most processes never need it

        if not self._path.is_file():
            raise InvalidInput("file", self.name, "the path of a ROOT file")
        try:
            with self._path.open("rb") as file:
                begins = file.read(4)
        except OSError as error:
            raise InvalidInput("file", self.name, f"a file that can be read ({error.strerror})") from None
        if begins != b"root":
            raise InvalidInput("file", self.name, "a ROOT file, which begins with the letters root")
        try:
            file = uproot.open(self._path, handler=uproot.MemmapSource)
        except Exception as error:  # noqa: BLE001 (damaged bytes make uproot raise nearly anything)
            raise self._damaged(error) from None
        with file:
            yield file

    def _runs(self, file) -> list[int]:
        try:
            keys = file["DQMData"].keys(recursive=False, cycle=False) if "DQMData" in file else []
        except Exception as error:  # noqa: BLE001
            raise self._damaged(error) from None
        return sorted(int(found[1]) for key in keys if (found := re.fullmatch(r"Run ([0-9]{1,9})", key)))

    def _damaged(self, error: Exception) -> SourceDown:
        return SourceDown(Reason.SERVER_ERROR, f"{self.name} is damaged or incomplete ({_words(error)}).")


def _occupancy(file, run: int, chamber: Chamber) -> Occupancy:
    import uproot

    place = dqm.histogram_path(run, chamber).partition("/DT/")[2]  # below DT, file and server have the same folders
    try:
        histogram = file[f"DQMData/Run {run}/DT/Run summary/{place}"]
        kind = histogram.classname
        values = histogram.values(flow=False) if kind.startswith("TH2") else None
    except uproot.KeyInFileError:
        raise UnusableHistogram(Reason.ABSENT, f"the file has no {place}") from None
    except Exception as error:  # noqa: BLE001
        raise UnusableHistogram(Reason.SERVER_ERROR, f"{place} is damaged ({_words(error)})") from None
    if values is None:
        raise UnusableHistogram(Reason.WRONG_SHAPE, f"{place} is a {kind}, not a TH2")
    return Occupancy.from_rows(chamber, values.T)  # uproot's are [x][y], that is [cell][layer]


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
