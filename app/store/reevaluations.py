"""Re-evaluations: which runs somebody wants scored again by the model in use, and how far that is.

Which runs are left follows from the runs themselves, so nothing here can be lost or count twice. One at most is open:
a unique index holds that. Not for doing it: see `app.jobs.reevaluate`.
"""

from __future__ import annotations

from collections.abc import Collection as Several
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

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
        runs: those asked for; None for all.
        model: by which it goes on, or ended.
        done, total: runs whose scores are by this model and whose verdicts are of its threshold, and all that are asked
            for and have chambers; as of the last run that was scored.
        computed, restored: runs that had chambers to compute, and those of which its scores were there or kept.
        failed: run → why it could not be scored by this model.
        why: it failed as a whole, one sentence.
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
    """All of them, the newest first."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def make_indexes(self) -> None:
        self._collection.create_index("open", unique=True, partialFilterExpression={"open": True})
        self._collection.create_index("asked_at")

    def begin(self, runs: Sequence[int] | None, by: str, model: str) -> Reevaluation | None:
        """Open one; None while another is open."""
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
        """Bring one from one of some states to another; None where it is in none of these."""
        changes: dict[str, Any] = {"state": state, "open": state in OPEN, "why": why}
        if state not in OPEN:
            changes["ended_at"] = datetime.now(UTC)
        return self._update(reevaluation_id, {"$set": changes}, state={"$in": list(states)})

    def note(self, reevaluation_id: str, model: str, done: int, total: int) -> Reevaluation | None:
        """Keep how far one is by a model; what failed by another model is forgotten. None where it is not open."""
        self._update(reevaluation_id, {"$set": {"failed": []}}, model={"$ne": model})
        return self._update(reevaluation_id, {"$set": {"model": model, "done": done, "total": total}}, open=True)

    def count(self, reevaluation_id: str, what: str) -> None:
        """Count one run more as "computed" or "restored"."""
        self._update(reevaluation_id, {"$inc": {what: 1}})

    def note_failed(self, reevaluation_id: str, run: int, why: str) -> None:
        """Keep why a run could not be scored."""
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
        """The last ones that were asked for."""
        return [_reevaluation(d) for d in self._collection.find().sort("asked_at", DESCENDING).limit(limit)]

    def _update(self, reevaluation_id: str, changes: Mapping[str, Any], **where: Any) -> Reevaluation | None:
        wanted = {"_id": ObjectId(reevaluation_id), **where}
        found = self._collection.find_one_and_update(wanted, changes, return_document=ReturnDocument.AFTER)
        return _reevaluation(found) if found else None


def _reevaluation(document: Mapping[str, Any]) -> Reevaluation:
    fields = {key: value for key, value in document.items() if key in Reevaluation.__dataclass_fields__}
    fields["failed"] = {one["run"]: one["why"] for one in document.get("failed", ())}
    return Reevaluation(id=str(document["_id"]), **{**fields, "state": ReevaluationState(document["state"])})
