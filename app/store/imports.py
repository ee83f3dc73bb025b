"""Imports in progress: the checked rows of each file, staged until they are written or discarded.

The whole file is first checked and staged here; only staged rows are ever written. So any process can finish an import
that started to write, without its file, whatever happened to the process that started it. A unique index ensures that
at most one import writes at a time. Checking and writing hold a lease. When it expires, the next process discards what
was half checked, and completes what was half written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pymongo
from bson import ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.errors import Conflict
from app.store.collections import Collections
from app.store.ids import by_id
from app.store.indexes import in_pieces
from app.store.items import DUPLICATE_KEY

LEASE = timedelta(seconds=120)  # renewed with every batch written, and every few seconds while checking
BYTES_AT_ONCE = 10_000_000  # of documents held in memory, unless a single one is larger
KEPT = timedelta(days=1)  # of rows that were checked but not written
ENDED_KEPT_DAYS = 30
LONG_SECONDS = 3_600  # for operations on millions of rows


class ImportState(StrEnum):
    CHECKING = "checking"
    CHECKED = "checked"  # waits for confirmation
    WRITING = "writing"
    DONE = "done"


class Outcome(StrEnum):
    """What an import would do with a row."""

    NEW = "new"  # it would be added
    SAME = "same"  # it is already there
    CONFLICT = "conflict"  # something else is in its place, and stays
    BAD = "bad"  # it cannot be used


WRONG = frozenset({Outcome.CONFLICT, Outcome.BAD})


@dataclass(frozen=True)
class Import:
    """One file.

    Attributes:
        counts: kind → outcome → rows.
        keep_going: good rows are written even if others are wrong.
    """

    id: str
    file: str
    state: ImportState
    by: str
    at: datetime
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    keep_going: bool = False
    ended_at: datetime | None = None

    @property
    def waits(self) -> bool:
        """It was checked, and waits for confirmation."""
        return self.state is ImportState.CHECKED

    def total(self, *outcomes: Outcome) -> int:
        """How many rows have one of these outcomes."""
        return sum(of_kind.get(outcome, 0) for of_kind in self.counts.values() for outcome in outcomes)


@dataclass(frozen=True)
class CheckedRow:
    """A row of a file, and what an import would do with it.

    Attributes:
        file, line: its position; the line, row or object, from 1.
        title: what it describes; empty if unknown.
        why: what is wrong, as a sentence.
        keys: the names of its place; no two rows may share one.
        document: what would be added.
        size: of the document, in bytes.
    """

    kind: str
    file: str
    line: int
    outcome: Outcome
    title: str = ""
    why: str = ""
    keys: tuple[str, ...] = ()
    document: Mapping[str, Any] | None = None
    size: int = 0


class Imports:
    """The imports of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._imports, self._rows = collections["imports"], collections["import_rows"]

    def make_indexes(self) -> None:
        writing = {"state": ImportState.WRITING}
        one_writes = IndexModel("state", name="one_writes", unique=True, partialFilterExpression=writing)
        ended = IndexModel("ended_at", expireAfterSeconds=ENDED_KEPT_DAYS * 86_400)
        self._imports.create_indexes([one_writes, ended])
        has_keys = {"keys": {"$exists": True}}
        self._rows.create_indexes(
            [
                IndexModel(["import", "keys"], unique=True, partialFilterExpression=has_keys),
                IndexModel(["import", "outcome", "kind", "_id"]),
                IndexModel(["import", "_id"]),
            ]
        )

    # --- checking ---

    def begin(self, file: str, by: str) -> str:
        """Start checking a file; returns the import's id."""
        document = {"file": file, "by": by, "at": datetime.now(UTC), "state": ImportState.CHECKING, "counts": {}}
        document |= _lease()
        return str(self._imports.insert_one(document).inserted_id)

    def keep(self, import_id: str, rows: Sequence[CheckedRow]) -> list[CheckedRow]:
        """Stage checked rows.

        Returns:
            Those not staged because an earlier row of the file has one of their keys.
        """
        documents = [_row_document(import_id, row) for row in rows]
        try:
            self._rows.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            if any(e["code"] != DUPLICATE_KEY for e in errors):
                raise
            return [rows[e["index"]] for e in errors]
        return []

    def find_keys(self, import_id: str, keys: Sequence[str]) -> dict[str, CheckedRow]:
        """key → the staged row that has it."""
        found = self._rows.find({"import": ObjectId(import_id), "keys": {"$in": list(keys)}})
        return {key: row for row in map(_row, found) for key in row.keys}

    def checked(self, import_id: str) -> Import:
        """Record that the whole file was checked."""
        changes = {"state": ImportState.CHECKED, "counts": self._counts(import_id)}
        self._imports.update_one({"_id": ObjectId(import_id)}, {"$set": changes})
        return self.get(import_id)

    def change(self, import_id: str, row_id: ObjectId, outcome: Outcome, why: str) -> None:
        """Record that a new row has another outcome by now."""
        changes = {"$set": {"outcome": outcome, "why": why}, "$unset": {"document": ""}}
        self._rows.update_one({"_id": row_id, "import": ObjectId(import_id)}, changes)

    def discard(self, import_id: str) -> None:
        """Discard an import whose writing has not started."""
        state = {"$in": [ImportState.CHECKING, ImportState.CHECKED]}
        self._imports.delete_one({"_id": ObjectId(import_id), "state": state})
        self._put_away_rows(ObjectId(import_id))

    def discard_old(self) -> None:
        """Discard imports that were checked and then forgotten, or left half checked by a process that ended."""
        now = datetime.now(UTC)
        lost = {"state": ImportState.CHECKING, "leased_until": {"$not": {"$gte": now}}}
        forgotten = {"state": ImportState.CHECKED, "at": {"$lt": now - KEPT}}
        self._imports.delete_many({"$or": [lost, forgotten]})
        with pymongo.timeout(LONG_SECONDS):
            for import_id in self._rows.distinct("import"):  # an import is created and deleted before its rows
                self._put_away_rows(import_id)

    # --- reading ---

    def get(self, import_id: str) -> Import:
        """One import.

        Raises:
            NotFound: there is none with this id, or no longer.
        """
        kept = ", or no longer: unwritten imports are kept for a day"
        return _import(by_id(self._imports, import_id, "import", kept))

    def rows(
        self, import_id: str, outcome: Outcome | None = None, skip: int = 0, limit: int = 0
    ) -> Iterator[CheckedRow]:
        """The rows of an import in file order, or those with one outcome; a limit of 0 means no limit."""
        wanted: dict[str, Any] = {"import": ObjectId(import_id)}
        index = ["import", "_id"]
        if outcome is not None:
            wanted["outcome"], index = outcome, ["import", "outcome", "kind", "_id"]
        if not skip and not limit:
            return map(_row, in_pieces(self._rows, wanted, index, ("document",)))
        order = [(name, ASCENDING) for name in index]
        return map(_row, self._rows.find(wanted, {"document": 0}).sort(order).hint(order).skip(skip).limit(limit))

    def new(self, import_id: str, kind: str, at_once: int) -> Iterator[list[tuple[ObjectId, Mapping[str, Any]]]]:
        """The documents of a kind to be added, in batches, each with the id of its row."""
        wanted = {"import": ObjectId(import_id), "outcome": Outcome.NEW, "kind": kind}
        last = ObjectId("0" * 24)
        while True:  # not one cursor: a batch may take longer than the lifetime of an idle cursor
            found = self._rows.find({**wanted, "_id": {"$gt": last}}, {"document": 1, "size": 1}).sort("_id", ASCENDING)
            batch, held = [], 0
            for row in found.limit(at_once):
                batch.append((row["_id"], row["document"]))
                held += row.get("size", 0)
                if held > BYTES_AT_ONCE:
                    break
            if not batch:
                return
            last = batch[-1][0]
            yield batch

    # --- writing ---

    def begin_writing(self, import_id: str, keep_going: bool) -> None:
        """Start writing; from here on the import will be completed.

        Raises:
            Conflict: it was already written, or another one is being written.
        """
        changes = {"state": ImportState.WRITING, "keep_going": keep_going, **_lease()}
        wanted = {"_id": ObjectId(import_id), "state": ImportState.CHECKED}
        try:
            begun = self._imports.update_one(wanted, {"$set": changes}).modified_count
        except DuplicateKeyError:
            raise Conflict("Another import is being written; try again when it is done.") from None
        if not begun:
            raise Conflict(f"This import is {self.get(import_id).state}; it is written once.")

    def renew(self, import_id: str) -> bool:
        """Extend the lease; False if the import was discarded meanwhile."""
        return bool(self._imports.update_one({"_id": ObjectId(import_id)}, {"$set": _lease()}).matched_count)

    def take_lost(self) -> Import | None:
        """Take over an import whose process ended while writing, if there is one."""
        lost = {"state": ImportState.WRITING, "leased_until": {"$lt": datetime.now(UTC)}}
        after = ReturnDocument.AFTER
        taken = self._imports.find_one_and_update(lost, {"$set": _lease()}, return_document=after)
        return _import(taken) if taken else None

    def end(self, import_id: str) -> None:
        """Record that everything is written; the rows are no longer needed."""
        changes = {"state": ImportState.DONE, "ended_at": datetime.now(UTC), "counts": self._counts(import_id)}
        wanted = {"_id": ObjectId(import_id), "state": ImportState.WRITING}
        if self._imports.update_one(wanted, {"$set": changes}).modified_count:
            self._put_away_rows(ObjectId(import_id))

    def _counts(self, import_id: str) -> dict[str, dict[str, int]]:
        by = {"kind": "$kind", "outcome": "$outcome"}
        stages: list[dict[str, Any]] = [
            {"$match": {"import": ObjectId(import_id)}},
            {"$group": {"_id": by, "rows": {"$sum": 1}}},
        ]
        counts: dict[str, dict[str, int]] = {}
        with pymongo.timeout(LONG_SECONDS):
            for group in self._rows.aggregate(stages):
                counts.setdefault(group["_id"]["kind"], {})[group["_id"]["outcome"]] = group["rows"]
        return counts

    def _put_away_rows(self, import_id: ObjectId) -> None:
        """Discard the rows of an import that is over, or gone."""
        over = ImportState.DONE
        if self._imports.find_one({"_id": import_id, "state": {"$ne": over}}, {"_id": 1}) is None:
            with pymongo.timeout(LONG_SECONDS):
                self._rows.delete_many({"import": import_id})


def _lease() -> dict[str, Any]:
    return {"leased_until": datetime.now(UTC) + LEASE}


def _row_document(import_id: str, row: CheckedRow) -> dict[str, Any]:
    document = {"import": ObjectId(import_id), "kind": row.kind, "file": row.file, "line": row.line}
    document |= {"outcome": row.outcome, "title": row.title, "why": row.why}
    if row.keys:
        document["keys"] = list(row.keys)
    if row.document is not None:
        document |= {"document": row.document, "size": row.size}
    return document


def _row(document: Mapping[str, Any]) -> CheckedRow:
    fields = {name: value for name, value in document.items() if name in CheckedRow.__dataclass_fields__}
    return CheckedRow(**{**fields, "outcome": Outcome(document["outcome"]), "keys": tuple(document.get("keys", ()))})


def _import(document: Mapping[str, Any]) -> Import:
    fields = {name: value for name, value in document.items() if name in Import.__dataclass_fields__}
    return Import(id=str(document["_id"]), **{**fields, "state": ImportState(document["state"])})
