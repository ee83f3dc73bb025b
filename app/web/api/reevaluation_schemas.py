"""The types of re-evaluations in the API."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field, StrictInt, StrictStr

from app.given import Given
from app.store.reevaluations import Reevaluation, ReevaluationState


class ReevaluationRequest(Given):
    runs: StrictInt | StrictStr | None = Field(
        description="a run number, or several: '302634-302640, 305000'; null for all that are loaded"
    )


class ReevaluationOut(BaseModel):
    """A re-evaluation: runs rescored with the active model, newest first."""

    id: str
    state: ReevaluationState
    runs: list[int] | None = Field(description="the requested ones; null for all")
    model: str = Field(description="by which it goes on, or ended")
    done: int = Field(description="runs whose scores are by this model, with verdicts of its threshold")
    total: int = Field(description="requested runs that have items")
    computed: int = Field(description="runs that had items to compute")
    restored: int = Field(description="runs whose scores by this model were there or kept from before")
    failed: dict[int, str] = Field(description="run: why it could not be scored")
    why: str
    by: str
    asked_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, one: Reevaluation) -> ReevaluationOut:
        return cls.model_validate(one, from_attributes=True)


class ReevaluationsOut(BaseModel):
    reevaluations: list[ReevaluationOut] = Field(description="the last 50, newest first")
