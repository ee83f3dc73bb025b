"""The base of figures and cards: what is stored as JSON, and read again by later versions."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class JsonRecord(BaseModel):
    """It never changes, has no unknown field, and no number that JSON has not."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def readable(cls, text: str | bytes) -> Self | None:
        """From JSON; None if it was written by another version in a form that this one cannot read."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None
