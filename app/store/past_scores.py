"""What models said of items before the one whose scores an item has now: one document a run, place and model.

Scores are copied here, by the database, before others take their place on the item: whoever is killed between the two
has the same scores twice, never none. They are of one histogram, named by when it was fetched, and are put back only on
that. Not for the scores that are shown and ranked by: these stand on the item itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import DESCENDING, IndexModel
from pymongo.collection import Collection

from app.domain.judgement import Judgement, Verdict
from app.subsystems import Subsystem

# The fields of an item that scoring sets, and that go together from the item to here and back.
FIELDS = ("state", "rank", "scores", "verdicts", "reasons", "findings", "worst", "bad", "model", "scored_at")
OPTIONAL = ("embedding", "unlike", "part_scores", "threshold")  # not every chamber has them


@dataclass(frozen=True)
class PastScore:
    """What one model said of one item."""

    model: str
    judgement: Judgement
    scored_at: datetime


class PastScores:
    """The earlier scores of all runs of one subsystem."""

    def __init__(self, collection: Collection, subsystem: Subsystem) -> None:
        self._collection, self._subsystem = collection, subsystem

    def make_indexes(self) -> None:
        of_run = IndexModel(["run", "subsystem", "model"])
        self._collection.create_indexes([IndexModel(self._identity, unique=True), of_run])

    def copy(self, items: Collection, run: int, model: str) -> None:
        """Copy the scores of a run's items but those by `model`, in place of what was kept of the same models."""
        fields = ("run", "subsystem", *self._subsystem.keys, *FIELDS, *OPTIONAL, "fetched_at")
        scored = {"run": run, "subsystem": self._subsystem.name, "scores": {"$exists": True}, "model": {"$ne": model}}
        into = {"into": self._collection.name, "on": self._identity, "whenMatched": "replace"}
        items.aggregate([{"$match": scored}, {"$project": dict.fromkeys(fields, 1) | {"_id": 0}}, {"$merge": into}])

    def of_run(self, run: int, model: str) -> list[Mapping[str, Any]]:
        """The documents of what a model said of a run's items."""
        return list(self._collection.find({"run": run, "subsystem": self._subsystem.name, "model": model}))

    def of_item(self, run: int, place: Any, but: str = "") -> list[PastScore]:
        """What every model but one said of an item before others took its place, the newest first."""
        wanted = {**self._subsystem.identity(run, place), "model": {"$ne": but}}
        found = self._collection.find(wanted, {"embedding": 0, "findings": 0}).sort("scored_at", DESCENDING)
        return [PastScore(d["model"], judgement_of(d), d["scored_at"]) for d in found]

    def count_by_model(self, run: int) -> dict[str, int]:
        """model → of how many items of a run its scores are here."""
        of_run = {"run": run, "subsystem": self._subsystem.name}
        group = {"$group": {"_id": "$model", "items": {"$sum": 1}}}
        return {d["_id"]: d["items"] for d in self._collection.aggregate([{"$match": of_run}, group])}

    def remove_run(self, run: int) -> int:
        """Delete all that is kept of a run; how many documents there were."""
        return self._collection.delete_many({"run": run, "subsystem": self._subsystem.name}).deleted_count

    def runs(self) -> list[int]:
        """Numbers of the runs of which anything is kept."""
        return self._collection.distinct("run")

    @property
    def _identity(self) -> list[str]:
        return ["run", "subsystem", *self._subsystem.keys, "model"]


def judgement_of(document: Mapping[str, Any]) -> Judgement:
    """The judgement in a document that has the fields of scoring."""
    known = [score for score in document["scores"] if score is not None]
    return Judgement(
        scores=tuple(document["scores"]),
        verdicts=tuple(Verdict(verdict) for verdict in document["verdicts"]),
        reasons=tuple(document["reasons"]),
        certainty=min((abs(0.5 - score) for score in known), default=None),
        threshold=document.get("threshold"),
    )
