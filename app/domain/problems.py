"""A known problem of one place: what is dead or noisy since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A known problem of one place.

    Attributes:
        parts: by number, ascending.
        cells: (first, last), from 1; None for whole parts.
        text: what and why, in an expert's words.
        since, until: the first and the last run with it; until is None while it lasts.
        ended_by, ended_at: who said that it ended.
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
        """Whether a run has it."""
        return self.since <= run and (self.until is None or run <= self.until)
