"""Lists of items over one run or many: filtered, sorted, counted and read by page, each from one index.

Not for single items or what a job reads of a run: see `items`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from app.domain.items import SCORED, Item, ItemQuery, ItemState
from app.domain.labels import LabelState
from app.store.collections import Collections
from app.store.indexes import between, count_to, make_indexes
from app.store.item_documents import LARGE, identity_index, item_of
from app.store.runs import Runs

MOST_LISTED = 100_000  # rows of a list in a file: skipping rows takes time
MOST_ANSWERED = 50_000  # rows through the API, by page: each response counts them
MOST_PAGED = 10_000  # rows on pages
HIGH = 0.5  # worst score from which the few items are also indexed by keys of their place first, then by score
MOST_SORTED = 20_000  # most rows that the database sorts, instead of searching in the order shown


class ItemLists:
    """Lists of the items of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["items"]
        self._subsystem = subsystem = collections.subsystem
        self._runs = Runs(collections)
        keys = subsystem.keys
        self.SORTS: dict[str, tuple[str, ...]] = {
            "certainty": ("rank", "run", *keys),
            "score": ("worst", "run", *keys),
            "state": ("rank", "run", *keys),  # the rank follows from the state
            "run": ("run", *keys),
        } | {key: (key, *(k for k in keys if k != key), "rank", "run") for key in keys}

        # The indexes of lists, each with its sort fields; `high_` holds only the few items with high scores.
        self._listed = {f"list_{sort}": self.SORTS[sort] for sort in ("certainty", "score", "run", *keys)}
        self._high = {f"high_{key}": (key, *(f for f in self.SORTS["score"] if f != key)) for key in keys}

        part = subsystem.part
        of_labels = {
            "contamination": "contamination",
            part: "contaminated",
            f"{part}_score": "contaminated_score",
            f"{part}_label": "contaminated_bad",
            f"bad_{part}s": "called_bad",
            "by": "evaluation.by",
            "at": "evaluation.at",
        }
        self.SORTS_OF_LABELLED = {sort: (name, "run", *keys) for sort, name in of_labels.items()}
        self._labelled = {sort: self.SORTS[sort] for sort in ("run", *keys)} | self.SORTS_OF_LABELLED  # as above

        # Not indexed: a run has few enough items to sort them.
        self.SORTS_OF_A_RUN = {
            f"{part}_{n}": (f"scores.{n - 1}", *keys) for n in range(1, subsystem.most_parts + 1)
        } | {
            "evaluation": ("evaluation.state", *keys),
            "skipped_by": ("skipped_by", *keys),
            "comment": ("evaluation.comment", *keys),
        }

    def make_indexes(self) -> None:
        indexes: list[IndexModel] = []
        gone: list[str] = []
        # A list is a scan of one index in the order shown. Its other filter fields come last in the index, so that
        # rows are counted and skipped without reading documents.
        for name, fields in (self._listed | self._high).items():
            before = ("model", "state", *fields, *(("worst",) if "rank" in fields else ()))
            gone.append("_".join(f"{name}_1" for name in before))
            rest = [name for name in ("rank", "worst") if name not in fields]
            only = {"partialFilterExpression": {"worst": {"$gte": HIGH}}} if name in self._high else {}
            listed = ["subsystem", "labelled", "model", "state", *fields, *rest]
            indexes.append(IndexModel(listed, name=name, **only))
        for sort, fields in self._labelled.items():
            of_queue = ("recheck", "known") if sort in ("contamination", "run") else ()
            listed = ["subsystem", "labelled", "model", *fields, *of_queue, "waiting", "state", "worst"]
            indexes.append(IndexModel(listed, name=f"labelled_by_{sort}", partialFilterExpression={"labelled": True}))
        # All that a calibration needs, newest runs first: read from the index only.
        listed = ["subsystem", "labelled", "model", *self.SORTS["run"], "scored_and_said"]
        indexes.append(IndexModel(listed, name="calibration", partialFilterExpression={"labelled": True}))
        disputed = {"evaluation.state": str(LabelState.DISPUTED)}
        listed = ["evaluation.state", "subsystem", *self.SORTS["run"], "state"]
        indexes.append(IndexModel(listed, name="disputed", partialFilterExpression=disputed))
        make_indexes(self._collection, indexes, gone)

    def find(self, query: ItemQuery, skip: int = 0, limit: int = 20) -> list[Item]:
        """One page of a list, without histograms."""
        if query.sort == "score" and query.descending and query.least is None and query.most is None:
            high = replace(query, least=HIGH)
            if self._is_high(high) and len(found := self._find(high, skip, limit)) == limit:
                return found  # otherwise this would skip the items of other places that are bad in every run
        return self._find(query, skip, limit)

    def _find(self, query: ItemQuery, skip: int, limit: int) -> list[Item]:
        direction = DESCENDING if query.descending else ASCENDING
        sorts = self.SORTS | self.SORTS_OF_LABELLED | self.SORTS_OF_A_RUN
        index = self._index(query, skip + limit)
        # Omit leading fields with a fixed value, so that the database recognises the order of the index.
        same = set(takewhile(query.place.__contains__, (self._listed | self._high).get(str(index), ())))
        order = [(name, direction) for name in sorts[query.sort] if name not in same]
        found = self._collection.find(self._filter(query), LARGE).sort(order).hint(index).skip(skip).limit(limit)
        return [item_of(self._subsystem, d) for d in found]

    def count(self, query: ItemQuery, most: int = MOST_LISTED) -> int:
        """The number of items in a list; counting stops at `most` + 1."""
        index = None if query.run is None else "list_run"
        bounded = any(bound is not None for bound in (query.run, query.least, query.most, query.uncertain))
        if query.labelled and not bounded:
            index = "labelled_by_run"
        elif query.place and not bounded:
            index = f"list_{next(iter(query.place))}"
        return count_to(self._collection, self._filter(query), most + 1, index)

    def progress(self, model: str, runs: Iterable[int]) -> dict[int, tuple[int, int]]:
        """run → number of items judged by this model, and how many of them are labelled; only runs that have any."""
        wanted = self._filter(ItemQuery(model)) | {"run": {"$in": list(runs)}}
        group = {"_id": "$run", "judged": {"$sum": 1}, "labelled": {"$sum": {"$cond": ["$labelled", 1, 0]}}}
        found = self._collection.aggregate([{"$match": wanted}, {"$group": group}], hint="list_run")
        return {d["_id"]: (d["judged"], d["labelled"]) for d in found}

    def labelled_scores(
        self, model: str, place: Mapping[str, int], limit: int
    ) -> list[tuple[Sequence[float | None], Sequence[int]]]:
        """(scores, bad parts) of labelled, undisputed items of the newest runs.

        Args:
            place: values of "run" and of the subsystem's keys to filter by.
        """
        wanted = {"subsystem": self._subsystem.name, "labelled": True, "model": model, **place}
        wanted |= {"scored_and_said": {"$gte": {}}}
        if "run" not in place and (together := self._runs.together()):
            wanted["run"] = together
        found = self._collection.find(wanted, {"_id": 0, "scored_and_said": 1}).sort("run", DESCENDING)
        both = (d["scored_and_said"] for d in found.hint("calibration").limit(limit))
        return [(d["scores"], d["bad"]) for d in both]

    def labelled_verdicts(self, first: int | None, last: int | None) -> dict[tuple[int, Any], tuple[str, ...]]:
        """(run, place) → the verdicts of its parts (empty if not scored), for labelled items with a histogram.

        Args:
            first, last: the range of runs, inclusive; None for no limit.
        """
        bounds = {"$gte": 0 if first is None else first} | ({} if last is None else {"$lte": last})
        wanted = {"subsystem": self._subsystem.name, "labelled": True, "run": bounds}
        fields = dict.fromkeys(("run", "verdicts", "state", *self._subsystem.keys), 1)
        found = self._collection.find(wanted, fields, hint="labelled_by_run")
        return {
            (d["run"], self._subsystem.place_of(d)): tuple(d.get("verdicts", ()))
            for d in found
            if d["state"] != ItemState.MISSING
        }

    def count_disputed(self) -> int:
        """The number of disputed items, whichever model scored them."""
        wanted: dict[str, Any] = {"evaluation.state": str(LabelState.DISPUTED), "subsystem": self._subsystem.name}
        if together := self._runs.together():
            wanted["run"] = together
        return self._collection.count_documents(wanted, hint="disputed")

    def _filter(self, query: ItemQuery) -> dict[str, Any]:
        wanted: dict[str, Any] = {"state": {"$in": sorted(query.states)}, **query.place}
        wanted["subsystem"] = self._subsystem.name
        if query.model is not None:
            wanted["model"] = {"$in": [query.model] if query.states <= SCORED else [query.model, None]}
        if query.run is not None:
            wanted["run"] = query.run
        elif together := self._runs.together():
            wanted["run"] = together
        if not query.disputed:
            wanted["labelled"] = {"$in": [False, True]} if query.labelled is None else query.labelled
        if query.by is not None:
            wanted["labelled_by"] = query.by
        if query.waiting is not None:
            wanted["waiting"] = query.waiting
        if query.disputed:
            wanted["evaluation.state"] = str(LabelState.DISPUTED)
        if worst := between(query.least, "$lte", query.most):
            wanted["worst"] = worst
        if some := between(query.part_least, "$lte" if query.part_most == 1 else "$lt", query.part_most):
            wanted["scores"] = {"$elemMatch": some}
        if query.uncertain is not None:
            wanted["rank"] = {"$lt": query.uncertain}
        return wanted

    def _index(self, query: ItemQuery, rows: int) -> str | list[tuple[str, int]]:
        """The index for the first `rows` rows of a list. Trying all of them would take the database seconds."""
        if query.run is not None:
            return identity_index(self._subsystem)
        if query.disputed:
            return "disputed"
        if query.labelled:
            return f"labelled_by_{query.sort if query.sort in self._labelled else 'run'}"
        if self._is_high(query):
            return f"high_{next(iter(query.place))}"
        ordered = "list_certainty" if query.sort == "state" else f"list_{query.sort}"
        if (query.least is not None or query.most is not None) and query.sort != "score":
            bounds = self._filter(replace(query, place={}, uncertain=None))
            if count_to(self._collection, bounds, MOST_SORTED + 1, "list_score") <= MOST_SORTED:
                return "list_score"
        if query.place and query.sort not in query.place:
            # The index in the order shown also reads other places; that of places reads only matches, but sorts them.
            places = [self._subsystem.at(place) for place in self._subsystem.places()]
            share = sum(query.place.items() <= place.items() for place in places) / len(places)
            there = self._runs.count() * len(places) * share
            if len(query.place) == len(self._subsystem.keys) or there <= MOST_SORTED or there * share < rows:
                return f"list_{next(iter(query.place))}"
        return ordered

    @staticmethod
    def _is_high(query: ItemQuery) -> bool:
        """Whether the matches are contiguous, in the order shown, in an index of high scores."""
        other_index = query.run is not None or query.disputed or query.labelled
        return bool(query.sort == "score" and query.place and (query.least or 0) >= HIGH and not other_index)
