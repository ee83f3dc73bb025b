"""The independent answers of people, one document per item, derived from its events, for counting.

Not for their interpretation: see `app.domain.agreement`.
"""

from __future__ import annotations

import json
from collections.abc import Collection as Collected
from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from app.domain.agreement import Way
from app.domain.vocabulary import BAD
from app.store.collections import Collections
from app.store.indexes import make_indexes
from app.store.runs import Runs


class Answers:
    """The answers on one subsystem's items that at least two people answered."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["answers"]
        self._subsystem = collections.subsystem
        self._runs = Runs(collections)

    def make_indexes(self) -> None:
        identity = IndexModel(["run", "subsystem", *self._subsystem.keys], unique=True)
        # Counting and listing by way read the index only.
        ways = IndexModel(["subsystem", "way", "run", *self._subsystem.keys], name="ways")
        make_indexes(self._collection, [identity, ways])

    def keep(self, run: int, place: Any, seq: int, way: Way) -> None:
        """Store an item's answers, unless those from newer events are there.

        Args:
            seq: of the newest event they are derived from.
            way: with fewer than two people the item no longer counts.
        """
        older = {**self._subsystem.identity(run, place), "seq": {"$not": {"$gt": seq}}}
        kept = {"seq": seq, "way": _written(way) if len(way[1]) > 1 else ""}
        try:
            self._collection.update_one(older, {"$set": kept}, upsert=True)
        except DuplicateKeyError:
            return  # answers from newer events are there

    def remove_run(self, run: int) -> None:
        """Delete the answers on the items of a run."""
        self._collection.delete_many({"run": run, "subsystem": self._subsystem.name})

    def ways(self) -> Mapping[Way, int]:
        """way in which at least two people answered → number of items; counted in an index."""
        wanted: dict[str, Any] = {"subsystem": self._subsystem.name, "way": {"$gt": ""}}
        if together := self._runs.together():
            wanted["run"] = together
        stages = [{"$match": wanted}, {"$group": {"_id": "$way", "items": {"$sum": 1}}}]
        return {_read(d["_id"]): d["items"] for d in self._collection.aggregate(stages, hint="ways")}

    def find(
        self, ways: Collected[Way], sort: str, descending: bool, skip: int, limit: int
    ) -> list[tuple[int, Any, Way]]:
        """(run, place, way) of items answered in one of the given ways.

        Args:
            sort: "run" or one of the keys of a place; ties are ordered by run and place.
        """
        wanted: dict[str, Any] = {"subsystem": self._subsystem.name, "way": {"$in": [_written(way) for way in ways]}}
        if together := self._runs.together():
            wanted["run"] = together
        place = ("run", *self._subsystem.keys)
        # All in one direction, in the order of the index, way by way.
        order = dict.fromkeys((sort, *place), DESCENDING if descending else ASCENDING)
        fields = {"_id": 0, **dict.fromkeys(("way", *place), 1)}
        found = self._collection.find(wanted, fields).sort(list(order.items())).hint("ways").skip(skip).limit(limit)
        return [(d["run"], self._subsystem.place_of(d), _read(d["way"])) for d in found]


def _written(way: Way) -> str:
    """A canonical text of the way: MongoDB groups texts in a quarter of the time of documents."""
    parts, said = way
    return json.dumps([parts, sorted((name, [_one(*one) for one in sorted(answer)]) for name, answer in said)])


def _one(part: int, name: str) -> int | tuple[int, str]:
    return part if name == BAD.name else (part, name)


def _read(text: str) -> Way:
    parts, said = json.loads(text)
    answers = (
        (name, frozenset((one, BAD.name) if isinstance(one, int) else tuple(one) for one in a)) for name, a in said
    )
    return tuple(parts), frozenset(answers)
