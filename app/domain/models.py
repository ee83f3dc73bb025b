"""One version of a model, as listed in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class ModelState(StrEnum):
    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    REFUSED = "refused"  # it forgot what the active model knew; it cannot be activated unless an expert overrides that


@dataclass(frozen=True)
class Model:
    """One model version.

    Attributes:
        name: the name stored with its scores.
        card: its description, as JSON: see `app.ml.models.Card`.
        sha256: checksum of its file.
        refused: it forgot too much and nobody overrode that, so it cannot be activated.
        check: how much a candidate trained from labels forgot, as its subsystem defines it; None for other models.
        override: {"reason", "by", "at"} if an expert allowed it although it was refused.
        works: it has been loaded and used successfully.
    """

    name: str
    card: Mapping[str, Any]
    sha256: str
    state: ModelState
    added_at: datetime
    added_by: str
    refused: bool = False
    check: Mapping[str, Any] | None = None
    override: Mapping[str, Any] | None = None
    works: bool = False
