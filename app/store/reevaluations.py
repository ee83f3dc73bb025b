"""Re-evaluations: requests to score runs again with the active model, and their progress.

The runs that remain follow from the runs themselves, so nothing here can be lost or count twice. A unique index ensures
that at most one is open. Not for doing it: see `app.jobs.reevaluate`.
"""

from __future__ import annotations

from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.store.collections import Collections
from app.store.ids import by_id


class ReevaluationState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


OPEN = (ReevaluationState.RUNNING, ReevaluationState.PAUSED)


@dataclass(frozen=True)
class Reevaluation:
    """One re-evaluation.

    Attributes:
        runs: the requested ones; None for all.
        model: the current one, or the last one if it is over.
        done, total: runs whose scores are by this model and whose verdicts are by its threshold, and all requested
            ones that have items; as of the last run scored.
        computed, restored: runs with scores to compute, and runs whose scores were there or stored.
        failed: run → why it could not be scored by this model.
        why: why it failed as a whole, one sentence.
    """

    id: str
    state: ReevaluationState
    by: str
    asked_at: datetime
    runs: Sequence[int] | None = None
    model: str = ""
    done: int = 0
    total: int = 0
    computed: int = 0
    restored: int = 0
    failed: Mapping[int, str] = field(default_factory=dict)
    why: str = ""
    ended_at: datetime | None = None

    @property
    def open(self) -> bool:
        return self.state in OPEN


class Reevaluations:
    """All re-evaluations, newest first."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["reevaluations"]

    def make_indexes(self) -> None:
        one_open = IndexModel("open", unique=True, partialFilterExpression={"open": True})
        self._collection.create_indexes([one_open, IndexModel("asked_at")])

    def begin(self, runs: Sequence[int] | None, by: str, model: str) -> Reevaluation | None:
        """Open a re-evaluation; None while another one is open."""
        document: dict[str, Any] = {"runs": runs, "by": by, "asked_at": datetime.now(UTC), "model": model}
        document |= {"state": ReevaluationState.RUNNING, "open": True}
        try:
            self._collection.insert_one(document)
        except DuplicateKeyError:
            return None
        return _reevaluation(document)

    def change(
        self, reevaluation_id: str, states: Several[ReevaluationState], state: ReevaluationState, why: str = ""
    ) -> Reevaluation | None:
        """Change the state of one, if it is in one of the given states; otherwise None."""
        changes: dict[str, Any] = {"state": state, "open": state in OPEN, "why": why}
        if state not in OPEN:
            changes["ended_at"] = datetime.now(UTC)
        return self._update(reevaluation_id, {"$set": changes}, state={"$in": list(states)})

    def note(self, reevaluation_id: str, model: str, done: int, total: int) -> Reevaluation | None:
        """Store the progress with a model; failures by another model are forgotten. None if it is not open."""
        self._update(reevaluation_id, {"$set": {"failed": []}}, model={"$ne": model})
        return self._update(reevaluation_id, {"$set": {"model": model, "done": done, "total": total}}, open=True)

    def count(self, reevaluation_id: str, what: str) -> None:
        """Count one run more as "computed" or "restored"."""
        self._update(reevaluation_id, {"$inc": {what: 1}})

    def note_failed(self, reevaluation_id: str, run: int, why: str) -> None:
        """Store why a run could not be scored."""
        self._update(reevaluation_id, {"$push": {"failed": {"run": run, "why": why}}})

    def get(self, reevaluation_id: str) -> Reevaluation:
        """One of them.

        Raises:
            NotFound: there is none with this id.
        """
        return _reevaluation(by_id(self._collection, reevaluation_id, "re-evaluation"))

    def opened(self) -> Reevaluation | None:
        """The one that is running or paused."""
        found = self._collection.find_one({"open": True})
        return _reevaluation(found) if found else None

    def newest(self, limit: int) -> list[Reevaluation]:
        """The latest requests."""
        return [_reevaluation(d) for d in self._collection.find().sort("asked_at", DESCENDING).limit(limit)]

    def _update(self, reevaluation_id: str, changes: Mapping[str, Any], **where: Any) -> Reevaluation | None:
        wanted = {"_id": ObjectId(reevaluation_id), **where}
        found = self._collection.find_one_and_update(wanted, changes, return_document=ReturnDocument.AFTER)
        return _reevaluation(found) if found else None


def _reevaluation(document: Mapping[str, Any]) -> Reevaluation:
    fields = {key: value for key, value in document.items() if key in Reevaluation.__dataclass_fields__}
    fields["failed"] = {one["run"]: one["why"] for one in document.get("failed", ())}
    return Reevaluation(id=str(document["_id"]), **{**fields, "state": ReevaluationState(document["state"])})
