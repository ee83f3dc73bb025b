"""The audit trail: who did what to what, and when; written once, never changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.database import Database


class Events:
    """The audit trail. It is small: it records only decisions by people."""

    def __init__(self, database: Database, subsystem: str) -> None:
        self._collection, self._mine = database["events"], {"subsystem": subsystem}

    def upgrade(self) -> None:
        """Assign entries from before there were several subsystems to this one."""
        self._collection.update_many({"subsystem": {"$exists": False}}, {"$set": self._mine})

    def record(self, what: str, run: int | None, by: str, **details: object) -> None:
        """Record that `by` did `what` ("run deleted") to a run, or to something named in the details."""
        self._collection.insert_one(
            {"at": datetime.now(UTC), "what": what, **self._mine, "run": run, "by": by, **details}
        )

    def runs_with(self, what: str) -> set[int]:
        """The runs to which `what` was ever done."""
        return set(self._collection.distinct("run", {"what": what, **self._mine}))

    def of_models(self, name: str | None = None) -> list[dict[str, Any]]:
        """What was done to one model, or to any model, newest first: {"at", "what", "by", "model", "reason"}."""
        fields = {"_id": 0, "at": 1, "what": 1, "by": 1, "model": 1, "reason": 1}
        return list(
            self._collection.find({"model": name or {"$exists": True}, **self._mine}, fields).sort("at", DESCENDING)
        )
