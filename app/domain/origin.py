"""The source of a run's items, as stored with the run: a run is only continued from the same source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from app.errors import OtherSource


class SourceKind(StrEnum):
    DQM = "dqm"  # a DQM server
    DEMONSTRATION = "demonstration"  # the demonstration server, which simulates every run
    ROOT = "root"  # a DQM ROOT file
    IMPORT = "import"  # a file of histograms without run numbers


@dataclass(frozen=True)
class Origin:
    """A source of histograms.

    Attributes:
        name: base URL of a server, or name of a file.

    >>> str(Origin(SourceKind.ROOT, "R302635.root"))
    'the ROOT file R302635.root'
    """

    kind: SourceKind
    name: str

    def __str__(self) -> str:
        words = {
            SourceKind.DQM: "the DQM server",
            SourceKind.DEMONSTRATION: "the demonstration server",
            SourceKind.ROOT: "the ROOT file",
            SourceKind.IMPORT: "the import of",
        }[self.kind]
        return words if self.kind is SourceKind.DEMONSTRATION else f"{words} {self.name}"

    @property
    def fields(self) -> dict[str, str]:
        """The fields stored with a run."""
        return {"source": self.name, "source_kind": str(self.kind)}

    @property
    def is_server(self) -> bool:
        """Whether it can be read again without anybody providing a file."""
        return self.kind in (SourceKind.DQM, SourceKind.DEMONSTRATION)

    def require(self, run: int, other: Origin) -> None:
        """Refuse to continue a run from this source with a different one.

        Raises:
            OtherSource: the other source is different; the error names both and says what to do.
        """
        if self == other:
            return
        raise OtherSource(f"Run {run} comes from {self} and is not mixed with {other}. {self._go_on(run)}")

    def interrupted(self, run: int) -> str:
        """Why a run from this source is incomplete, and what to do."""
        return f"Fetching it from {self} was interrupted. {self._go_on(run)}"

    def _go_on(self, run: int) -> str:
        go_on = {
            SourceKind.DQM: f"To go on, set DQM_URL to {self.name} and ask again; or delete",
            SourceKind.DEMONSTRATION: "To go on, leave DQM_URL unset and ask again; or delete",
            SourceKind.ROOT: f"To go on, give the file again: flask fetch --root {self.name} {run}; or delete",
            SourceKind.IMPORT: "Delete",
        }[self.kind]
        return f"{go_on} the run first."


DEMONSTRATION = Origin(SourceKind.DEMONSTRATION, "demonstration")

# Earlier versions stored the local address of the demonstration server.
DEMONSTRATION_NAME = r"^http://(127\.0\.0\.1|localhost|\[::1\]):[0-9]+/dqm/online$"


def told_by(name: str | None, done: int) -> Origin | None:
    """The source of a run for which an earlier version stored only a name; None if nothing was stored yet.

    Args:
        done: number of stored items.

    >>> str(told_by("http://127.0.0.1:40123/dqm/online", 250)), str(told_by("https://cmsweb.cern.ch/dqm/online", 250))
    ('the demonstration server', 'the DQM server https://cmsweb.cern.ch/dqm/online')
    """
    if not name:
        return Origin(SourceKind.IMPORT, "a file") if done else None
    if re.search(DEMONSTRATION_NAME, name):
        return DEMONSTRATION
    if name.startswith(("http://", "https://")):
        return Origin(SourceKind.DQM, name)
    return Origin(SourceKind.ROOT if name.endswith(".root") else SourceKind.IMPORT, name)
