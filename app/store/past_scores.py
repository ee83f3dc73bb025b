"""Earlier scores of items by other models: one document per run, place and model.

The database copies scores here before others replace them on the item: a process killed in between leaves the same
scores twice, never none. They belong to one histogram, identified by its fetch time, and are only restored to that one.
Not for current scores: these are on the item itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import DESCENDING, IndexModel
from pymongo.collection import Collection

from app.domain.judgement import Judgement, Verdict
from app.store.collections import Collections

# The fields of an item that scoring sets, and that are copied together from the item to here and back.
FIELDS = ("state", "rank", "scores", "verdicts", "reasons", "findings", "worst", "bad", "model", "scored_at")
OPTIONAL = ("embedding", "unlike", "part_scores", "threshold")  # not every item has them


@dataclass(frozen=True)
class PastScore:
    """One model's scores of one item."""

    model: str
    judgement: Judgement
    scored_at: datetime


class PastScores:
    """The past scores of all runs of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._collection, self._subsystem = collections["past_scores"], collections.subsystem

    def make_indexes(self) -> None:
        of_run = IndexModel(["run", "subsystem", "model"])
        self._collection.create_indexes([IndexModel(self._identity, unique=True), of_run])

    def copy(self, items: Collection, run: int, model: str) -> None:
        """Copy the scores of a run's items, except those by `model`, replacing earlier copies of the same models."""
        fields = ("run", "subsystem", *self._subsystem.keys, *FIELDS, *OPTIONAL, "fetched_at")
        scored = {"run": run, "subsystem": self._subsystem.name, "scores": {"$exists": True}, "model": {"$ne": model}}
        into = {"into": self._collection.name, "on": self._identity, "whenMatched": "replace"}
        items.aggregate([{"$match": scored}, {"$project": dict.fromkeys(fields, 1) | {"_id": 0}}, {"$merge": into}])

    def of_run(self, run: int, model: str) -> list[Mapping[str, Any]]:
        """The documents with a model's scores of a run's items."""
        return list(self._collection.find({"run": run, "subsystem": self._subsystem.name, "model": model}))

    def of_item(self, run: int, place: Any, but: str = "") -> list[PastScore]:
        """The past scores of an item by every model but one, newest first."""
        wanted = {**self._subsystem.identity(run, place), "model": {"$ne": but}}
        found = self._collection.find(wanted, {"embedding": 0, "findings": 0}).sort("scored_at", DESCENDING)
        return [PastScore(d["model"], judgement_of(d), d["scored_at"]) for d in found]

    def count_by_model(self, run: int) -> dict[str, int]:
        """model → number of a run's items with past scores by it."""
        of_run = {"run": run, "subsystem": self._subsystem.name}
        group = {"$group": {"_id": "$model", "items": {"$sum": 1}}}
        return {d["_id"]: d["items"] for d in self._collection.aggregate([{"$match": of_run}, group])}

    def remove_run(self, run: int) -> int:
        """Delete all past scores of a run; returns the number of documents."""
        return self._collection.delete_many({"run": run, "subsystem": self._subsystem.name}).deleted_count

    def runs(self) -> list[int]:
        """The numbers of the runs that have past scores."""
        return self._collection.distinct("run")

    @property
    def _identity(self) -> list[str]:
        return ["run", "subsystem", *self._subsystem.keys, "model"]


def judgement_of(document: Mapping[str, Any]) -> Judgement:
    """The judgement in a document with the fields of scoring."""
    known = [score for score in document["scores"] if score is not None]
    return Judgement(
        scores=tuple(document["scores"]),
        verdicts=tuple(Verdict(verdict) for verdict in document["verdicts"]),
        reasons=tuple(document["reasons"]),
        certainty=min((abs(0.5 - score) for score in known), default=None),
        threshold=document.get("threshold"),
    )
