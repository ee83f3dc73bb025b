"""Where histograms come from: the DQM server over HTTP, a run's DQM ROOT file, the demonstration server.

Every source yields what it has and the reason for what it has not; none decides what a missing histogram means.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from app.domain.origin import Origin
from app.errors import UnusableHistogram

Fetched = tuple[Any, Any | UnusableHistogram]  # a place, and what the subsystem makes of its histogram


class Source(Protocol):
    """Something that has the histograms of runs."""

    name: str  # for the record: which server or file
    origin: Origin  # what a run is continued from, and from nothing else
    simulated: bool  # what it gave is simulated, as far as it was asked

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        """Whether what it has of a run now may not be all: it was perhaps still being taken."""
        ...

    def fetch(self, run: int, places: Sequence[Any], stop: threading.Event) -> Iterator[Fetched]:
        """Yield each of `places` exactly once, in order of arrival; end early, without error, once `stop` is set.

        Raises:
            SourceDown: asking on is pointless; what arrived before was yielded.
        """
        ...


class Server(Source, Protocol):
    """A source that is asked again and again."""

    def runs(self) -> list[int]:
        """The runs that it lists, in ascending order.

        Raises:
            SourceDown: no list came, or it cannot be understood.
        """
        ...

    def close(self) -> None:
        """End what is under way; nothing can be fetched afterwards."""
        ...
