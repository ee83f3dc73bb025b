"""A background job."""

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
    """One background job.

    Attributes:
        kind: selects the handler, such as "fetch".
        subsystem: name of the subsystem that the job belongs to.
        run: the run that it works on, exclusively; None if it is not about a single run.
        lane: jobs in the same lane run one after another, in the order of their requests.
        args: further arguments of the handler.
        progress: last progress reported by the handler.
        owner: the runner that holds the lease.
        local: only the process that created the job can run it (it reads a local file).
        cancel: cancellation was requested.
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
