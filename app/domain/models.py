"""One version of a model, as the registry knows it."""

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
    REFUSED = "refused"  # it forgot what the model in use knew: not to be activated unless an expert overrides that


@dataclass(frozen=True)
class Model:
    """One version.

    Attributes:
        name: what scores name.
        card: what is known of it, as JSON: see `app.ml.models.Card`.
        sha256: of its file.
        refused: it forgot too much, and nobody overrode that: it cannot be activated.
        check: what a candidate from labels forgot, as its subsystem has it; None for other models.
        override: {"reason", "by", "at"} where an expert let it pass although it was refused.
        works: it was loaded and has judged.
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
