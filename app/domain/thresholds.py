"""A threshold set for a model by an expert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class SetThreshold:
    """One threshold setting.

    Attributes:
        use: "shifter" or "alarm".
        score: the score from which a part is bad.
        before: the previous value.
        false_alarms, found: performance on simulated items, from the evaluation stored at the time; None without one.
        false_alarms_by_hits: false alarms by hits per cell.
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
