"""Who holds which item: leases, each taken by one atomic update, and the conditions for an item to be available.

An item waits (`waiting`) while it needs a label. It is free once its lease, `held_until`, has expired: time alone
decides, so nothing needs to be cleaned up. The indexes hold only waiting items, in the orders in which they are handed
out, so that the next one is found at once however many there are. Not for why an item is chosen: see
`app.labelling.queue`.

A lease belongs to a person, and within that to the browser tabs that show the item: `held_tabs`, which is empty if it
was not claimed by a tab. Closing a tab ends a lease only if no other tab holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from app.domain.items import Item
from app.domain.labels import EventKind, LabelEvent, Projection
from app.store import contamination
from app.store.collections import Collections
from app.store.indexes import count_to, make_indexes
from app.store.item_documents import FREE, LARGE, item_of
from app.store.runs import Runs

LEASE = timedelta(minutes=10)  # renewed by a page in use; an abandoned page releases its item after this time
MOST_COUNTED = 10_000

_JUDGED = {"$lte": 0.5}  # ranks of items with a certainty

Where = tuple[int, Any]  # (run, place)


class Order(Enum):
    """An order in which items are handed out: the field, its direction, and its index."""

    RANK = ("rank", ASCENDING)
    WORST = ("worst", DESCENDING)
    DRAW = ("draw", ASCENDING)
    CONTAMINATION = ("contamination", DESCENDING)
    UNLIKE = ("unlike", DESCENDING)


@dataclass(frozen=True)
class QueueFilter:
    """Which items are requested.

    Attributes:
        model: scored by this model.
        first_key: of places whose first key has this value.
        labelled: items whose label the network contradicts and nobody has rechecked, instead of waiting items.
    """

    model: str
    run: int | None = None
    first_key: int | None = None
    leave_out_known: bool = False
    labelled: bool = False


@dataclass(frozen=True)
class Holder:
    """Who holds items: a person, in a browser tab; "" for a program, or a page without scripts."""

    person: str
    tab: str = ""

    @property
    def alone(self) -> dict[str, Any]:
        """Filter: held by the person, and by no other tab."""
        return {"held_by": self.person, "held_tabs": {"$not": {"$elemMatch": {"$ne": self.tab}}}}

    @property
    def not_in_this_tab(self) -> dict[str, Any]:
        """Filter: held by another person, or by another tab."""
        others = {"held_tabs": {"$elemMatch": {"$ne": self.tab}}}
        return {"$or": [{"held_by": {"$ne": self.person}}, others]}

    def released(self, *ended: str) -> list[dict[str, Any]]:
        """An update that clears these fields of a lease if no other tab holds it."""
        left = {"$setDifference": [{"$ifNull": ["$held_tabs", []]}, [self.tab]]}
        end = {field: FREE if field == "held_until" else "$$REMOVE" for field in ended}
        is_over = {"$eq": ["$held_tabs", []]}
        fields = {field: {"$cond": [is_over, value, f"${field}"]} for field, value in end.items()}
        return [{"$set": {"held_tabs": left}}, {"$set": fields}]

    def lease(self, until: datetime) -> dict[str, Any]:
        return {"held_by": self.person, "held_tabs": [self.tab] if self.tab else [], "held_until": until}


class Leases:
    """Leases on the items of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["items"]
        self._subsystem = collections.subsystem
        self._runs = Runs(collections)

    def make_indexes(self) -> None:
        keys = self._subsystem.keys
        orders = {
            "queue_rank": ("rank", "run", *keys),
            "queue_run": ("run", "rank", keys[0]),
            f"queue_{keys[0]}": (keys[0], "rank"),
            "queue_worst": ("worst", keys[0]),
            "queue_draw": ("draw", keys[0], "rank"),
            "queue_unlike": ("unlike", keys[0]),
        }
        # The index holds every field counted by; otherwise even fields common to all its items would be looked up.
        # Except the holder: few items are held, and every lease would have to be written into every index.
        orders = {name: ("subsystem", "waiting", "model", *fields, "known") for name, fields in orders.items()}
        waiting, held = {"waiting": True}, {"held_by": {"$exists": True}}
        indexes = [
            IndexModel(list(fields), name=name, partialFilterExpression=waiting) for name, fields in orders.items()
        ]
        indexes.append(IndexModel(["held_by", "held_until"], partialFilterExpression=held))
        make_indexes(self._collection, indexes)

    # --- leases ---

    def take(
        self,
        holder: Holder,
        wanted: QueueFilter,
        order: Order,
        chosen: Mapping[str, Any],
        also: Mapping[str, Any] | None = None,
    ) -> Item | None:
        """Take the first available item; None if there is none.

        Args:
            chosen: stored with the lease.
            also: a further condition: {"_id": …}, {"draw": {"$gte": 0.3}}.
        """
        now = datetime.now(UTC)
        field, direction = order.value
        document = self._collection.find_one_and_update(
            {**self._free(holder.person, wanted, now, order), **(also or {})},
            {"$set": {**holder.lease(now + LEASE), "held_at": now, "chosen": dict(chosen)}},
            sort=[(field, direction)],
            hint=self._index(wanted, order),
            projection={"embedding": 0},
            return_document=ReturnDocument.AFTER,
        )
        return item_of(self._subsystem, document) if document else None

    def take_this(self, holder: Holder, wanted: QueueFilter, where: Where, chosen: Mapping[str, Any]) -> Item | None:
        """Take a particular item; None if it is no longer available."""
        now = datetime.now(UTC)
        document = self._collection.find_one_and_update(
            {**self._free(holder.person, wanted, now), **self._subsystem.identity(*where)},
            {"$set": {**holder.lease(now + LEASE), "held_at": now, "chosen": dict(chosen)}},
            projection={"embedding": 0},
            return_document=ReturnDocument.AFTER,
        )
        return item_of(self._subsystem, document) if document else None

    def held(self, holder: Holder, in_any_tab: bool = False) -> list[Item]:
        """The items that a person holds in this tab only, or in any tab, with histograms, longest held first."""
        mine = {"held_by": holder.person} if in_any_tab else holder.alone
        wanted = {**mine, "held_until": {"$gt": datetime.now(UTC)}}
        found = self._collection.find(wanted, {"embedding": 0}).sort("held_at", ASCENDING)
        return [item_of(self._subsystem, document) for document in found]

    def renew(self, holder: Holder, items: Iterable[Where]) -> list[Where]:
        """Extend leases, also for this tab, even expired ones that nobody else took; returns the items that the person
        now holds."""
        mine = self._mine(holder.person, items)
        if mine is None:
            return []
        now, tab = datetime.now(UTC), [holder.tab] if holder.tab else []
        others = {"$cond": [{"$gt": ["$held_until", now]}, {"$ifNull": ["$held_tabs", []]}, []]}
        tabs = {"$setUnion": [others, {"$literal": tab}]}
        self._collection.update_many(mine, [{"$set": {"held_until": now + LEASE, "held_tabs": tabs}}])
        found = self._collection.find(mine, dict.fromkeys(("state", "run", *self._subsystem.keys), 1))
        return [(d["run"], self._subsystem.place_of(d)) for d in found]

    def release(self, holder: Holder, items: Iterable[Where]) -> None:
        """End a person's leases on these items, or on all items of a tab if none is named, unless another tab holds
        them too; a page that was merely reloaded takes them up again by `renew`."""
        mine = self._mine(holder.person, items)
        if mine is None and holder.tab:
            mine = {"held_by": holder.person, "held_tabs": holder.tab}
        if mine is not None:
            self._collection.update_many(mine, holder.released("held_until"))

    def release_others(self, holder: Holder, kept: Iterable[Where]) -> None:
        """The same for all of a person's leases except those on these items."""
        keep = [self._subsystem.identity(*where) for where in kept]
        but = {"$nor": keep} if keep else {}
        ended = ("held_until", "held_by", "held_at", "chosen")
        self._collection.update_many({"held_by": holder.person, **but}, holder.released(*ended))

    def note_rank(self, person: str, where: Where, rank: Mapping[str, Any]) -> None:
        """Add to the record of how an item was chosen, while the person holds it."""
        changes = {f"chosen.{name}": value for name, value in rank.items()}
        self._collection.update_one({**self._subsystem.identity(*where), "held_by": person}, {"$set": changes})

    # --- what there is ---

    def free(self, person: str, wanted: QueueFilter, limit: int) -> list[tuple[Where, bytes | None]]:
        """The least certain items available to a person, with their embeddings."""
        fields = dict.fromkeys(("run", "embedding", *self._subsystem.keys), 1)
        found = self._collection.find(self._free(person, wanted, datetime.now(UTC)), fields)
        found = found.sort(*Order.RANK.value).hint(self._index(wanted, Order.RANK)).limit(limit)
        return [(self._where(document), document.get("embedding")) for document in found]

    def embeddings(self, items: Iterable[Where], model: str) -> list[bytes]:
        """This model's embeddings of some items, as far as they have one."""
        wanted = [self._subsystem.identity(*where) for where in items]
        if not wanted:
            return []
        found = self._collection.find({"$or": wanted, "model": model, "embedding": {"$exists": True}}, {"embedding": 1})
        return [document["embedding"] for document in found]

    def is_any_free(self, person: str, wanted: QueueFilter) -> bool:
        """Whether any item is available to a person."""
        return self._collection.find_one(self._free(person, wanted, datetime.now(UTC)), {"_id": 1}) is not None

    def count(self, wanted: QueueFilter, order: Order, **bounds: Any) -> int:
        """The number of requested items, whoever holds them, up to `MOST_COUNTED`.

        Args:
            order: the one whose field the bounds apply to.
            bounds: further conditions: rank={"$lt": 0.4}.
        """
        return self._count({**self._asked_for(wanted, order), **bounds}, self._index(wanted, order))

    def count_by_run(self, wanted: QueueFilter, runs: Iterable[int], below: float) -> dict[int, int]:
        """run → number of requested items with a certainty below this; only runs that have any."""
        filters = self._asked_for(wanted) | {"rank": {"$lt": below}, "run": {"$in": list(runs)}}
        stages = [{"$match": filters}, {"$group": {"_id": "$run", "items": {"$sum": 1}}}]
        return {d["_id"]: d["items"] for d in self._collection.aggregate(stages, hint="queue_run")}

    def count_held(self, holder: Holder, wanted: QueueFilter) -> int:
        """The number of requested items that this person could take if others, or other tabs, did not hold them."""
        held = {"held_until": {"$gte": datetime.now(UTC)}, **holder.not_in_this_tab}
        filters = {**self._free(holder.person, wanted, datetime.now(UTC)), **held}
        return self._collection.count_documents(filters, limit=MOST_COUNTED)

    def count_passed(self, person: str, wanted: QueueFilter) -> int:
        """The number of requested items that this person skipped, or has labelled and may not label again."""
        passed = {"$or": [{"skipped_by": person}, {"labelled_by": person}]}
        return self._collection.count_documents({**self._asked_for(wanted), **passed}, limit=MOST_COUNTED)

    def count_of_other_models(self, model: str) -> int:
        """The number of waiting items that this model has not scored, up to `MOST_COUNTED`."""
        wanted = {"waiting": True, "rank": _JUDGED, "model": {"$ne": model}, "subsystem": self._subsystem.name}
        if together := self._runs.together():
            wanted["run"] = together
        return self._count(wanted, "queue_rank")

    def count_all_held(self) -> int:
        """The number of items held now, by anybody."""
        held = {"held_by": {"$exists": True}, "held_until": {"$gt": datetime.now(UTC)}}
        return self._collection.count_documents(held)

    # --- what follows from labels ---

    def keep_labels(
        self, run: int, place: Any, projection: Projection, newest: LabelEvent, taken_up: Mapping[str, Any] | None
    ) -> Item | None:
        """Store what follows from an item's events, unless the result of newer ones is there.

        An answer ends its author's lease; a label that leaves nothing to do ends anybody's.

        Args:
            newest: the last of the events.
            taken_up: for an event that withdrew another one: how the item had been chosen. Whoever withdrew it holds
                the item again, unless somebody else holds it.

        Returns:
            The item as it is then, without its histogram; None where nothing was stored.
        """
        evaluation, name = projection.evaluation, {"$literal": newest.by}
        stage = {
            "label_seq": projection.seq,
            "evaluation": "$$REMOVE" if evaluation is None else {"$literal": dict(evaluation)},
            "labelled": {"$literal": projection.labelled},
            "waiting": {"$literal": projection.waiting},
            "recheck": {"$literal": projection.recheck},
            "skipped_by": {"$literal": list(projection.skipped_by)},
            "labelled_by": {"$literal": list(projection.labelled_by)},
        }
        is_mine = {"$eq": ["$held_by", name]}
        if newest.kind is EventKind.UNDO and projection.waiting:
            changes: dict[str, Any] = {"$or": [is_mine, {"$lt": ["$held_until", newest.at]}]}
            lease = {
                "held_by": name,
                "held_tabs": [],
                "held_until": newest.at + LEASE,
                "held_at": newest.at,
                "chosen": {"$literal": dict(taken_up or {})},
            }
        else:
            ends = not projection.waiting and newest.kind is not EventKind.SKIP
            changes = {"$literal": True} if ends else is_mine
            gone = ("held_by", "held_tabs", "held_at", "chosen")
            lease = {**dict.fromkeys(gone, "$$REMOVE"), "held_until": FREE}
        kept = self._collection.find_one_and_update(
            {**self._subsystem.identity(run, place), "label_seq": {"$not": {"$gte": projection.seq}}},
            [
                {"$set": stage},
                {"$set": {field: {"$cond": [changes, value, f"${field}"]} for field, value in lease.items()}},
                *contamination.STAGES,
            ],
            LARGE,
            return_document=ReturnDocument.AFTER,
        )
        return item_of(self._subsystem, kept) if kept else None

    # --- filters ---

    def _count(self, filters: Mapping[str, Any], index: str) -> int:
        return count_to(self._collection, filters, MOST_COUNTED, index)

    def _asked_for(self, wanted: QueueFilter, order: Order = Order.RANK) -> dict[str, Any]:
        filters: dict[str, Any] = {"model": wanted.model, "subsystem": self._subsystem.name}
        if wanted.labelled:
            # If a second opinion is wanted, the first must not be shown.
            filters |= {"labelled": True, "waiting": False, "recheck": True, "contamination": {"$gte": 0}}
        else:
            known = order in (Order.WORST, Order.UNLIKE)  # by fields that not every item has
            filters |= {"waiting": True} | ({order.value[0]: {"$gte": 0}} if known else {"rank": _JUDGED})
        if wanted.run is not None:
            filters["run"] = wanted.run
        elif together := self._runs.together():
            filters["run"] = together
        if wanted.first_key is not None:
            filters[self._subsystem.keys[0]] = wanted.first_key
        if wanted.leave_out_known:
            filters["known"] = {"$ne": True}
        return filters

    def _free(self, person: str, wanted: QueueFilter, now: datetime, order: Order = Order.RANK) -> dict[str, Any]:
        filters = {**self._asked_for(wanted, order), "held_until": {"$lt": now}, "skipped_by": {"$ne": person}}
        if not wanted.labelled:
            filters["labelled_by"] = {"$ne": person}
        return filters

    def _index(self, wanted: QueueFilter, order: Order) -> str:
        """The index with the items in this order, or with those of one run."""
        if wanted.labelled:
            return "labelled_by_contamination" if wanted.run is None else "labelled_by_run"
        if wanted.run is not None:
            return "queue_run"
        if order is Order.RANK:
            return "queue_rank" if wanted.first_key is None else f"queue_{self._subsystem.keys[0]}"
        return {Order.WORST: "queue_worst", Order.DRAW: "queue_draw", Order.UNLIKE: "queue_unlike"}[order]

    def _mine(self, person: str, items: Iterable[Where]) -> dict[str, Any] | None:
        identities = [self._subsystem.identity(*where) for where in items]
        return {"$or": identities, "held_by": person} if identities else None

    def _where(self, document: Mapping[str, Any]) -> Where:
        return document["run"], self._subsystem.place_of(document)
