"""A threshold that an expert set for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class SetThreshold:
    """One threshold as it was set.

    Attributes:
        use: "shifter" or "alarm".
        score: from which a part is bad.
        before: what it stood at until then.
        false_alarms, found: what it means on simulated items, by the evaluation that was kept then; None without.
        false_alarms_by_hits: the first by hits a cell.
    """

    model: str
    use: str
    score: float
    before: float | None
    why: str
    by: str
    at: datetime
    false_alarms: float | None = None
    found: float | None = None
    false_alarms_by_hits: Mapping[str, float] = field(default_factory=dict)
