"""A piece of work in the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        kind: which handler does it, such as "fetch".
        subsystem: of which it is.
        run: the run that it works on, and no other job meanwhile; None where it works on no single run.
        lane: jobs of one lane run one after another, in the order in which they were asked for.
        args: what the handler needs besides.
        progress: how far it is, as its handler noted it last.
        owner: the runner that holds the lease.
        local: only the process that made it can do it (it reads a file there).
        cancel: somebody asked for it to stop.
    """

    id: str
    kind: str
    run: int | None
    lane: str
    state: JobState
    by: str
    subsystem: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""
    local: bool = False
    cancel: bool = False
    attempt: int = 0
    why: str = ""
    asked_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def __str__(self) -> str:
        return self.kind if self.run is None else f"{self.kind} of run {self.run}"
