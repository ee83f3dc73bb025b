"""Label events, which are append-only. Not for their consequences: see `app.labelling`.

Two unique indexes guarantee, for any number of processes, that an item's event numbers 1, 2, … are each used once (of
two people who submit at the same time, only one writes the next event), and that each client key is stored once (a
repeated submission is not a second label). Two further fields, `projected` and `withdrawn`, record how an event was
processed, and can be rebuilt from the events.
"""

from __future__ import annotations

from collections.abc import Collection as Several
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from app.domain.labels import ANSWERS, EventKind, LabelEvent, SkipReason
from app.store.collections import Collections
from app.store.ids import by_id
from app.store.indexes import between, count_all, count_to, in_index, make_indexes
from app.store.item_lists import MOST_LISTED

_SHOWN = ("scores", "verdicts", "chosen")  # what the person was shown; most of an event


@dataclass(frozen=True)
class LabelQuery:
    """The filters and the order of a list of events.

    Attributes:
        place: key → value, for the keys of the subsystem: {"region": -1}.
        kind: only events of this kind.
        since, until: from this time on, and before this time.
        withdrawn: whether to list withdrawn events or the others; None for both.
        sort: one of `Labels.SORTS`.
    """

    by: str | None = None
    run: int | None = None
    place: Mapping[str, int] = field(default_factory=dict)
    kind: EventKind | None = None
    since: datetime | None = None
    until: datetime | None = None
    withdrawn: bool | None = None
    sort: str = "at"
    descending: bool = True


class Labels:
    """The events of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["labels"]
        self._subsystem = subsystem = collections.subsystem
        keys = subsystem.keys
        self.SORTS: dict[str, tuple[str, ...]] = {
            "at": ("at", "_id"),
            "run": ("run", "at", "_id"),
            "by": ("by", "at", "_id"),
            "kind": ("kind", "at", "_id"),
            "chosen": ("chosen.strategy", "at", "_id"),
            "seconds": ("seconds", "at", "_id"),
            "model": ("model", "at", "_id"),
        } | {key: (key, *(k for k in keys if k != key), "at", "_id") for key in keys}

    def make_indexes(self) -> None:
        indexes = [IndexModel(["run", "subsystem", *self._subsystem.keys, "seq"], unique=True)]
        indexes.append(IndexModel("key", unique=True))
        # A list is a scan of one index in the order shown. Its other filter fields come last in the index, so that
        # rows are counted and skipped without reading documents.
        listed = ("subsystem", "by", "kind", "withdrawn", "at", "run", *self._subsystem.keys)
        for sort, fields in self.SORTS.items():
            rest = [name for name in listed if name not in fields]
            indexes.append(IndexModel([*fields, *rest], name=f"list_{sort}"))
        indexes.append(IndexModel(["kind", "withdrawn", "by", "at"], name="counted"))  # counts per person
        indexes.append(IndexModel("simulated", partialFilterExpression={"simulated": True}))
        indexes.append(IndexModel("projected", partialFilterExpression={"projected": False}))
        gone = ["_".join(f"{name}_1" for name in fields) for fields in self.SORTS.values()]
        gone += ["kind_1_withdrawn_1_by_1_at_1", "blind_1"]
        make_indexes(self._collection, indexes, gone)

    # --- writing ---

    @staticmethod
    def new_id() -> str:
        """Return an id for a new event."""
        return str(ObjectId())

    def add(self, event: LabelEvent) -> LabelEvent | None:
        """Store an event under its own id; None if its number or its key is taken."""
        document = asdict(event)
        for name in ("id", "place", "run", "withdrawn", "classes"):
            del document[name]
        document |= {"_id": ObjectId(event.id), **self._subsystem.identity(event.run, event.place)}
        document |= {"kind": str(event.kind), "reason": str(event.reason), "undoes": event.undoes or None}
        document |= {"bad": list(event.bad), "scores": list(event.scores), "verdicts": list(event.verdicts)}
        if event.classes:
            document["classes"] = {str(part): name for part, name in event.classes.items()}
        try:
            self._collection.insert_one(document | {"projected": False, "withdrawn": False})
        except DuplicateKeyError:
            return None
        return event

    def mark_projected(self, run: int, place: Any, seq: int, withdrawn: Several[str]) -> None:
        """Record that an item's events up to a number are applied to the item, and which of them were withdrawn."""
        mine = self._subsystem.identity(run, place)
        if withdrawn:
            ids = [ObjectId(event_id) for event_id in withdrawn]
            self._collection.update_many({"_id": {"$in": ids}, "withdrawn": False}, {"$set": {"withdrawn": True}})
        wanted = {**mine, "seq": {"$lte": seq}, "projected": False}
        self._collection.update_many(wanted, {"$set": {"projected": True}})

    def upgrade(self) -> None:
        """Project items with blind labels again, to derive the answers that earlier versions did not store."""
        self._collection.update_many({"blind": True}, {"$set": {"projected": False}})

    def upgrade_simulated(self, runs: Several[int]) -> None:
        """Backfill `simulated` for the events of some runs, labelled by earlier versions."""
        old = {"run": {"$in": list(runs)}, "simulated": {"$exists": False}}
        self._collection.update_many(old, {"$set": {"simulated": True}})

    def set_aside_simulated(self, run: int) -> bool:
        """Move the events on a run's simulated items out of the way of the real ones that replace them.

        They go to a separate collection, which nothing reads.

        Returns:
            Whether there were any.
        """
        wanted = {"run": run, "subsystem": self._subsystem.name, "simulated": True}
        if self._collection.find_one(wanted, {"_id": 1}) is None:
            return False
        into = {"into": "labels_of_simulated_runs", "whenMatched": "keepExisting"}
        self._collection.aggregate([{"$match": wanted}, {"$merge": into}])
        self._collection.delete_many(wanted)
        return True

    def has_real(self, run: int) -> bool:
        """Whether a run has events on real items."""
        wanted = {"run": run, "subsystem": self._subsystem.name, "simulated": {"$ne": True}}
        return self._collection.find_one(wanted, {"_id": 1}) is not None

    # --- reading ---

    def get(self, event_id: str) -> LabelEvent:
        """Return one event.

        Raises:
            NotFound: there is no event with this id.
        """
        return self._event(by_id(self._collection, event_id, "label"))

    def with_key(self, key: str) -> LabelEvent | None:
        """The event already stored under this client key, if any."""
        document = self._collection.find_one({"key": key})
        return self._event(document) if document else None

    def of_item(self, run: int, place: Any) -> list[LabelEvent]:
        """All events of an item, ordered by `seq`."""
        found = self._collection.find(self._subsystem.identity(run, place)).sort("seq", ASCENDING)
        return [self._event(document) for document in found]

    def runs(self, first: int | None = None, last: int | None = None) -> list[int]:
        """The runs with events, ascending: all, or those from `first` to `last`."""
        bounds = {"$gte": 0 if first is None else first} | ({} if last is None else {"$lte": last})
        return sorted(self._collection.distinct("run", {"run": bounds}))

    def simulated_runs(self) -> list[int]:
        """The runs with events on simulated items."""
        return sorted(self._collection.distinct("run", {"simulated": True}))

    def of_run(self, run: int) -> dict[Any, list[LabelEvent]]:
        """place → all events of the item, ordered by `seq`, for the items of a run that have any."""
        items: dict[Any, list[LabelEvent]] = {}
        for document in self._collection.find({"run": run, "subsystem": self._subsystem.name}).sort("seq", ASCENDING):
            event = self._event(document)
            items.setdefault(event.place, []).append(event)
        return items

    def first_runs(self) -> dict[Any, int]:
        """place → the run in which it was first labelled, even if that label was withdrawn since."""
        wanted = {"kind": {"$in": list(map(str, ANSWERS))}, "subsystem": self._subsystem.name}
        group = {
            "_id": {key: f"${key}" for key in self._subsystem.keys},
            "first": {"$min": {"at": "$at", "_id": "$_id", "run": "$run"}},
        }
        found = self._collection.aggregate([{"$match": wanted}, {"$group": group}], hint="list_kind")
        return {self._subsystem.place_of(d["_id"]): d["first"]["run"] for d in found}

    def places(self, run: int) -> dict[Any, int]:
        """place → number of its newest event, for the items of a run that have any."""
        fields = dict.fromkeys((*self._subsystem.keys, "seq"), 1)
        found = self._collection.find({"run": run, "subsystem": self._subsystem.name}, fields).sort("seq", ASCENDING)
        return {self._subsystem.place_of(document): document["seq"] for document in found}

    def unprojected(self) -> set[tuple[int, Any]]:
        """(run, place) of items with events that may not be applied to the item yet."""
        return {(d["run"], self._subsystem.place_of(d)) for d in self._collection.find({"projected": False})}

    def find(self, query: LabelQuery, skip: int = 0, limit: int = 20) -> list[LabelEvent]:
        """One page of a list."""
        direction = DESCENDING if query.descending else ASCENDING
        order = [(name, direction) for name in self.SORTS[query.sort]]
        found = self._collection.find(self._filter(query)).sort(order).skip(skip).limit(limit)
        return [self._event(d) for d in found.hint(self._index(query))]

    def count(self, query: LabelQuery, most: int = MOST_LISTED) -> int:
        """The number of events in a list; counting stops at `most` + 1."""
        # Use the index in which the matches are contiguous, whatever the order shown.
        together = "at" if query.by is not None or not query.place else next(iter(query.place))
        query = replace(query, sort=together)
        return count_to(self._collection, self._filter(query), most + 1, self._index(query))

    def last(self, by: str, kinds: Sequence[EventKind], limit: int) -> list[LabelEvent]:
        """A person's latest events of some kinds that are not withdrawn, newest first."""
        wanted = {"by": by, "kind": {"$in": [str(kind) for kind in kinds]}, "withdrawn": False}
        found = self._collection.find(wanted).sort([("at", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        return [self._event(document) for document in found]

    def counts_by_person(self, since: datetime) -> dict[str, tuple[int, int]]:
        """name → number of labels that are not withdrawn, and how many of them were given since a time."""
        wanted = {"kind": str(EventKind.LABEL), "withdrawn": False}

        def count(name: str, **bounds: Any) -> int:
            # Counting in an index takes a fifth of the time of grouping its entries.
            return count_to(self._collection, {**wanted, "by": name, **bounds}, 0, "counted")

        people = self._collection.aggregate([{"$match": wanted}, {"$group": {"_id": "$by"}}], hint="counted")
        return {one["_id"]: (count(one["_id"]), count(one["_id"], at={"$gte": since})) for one in people}

    def of_items(self, items: Iterable[tuple[int, Any]]) -> dict[tuple[int, Any], list[LabelEvent]]:
        """(run, place) → all events of each given item, ordered by `seq`, without what people were shown."""
        events: dict[tuple[int, Any], list[LabelEvent]] = {where: [] for where in items}
        if not events:  # MongoDB rejects an empty $or
            return {}
        these = {"$or": [self._subsystem.identity(*where) for where in events]}
        for document in self._collection.find(these, dict.fromkeys(_SHOWN, 0)):
            event = self._event(document)
            events[event.run, event.place].append(event)
        return {where: sorted(said, key=lambda event: event.seq) for where, said in events.items()}

    def count_all(self) -> int:
        """The number of events."""
        return count_all(self._collection)

    def stamp(self) -> str:
        """A stamp for caches over all labels: changes with every event, and again once the event is on its item.

        Items change after their events are stored, so results computed in between must get a different stamp from
        later ones. Therefore unprojected events are counted last.
        """
        newest = self._collection.find_one({}, {"_id": 1}, sort=[("at", DESCENDING), ("_id", DESCENDING)])
        said = f"{self.count_all()}-{newest and newest['_id']}"
        return f"{said}-{count_to(self._collection, {'projected': False}, 0, 'projected_1')}"

    # --- documents ---

    def _filter(self, query: LabelQuery) -> dict[str, Any]:
        wanted: dict[str, Any] = {"subsystem": self._subsystem.name, **query.place}
        for name in ("by", "run", "withdrawn"):
            if (value := getattr(query, name)) is not None:
                wanted[name] = value
        if query.kind is not None:
            wanted["kind"] = str(query.kind)
        if at := between(query.since, "$lt", query.until):
            wanted["at"] = at
        return in_index(wanted, self.SORTS[query.sort][0])

    def _index(self, query: LabelQuery) -> str:
        """The index for a list: the one in the order shown, or that of runs if only one run is listed."""
        if query.run is not None:
            return "list_run"
        return "list_by" if query.by is not None and query.sort == "at" else f"list_{query.sort}"

    def _event(self, d: Mapping[str, Any]) -> LabelEvent:
        fields = {key: value for key, value in d.items() if key in LabelEvent.__dataclass_fields__}
        fields |= {name: tuple(d.get(name, ())) for name in ("bad", "scores", "verdicts")}
        fields["classes"] = {int(part): name for part, name in d.get("classes", {}).items()}
        fields |= {"kind": EventKind(d["kind"]), "reason": SkipReason(d["reason"])}
        return LabelEvent(id=str(d["_id"]), place=self._subsystem.place_of(d), **fields)
