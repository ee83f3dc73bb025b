"""Where histograms come from: the DQM server over HTTP, a run's DQM ROOT file, the demonstration server.

Every source yields what it has, and a reason for what it lacks; none decides what a missing histogram means.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from app.domain.origin import Origin
from app.errors import UnusableHistogram

Fetched = tuple[Any, Any | UnusableHistogram]  # a place, and its histogram as the subsystem encodes it


class Source(Protocol):
    """A provider of histograms of runs."""

    name: str  # for the record: which server or file
    origin: Origin  # a run is continued only from the same kind
    simulated: bool  # whether what it has delivered so far is simulated

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        """Whether its data of a run may be incomplete because the run may still be in progress."""
        ...

    def fetch(self, run: int, places: Sequence[Any], stop: threading.Event) -> Iterator[Fetched]:
        """Yield each of `places` exactly once, in order of arrival; end early, without error, once `stop` is set.

        Raises:
            SourceDown: further requests are pointless; what arrived before was yielded.
        """
        ...


class Server(Source, Protocol):
    """A source that can be polled."""

    def runs(self) -> list[int]:
        """The runs it lists, in ascending order.

        Raises:
            SourceDown: no list arrived, or it cannot be parsed.
        """
        ...

    def close(self) -> None:
        """Abort requests in progress; nothing can be fetched afterwards."""
        ...
