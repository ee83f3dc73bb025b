"""Known problems of places: stored as documents, and noted on the items that they cover."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel

from app.domain.problems import Problem
from app.store.collections import Collections
from app.store.ids import by_id
from app.store.indexes import count_all, count_to


class Problems:
    """The known problems of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["problems"]
        self._subsystem = subsystem = collections.subsystem
        self._items = collections["items"]
        # No index: there are few problems. Parts and cells sort by their lowest value, or by the highest if descending.
        self._parts = f"{subsystem.part}s"  # the field that has them
        fields = (self._parts, "cells", "text", "since", "until", "at")
        self.SORTS = {subsystem.item: subsystem.keys} | {name: (name,) for name in fields}

    def make_indexes(self) -> None:
        fields = ("subsystem", *self._subsystem.keys, "since")
        self._collection.create_indexes([IndexModel(list(fields)), IndexModel("at"), IndexModel("ended_at")])

    def add(self, problem: Problem) -> Problem:
        """Store a new problem under its own id, and note it on the items."""
        document = {
            "subsystem": self._subsystem.name,
            **self._subsystem.at(problem.place),
            self._parts: list(problem.parts),
            "cells": list(problem.cells) if problem.cells else None,
            "text": problem.text,
            "since": problem.since,
            "until": problem.until,
            "by": problem.by,
            "at": problem.at,
            "ended_by": "",
            "ended_at": None,
        }
        problem_id = self._collection.insert_one(document).inserted_id
        self._note(problem.place)
        return self.get(str(problem_id))

    def end(self, problem_id: str, until: int, by: str) -> Problem | None:
        """Record the run with which a problem ended; None if that is already recorded."""
        changes = {"until": until, "ended_by": by, "ended_at": datetime.now(UTC)}
        wanted = {"_id": ObjectId(problem_id), "until": None}
        if not self._collection.update_one(wanted, {"$set": changes}).modified_count:
            return None
        problem = self.get(problem_id)
        self._note(problem.place)
        return problem

    def note_run(self, run: int) -> None:
        """Note the problems on the items of a new run."""
        for problem in self.find(run=run, limit=0):
            self._note(problem.place, run=run)

    def note_place(self, place: Any) -> None:
        """Note the problems of a place on its items."""
        self._note(place)

    def get(self, problem_id: str) -> Problem:
        """One problem.

        Raises:
            NotFound: there is none with this id.
        """
        return self._problem(by_id(self._collection, problem_id, "known problem"))

    def of_place(self, place: Any) -> list[Problem]:
        """All problems that a place ever had."""
        return self.find(self._subsystem.at(place), limit=0)

    def find(
        self,
        place: Mapping[str, int] | None = None,
        run: int | None = None,
        skip: int = 0,
        limit: int = 100,
        sort: str = "at",
        descending: bool = True,
    ) -> list[Problem]:
        """Problems, by default newest first: of places with these keys, covering a run.

        Args:
            limit: the largest number returned; 0 for all.
            sort: one of `SORTS`.
        """
        order = [(name, DESCENDING if descending else ASCENDING) for name in (*self.SORTS[sort], "_id")]
        found = self._collection.find(self._filter(place, run)).sort(order)
        return [self._problem(document) for document in found.skip(skip).limit(limit)]

    def count(self, place: Mapping[str, int] | None = None, run: int | None = None) -> int:
        return self._collection.count_documents(self._filter(place, run))

    def stamp(self) -> str:
        """Changes whenever a problem is noted, imported or ended: none is ever deleted, and none begins again.

        Not by the newest time: an imported problem was noted long ago, and the clock of another machine may be behind.
        """
        ended = count_to(self._collection, {"ended_at": {"$gte": datetime.min}}, 0, "ended_at_1")
        return f"{count_all(self._collection)}-{ended}"

    def _note(self, place: Any, **which: int) -> None:
        """Set `known` of exactly those items of a place that a problem covers."""
        wanted = {"subsystem": self._subsystem.name, **self._subsystem.at(place), **which}
        problems = self.of_place(place)
        while True:
            covering = [
                {"$and": [{"$gte": ["$run", p.since]}, {"$lte": ["$run", p.until]} if p.until is not None else True]}
                for p in problems
            ]
            self._items.update_many(wanted, [{"$set": {"known": {"$or": covering}}}])
            noted, problems = problems, self.of_place(place)
            if noted == problems:  # otherwise another problem was noted meanwhile, and may have been written first
                return

    def _filter(self, place: Mapping[str, int] | None, run: int | None) -> dict[str, Any]:
        wanted: dict[str, Any] = {"subsystem": self._subsystem.name, **(place or {})}
        if run is not None:
            wanted |= {"since": {"$lte": run}, "$or": [{"until": None}, {"until": {"$gte": run}}]}
        return wanted

    def _problem(self, d: Mapping[str, Any]) -> Problem:
        return Problem(
            id=str(d["_id"]),
            place=self._subsystem.place_of(d),
            parts=tuple(d[self._parts]),
            cells=tuple(d["cells"]) if d["cells"] else None,
            text=d["text"],
            since=d["since"],
            until=d["until"],
            by=d["by"],
            at=d["at"],
            ended_by=d["ended_by"],
            ended_at=d["ended_at"],
        )
