"""A known problem of one place, such as a dead or noisy part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A known problem of one place.

    Attributes:
        parts: numbers, ascending.
        cells: (first, last), from 1; None for whole parts.
        text: what is wrong and why, in an expert's words.
        since, until: first and last affected run; until is None if the problem persists.
        ended_by, ended_at: who recorded the end, and when.
    """

    id: str
    place: Any
    parts: tuple[int, ...]
    cells: tuple[int, int] | None
    text: str
    since: int
    until: int | None
    by: str
    at: datetime
    ended_by: str = ""
    ended_at: datetime | None = None

    def covers(self, run: int) -> bool:
        """Whether a run is affected."""
        return self.since <= run and (self.until is None or run <= self.until)
