"""One run of a subsystem: its state, how far it is, what came of it."""

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
    """What is known of a run.

    Attributes:
        total, done, missing: items of the run, those stored, and those that cannot be had (with reasons on the items).
        why: why it failed or was not found, one sentence.
        summary: counts over its scored items: see `Items.summary`; without what is packed, for which see
            `Runs.summaries`.
        reasons: how many items are missing for each reason.
        rate: items that arrived a second, while it is being fetched.
        source, source_kind: what it is fetched from, once somebody asked for it: see `origin`.
        simulated: some of it comes from a demonstration.
        unsettled: it was fetched while the server listed no later run: perhaps it was still being taken.
        ask_again_at: when the server is to be asked for it again by itself; None where it is not.
        first_asked_at: when somebody asked for it last; how long the server is asked again follows from it.
        model: whose scores its items have; empty where they have none, or those of several.
        threshold: at which their verdicts were made; None where that is not known, or at several.
        drift: how far it is from what its model was trained on: "model", and what its subsystem measures; None where
            that is not measured.
        kept: other models whose scores of all its items are kept, so that they need not be computed again.
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
        """What its items come from, and are continued from; None while nothing is said of that."""
        return Origin(SourceKind(self.source_kind), self.source) if self.source_kind else None

    @property
    def begun(self) -> bool:
        """Something of it may be here: it is continued from its origin alone."""
        return bool(self.done) or self.state in (RunState.FETCHING, RunState.SCORING)

    @property
    def busy(self) -> bool:
        return self.state in BUSY

    @property
    def is_complete(self) -> bool:
        """Nothing is left to fetch or to score, as far as is known."""
        is_whole = not self.missing and not self.unsettled and not self.summary.get("unscored")
        return self.state is RunState.FINISHED and is_whole

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the rate so far; None where there is none."""
        return (
            (self.total - self.done - self.missing) / self.rate
            if self.state is RunState.FETCHING and self.rate
            else None
        )
