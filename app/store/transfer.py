"""Whole documents, by kind, for exports and imports: read in a stable order, looked up, and added.

Adding never changes what is there: an existing document wins, and adding twice is the same as adding once. So an
interrupted import is finished by repeating it. Not for what the documents mean: see `app.transfer.kinds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gridfs
from pymongo import ASCENDING, UpdateOne
from pymongo.errors import BulkWriteError

from app.domain.items import SCORED, ItemState
from app.domain.runs import RunState
from app.store import contamination
from app.store.collections import Collections
from app.store.indexes import in_pieces
from app.store.item_documents import OF_SCORES, RANK, new_item
from app.store.items import DUPLICATE_KEY
from app.store.labels import Labels
from app.store.models import POINTER
from app.store.runs import NOT_PACKED

Document = Mapping[str, Any]

AT_ONCE = 500  # runs whose labelled items are read together

# The others are named like their kind.
_COLLECTIONS = {"histograms": "items", "scores": "items", "thresholds": "model_thresholds"}


class Transfer:
    """The documents of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._collections, self._subsystem = collections, collections.subsystem
        self._files = gridfs.GridFSBucket(collections.database, "model_files")

    # --- reading ---

    def documents(self, kind: str, runs: tuple[int, int] | None = None) -> Iterator[dict[str, Any]]:
        """Every document of a kind, by run and place, or by id.

        Args:
            runs: only runs in this range, first to last.
        """
        if kind == "models":
            yield from self._models()
            return
        of_run = _from_to(runs) if runs else {"$exists": True}
        mine = {"subsystem": self._subsystem.name}
        place = ["run", "subsystem", *self._subsystem.keys]
        filters: dict[str, dict[str, Any]] = {
            "runs": {"_id": of_run, "state": {"$ne": RunState.DELETING}},
            "histograms": {"run": of_run, **mine},
            "scores": {"run": of_run, **mine, "state": {"$in": sorted(SCORED)}},
            "past_scores": {"run": of_run, **mine},
            "labels": {"run": of_run, **mine},
            "thresholds": {},
            "problems": mine | ({"since": {"$lte": runs[1]}, "$nor": [{"until": {"$lt": runs[0]}}]} if runs else {}),
        }
        orders = {"histograms": place, "scores": place, "past_scores": [*place, "model"], "labels": [*place, "seq"]}
        order = orders.get(kind, ["_id"])
        without = {
            "runs": NOT_PACKED,
            "histograms": (*OF_SCORES, "part_rates", "chosen"),
            "scores": ("occupancy",),
        }.get(kind, ())
        yield from in_pieces(self._of(kind), filters[kind], order, without)

    def known(self, kind: str, filters: Sequence[Document]) -> list[dict[str, Any]]:
        """The documents that match any of some filters, without files, embeddings and packed fields.

        Filters by the same fields become one query with an index hint: choosing an index takes longer than the query.
        """
        by_fields: dict[tuple[str, ...], list[Document]] = {}
        for one in filters:
            by_fields.setdefault(tuple(one), []).append(one)
        found: dict[Any, dict[str, Any]] = {}
        for fields, alike in by_fields.items():
            if sought := [one for one in alike if one.get("_id") not in found]:
                index = None if kind == "thresholds" else _index(fields)  # none exists for these few
                wanted, without = {"$or": _merged(sought)}, {"embedding": 0, **NOT_PACKED}
                found |= {document["_id"]: document for document in self._of(kind).find(wanted, without, hint=index)}
        return list(found.values())

    def labelled(self, runs: tuple[int, int] | None = None) -> Iterator[tuple[int, int, Document]]:
        """(run, bad parts by the model, label) of each labelled item."""
        mine = {"subsystem": self._subsystem.name}
        labelled = Labels(self._collections).runs(*(runs or ()))
        for first in range(0, len(labelled), AT_ONCE):
            wanted = mine | {"labelled": True, "run": {"$in": labelled[first : first + AT_ONCE]}}
            found = (
                self._collections["items"].find(wanted, {"run": 1, "bad": 1, "evaluation": 1}).hint("labelled_by_run")
            )
            yield from ((d["run"], d.get("bad") or 0, d["evaluation"]) for d in found)

    # --- adding ---

    def add(self, kind: str, documents: Sequence[Document]) -> None:
        """Add documents; skip those whose place is taken."""
        if kind == "models":
            for document in documents:
                self._add_model(document)
            return
        try:
            if kind in ("scores", "thresholds"):
                update = self._scores if kind == "scores" else _threshold
                self._of(kind).bulk_write([update(document) for document in documents], ordered=False)
            else:
                new = {"histograms": self._item, "past_scores": self._scored}.get(kind, dict)
                self._of(kind).insert_many([new(document) for document in documents], ordered=False)
        except BulkWriteError as error:
            if any(e["code"] != DUPLICATE_KEY for e in error.details["writeErrors"]):
                raise

    def _item(self, document: Document) -> dict[str, Any]:
        """An item without scores and labels."""
        state = ItemState.MISSING if "missing" in document else ItemState.UNSCORED
        item = {**new_item(), "state": state, "rank": RANK[state], "model": None, **document}
        if "occupancy" in document:
            histogram = self._subsystem.decode(self._subsystem.place_of(document), document["occupancy"])
            item["part_rates"] = self._subsystem.pack_rates(histogram)
        return item

    def _scores(self, document: Document) -> UpdateOne:
        """One update of an item with a histogram and no scores; with its label, if known."""
        fields = self._scored(document)
        identity = self._identity(fields)
        stage = {name: {"$literal": value} for name, value in fields.items() if name not in identity}
        stage["recheck"] = {"$or": ["$recheck", document["recheck"]]}
        wanted = {**identity, "state": ItemState.UNSCORED}
        return UpdateOne(wanted, [{"$set": stage}, *contamination.STAGES])

    def _scored(self, document: Document) -> dict[str, Any]:
        """Scores with the fields derived from them."""
        packed = self._subsystem.pack_scores(document["scores"])
        return {"rank": RANK.get(document["state"]), "part_scores": packed, **document}

    def _add_model(self, document: Document) -> None:
        fields = dict(document)
        file, active, evaluation = (fields.pop(name) for name in ("file", "active", "evaluation"))
        if not self._collections.database["model_files.files"].find_one({"filename": fields["sha256"]}):
            self._files.upload_from_stream(fields["sha256"], file)
        models = self._collections["models"]
        models.update_one({"_id": fields.pop("_id")}, {"$setOnInsert": fields}, upsert=True)
        if evaluation is not None:
            kept = self._collections["model_evaluations"]
            kept.update_one({"_id": document["_id"]}, {"$setOnInsert": evaluation}, upsert=True)
        if active:
            models.update_one({"_id": POINTER}, {"$setOnInsert": {"name": document["_id"]}}, upsert=True)

    # --- documents ---

    def _models(self) -> Iterator[dict[str, Any]]:
        pointer = self._collections["models"].find_one({"_id": POINTER}) or {}
        order = [("added_at", ASCENDING), ("_id", ASCENDING)]
        for document in self._collections["models"].find({"_id": {"$ne": POINTER}}).sort(order):
            document["active"] = document["_id"] == pointer.get("name")
            document["evaluation"] = self._collections["model_evaluations"].find_one({"_id": document["_id"]})
            document["file"] = self._files.open_download_stream_by_name(document["sha256"]).read()
            yield document

    def _identity(self, document: Document) -> dict[str, Any]:
        return {name: document[name] for name in ("run", "subsystem", *self._subsystem.keys)}

    def _of(self, kind: str) -> Any:
        return self._collections[_COLLECTIONS.get(kind, kind)]


def _from_to(runs: tuple[int, int]) -> dict[str, int]:
    return {"$gte": runs[0], "$lte": runs[1]}


def _index(fields: Sequence[str]) -> str:
    """The name of the index on these fields."""
    return "_id_" if list(fields) == ["_id"] else "_".join(f"{name}_1" for name in fields)


def _merged(filters: Sequence[Document]) -> list[dict[str, Any]]:
    """Equivalent but fewer filters on the same fields: those that differ in only one field are merged.

    >>> _merged([{"run": 1, "region": 3}, {"run": 1, "region": 4}, {"run": 2, "region": 5}])
    [{'run': 1, 'region': {'$in': [3, 4]}}, {'run': 2, 'region': {'$in': [5]}}]
    """
    name = max(filters[0], key=lambda name: len({one[name] for one in filters}))
    merged: dict[tuple[Any, ...], list[Any]] = {}
    for one in filters:
        rest = tuple((field, value) for field, value in one.items() if field != name)
        merged.setdefault(rest, []).append(one[name])
    return [{**dict(rest), name: {"$in": values}} for rest, values in merged.items()]


def _threshold(document: Document) -> UpdateOne:
    """One update that adds a threshold unless one was set for the same model and use at the same time."""
    return UpdateOne({name: document[name] for name in ("model", "use", "at")}, {"$setOnInsert": document}, upsert=True)
