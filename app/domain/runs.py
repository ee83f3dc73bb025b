"""One run of a subsystem: its state, its progress and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.domain.origin import Origin, SourceKind


class RunState(StrEnum):
    WAITING = "waiting"
    FETCHING = "fetching"
    SCORING = "scoring"
    FINISHED = "finished"
    NOT_FOUND = "not_found"
    FAILED = "failed"
    DELETING = "deleting"


BUSY = frozenset({RunState.WAITING, RunState.FETCHING, RunState.SCORING, RunState.DELETING})


@dataclass(frozen=True)
class Run:
    """What is known about a run.

    Attributes:
        total, done, missing: number of items in the run, stored ones, and unavailable ones (their reasons are stored
            with the items).
        why: why it failed or was not found, in one sentence.
        summary: counts over its scored items: see `Items.summary`; without the packed data of `Runs.summaries`.
        reasons: number of missing items by reason.
        rate: items arriving per second while the run is being fetched.
        source, source_kind: where it is fetched from, once requested: see `origin`.
        simulated: some of its items are from a demonstration.
        unsettled: when it was fetched the server listed no later run, so it may still have been in progress.
        ask_again_at: time of the next automatic request to the server; None if there is none.
        first_asked_at: time of the last request by a person; it determines how long the server is asked again.
        model: the model that scored its items; empty if there are no scores, or several models.
        threshold: the threshold of their verdicts; None if unknown or not unique.
        drift: distance from its model's training data: "model", and what the subsystem measures; None if not
            measured.
        kept: other models with archived scores for all its items, which need not be recomputed.
    """

    number: int
    state: RunState
    total: int = 0
    done: int = 0
    missing: int = 0
    rate: float = 0.0
    why: str = ""
    source: str = ""
    source_kind: str = ""
    simulated: bool = False
    unsettled: bool = False
    ask_again_at: datetime | None = None
    first_asked_at: datetime | None = None
    requested_by: str = ""
    requested_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    model: str = ""
    threshold: float | None = None
    kept: Sequence[str] = ()
    drift: Mapping[str, Any] | None = None
    summary: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def origin(self) -> Origin | None:
        """The source that its items come from and are continued from; None if unknown."""
        return Origin(SourceKind(self.source_kind), self.source) if self.source_kind else None

    @property
    def begun(self) -> bool:
        """Whether items may be stored; if so, the run is only continued from its origin."""
        return bool(self.done) or self.state in (RunState.FETCHING, RunState.SCORING)

    @property
    def busy(self) -> bool:
        return self.state in BUSY

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to fetch or to score, as far as is known."""
        is_whole = not self.missing and not self.unsettled and not self.summary.get("unscored")
        return self.state is RunState.FINISHED and is_whole

    @property
    def seconds_left(self) -> float | None:
        """Remaining time, estimated from the current rate; None without a rate."""
        return (
            (self.total - self.done - self.missing) / self.rate
            if self.state is RunState.FETCHING and self.rate
            else None
        )
