"""Import in two passes: the whole file is checked and staged, then its new rows are written.

An import never changes existing data: each row is new, identical to what is stored, or in conflict with it. By default
nothing is written if any row is bad or in conflict. State derived from the rows (the label state of items, the known
problems that cover them) is recomputed at the end.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import bson
from bson import ObjectId
from bson.errors import InvalidBSON, InvalidDocument

from app.domain.items import ItemState
from app.domain.origin import SourceKind
from app.domain.runs import RunState
from app.errors import Conflict, DriftwatchError, InvalidInput
from app.store import Store
from app.store.imports import BYTES_AT_ONCE, WRONG, CheckedRow, Import, ImportState, Outcome
from app.store.runs import NOT_SCORED
from app.transfer.bounds import BY_COMMAND, Bounds, Watch
from app.transfer.kinds import all_kinds
from app.transfer.kinds.kind import DataKind, Document
from app.transfer.reading import FilePart, parts

if TYPE_CHECKING:
    from app.labelling.labels import Labelling
    from app.registry import Registry

log = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE = 200  # rows looked up, staged or written at once
LARGEST_DOCUMENT = 15_000_000  # bytes: the limit of MongoDB is 16 MB

_OF_A_RUN = ("histograms", "past_scores")  # kinds that depend only on their run


@dataclass(frozen=True)
class _Checked:
    """A row being checked."""

    row: CheckedRow
    unique: tuple[Document, ...] = ()


class Importing:
    """The use cases: `driftwatch.importing`.

    Args:
        facts: run → the fields of its document that are derived from its items.
    """

    def __init__(
        self, store: Store, labelling: Labelling, models: Registry, facts: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self._store, self._labelling, self._models, self._facts = store, labelling, models, facts
        self._kinds = all_kinds(store.subsystem)

    def check(self, path: Path, name: str, by: str, bounds: Bounds = BY_COMMAND) -> Import:
        """Check a whole file on disk: see `check_file`."""
        try:
            file = path.open("rb")
        except OSError as error:
            raise InvalidInput("the file", name, f"one that can be read ({error.strerror})") from None
        with file:
            return self.check_file(file, name, by, bounds)

    def check_file(
        self, file: BinaryIO, name: str, by: str, bounds: Bounds, is_wanted: Callable[[], bool] = lambda: True
    ) -> Import:
        """Check a whole file and stage what an import would do with each row; nothing else is changed.

        Args:
            name: the file's name, as given by the user.
            is_wanted: whether the user still waits; called now and then, and at the end.

        Raises:
            InvalidInput: it is not an export that this program can read.
            FileTooLarge: it exceeds the limits; nothing is staged.
            GivenUp: nobody waits for it any more; nothing is staged.
        """
        self.reconcile()
        import_id = self._store.imports.begin(name, by)
        watch = Watch(bounds, lambda: self._store.imports.renew(import_id) and is_wanted())
        try:
            for part in parts(file, name, self._kinds, self._store.subsystem.own_format, bounds, watch):
                self._check_part(import_id, part, by, watch)
            watch.look()
        except BaseException:
            self._store.imports.discard(import_id)
            raise
        return self._store.imports.checked(import_id)

    def find(self, import_id: str) -> Import:
        """Return one import.

        Raises:
            NotFound: there is none with this id, or it has expired.
        """
        return self._store.imports.get(import_id)

    def write(self, import_id: str, by: str, keep_going: bool = False) -> Import:
        """Write the new rows of a checked file.

        Args:
            keep_going: write even if other rows are bad or in conflict; those are left out.

        Raises:
            NotFound: there is no such import, or it has expired.
            Conflict: rows are bad or in conflict by now; it was already written; or another import is being written.
        """
        found = self._store.imports.get(import_id)
        if found.state is ImportState.CHECKED:
            self._check_again(import_id)
            found = self._store.imports.checked(import_id)
        wrong = found.total(*WRONG)
        if wrong and not keep_going:
            raise Conflict(f"Nothing was imported: {wrong:,} of the rows are bad or in conflict with what is there.")
        self._store.imports.begin_writing(import_id, keep_going)
        self._write(import_id)
        done = self._store.imports.get(import_id)
        rows = {str(outcome): done.total(outcome) for outcome in Outcome}
        self._store.events.record("import", None, by, file=done.file, rows=rows)
        return done

    def discard(self, import_id: str) -> None:
        """Discard a checked file without writing it.

        Raises:
            NotFound: there is no such import, or it has expired.
        """
        self._store.imports.get(import_id)
        self._store.imports.discard(import_id)

    def reconcile(self) -> None:
        """Finish imports left half-written by a killed process, and discard expired ones."""
        while lost := self._store.imports.take_lost():
            log.warning("going on with the import of %s, whose process was ended", lost.file)
            self._write(lost.id)
        self._store.imports.discard_old()

    # --- checking ---

    def _check_part(self, import_id: str, part: FilePart, by: str, watch: Watch) -> None:
        if part.kind is not None:
            self._check_rows(import_id, part.kind, part.file, part.rows, watch)
            return
        runs: dict[int, int] = {}
        histograms = self._kinds["histograms"]
        for batch in _batches(part.rows, size=lambda row: 0):
            if new := self._new_runs(batch, runs, part.file, by):
                self._check_rows(import_id, self._kinds["runs"], part.file, new, watch)
            rows = [
                (n, row if isinstance(row, Exception) else self._histogram_row(row[0], row[1], part.file))
                for n, row in batch
            ]
            self._check_rows(import_id, histograms, part.file, rows, watch)

    def _check_rows(
        self, import_id: str, kind: DataKind, file: str, rows: Iterable[tuple[int, Any]], watch: Watch
    ) -> None:
        read = (self._read(kind, file, number, row) for number, row in rows)
        for batch in _batches(read, size=lambda one: one.row.size):
            kept = self._compared(import_id, kind, batch)
            bad = sum(row.outcome is Outcome.BAD for row in kept)
            for row in self._store.imports.keep(import_id, kept):
                why = "an earlier row of the file stands in its place"
                self._store.imports.keep(import_id, [_wrong(row, Outcome.BAD, why)])
                bad += 1
            watch.rows(len(batch), bad)

    def _read(self, kind: DataKind, file: str, number: int, row: Mapping[str, Any] | DriftwatchError) -> _Checked:
        """Convert a row to a document, or return its error; whether it is new is determined later."""
        try:
            if isinstance(row, DriftwatchError):
                raise row
            document = kind.document(row)
            size = _size(document)
        except DriftwatchError as error:
            return _Checked(CheckedRow(kind.name, file, number, Outcome.BAD, why=str(error)))
        unique = kind.unique(document)
        keys = tuple(_key(kind, one) for one in unique)
        title = kind.title(document)
        checked = CheckedRow(kind.name, file, number, Outcome.NEW, title, "", keys, document, size)
        return _Checked(checked, tuple(unique))

    def _compared(self, import_id: str, kind: DataKind, read: Sequence[_Checked]) -> list[CheckedRow]:
        """The rows with what would be done with them, given what is stored."""
        good = [one for one in read if one.row.document is not None]
        known = _by_key(kind, self._store.transfer.known(kind.name, [f for one in good for f in one.unique]))
        needed = self._needed(import_id, kind, [one.row.document for one in good])
        compared = []
        for one in read:
            row = one.row
            if row.document is not None:
                there = {str(found["_id"]): found for key in row.keys for found in known.get(key, ())}
                row = self._outcome(kind, row, list(there.values()), needed)
            compared.append(row)
        return compared

    def _outcome(
        self, kind: DataKind, row: CheckedRow, there: Sequence[Mapping[str, Any]], needed: frozenset[Any]
    ) -> CheckedRow:
        """What would be done with a row.

        Args:
            there: what is stored in its place.
            needed: the prerequisites of this kind of row that are stored or in the file.
        """
        document, item = row.document, self._store.subsystem.item
        if kind.name == "scores":
            is_simulated = document.get("simulated")
            if is_simulated is not None and any(one.get("simulated", False) != is_simulated for one in there):
                return _wrong(row, Outcome.CONFLICT, _MIXED)
            there = [found for found in there if found["state"] != ItemState.UNSCORED]
            if there and there[0]["state"] == ItemState.MISSING:
                return _wrong(row, Outcome.BAD, f"there is no histogram of this {item}")
        if there:
            if len(there) == 1 and kind.is_same(document, there[0]):
                return replace(row, outcome=Outcome.SAME, document=None)
            differing = [name for name in kind.own if any(document.get(name) != f.get(name) for f in there)]
            why = f"another stands in its place, and stays: it differs in {', '.join(differing) or 'its id'}"
            return _wrong(row, Outcome.CONFLICT, why)
        if kind.name == "histograms" and (_of_other_kind(document["run"], document["simulated"]) in needed):
            return _wrong(row, Outcome.CONFLICT, _MIXED)
        if kind.name in _OF_A_RUN and document["run"] not in needed:
            return _wrong(row, Outcome.BAD, f"run {document['run']} is neither loaded nor in the file")
        if kind.name == "scores" and _key(kind, kind.unique(document)[0]) not in needed:
            return _wrong(row, Outcome.BAD, f"there is no histogram of this {item}, nor in the file")
        if kind.name == "thresholds" and document["model"] not in needed:
            return _wrong(row, Outcome.BAD, f"there is no model {document['model']}, nor in the file")
        if kind.name == "models" and document["active"] and self._store.models.active_name() is None:
            try:  # it would take effect immediately
                self._models.require_working(document["_id"], document["card"], lambda: document["file"])
            except Conflict as error:
                return _wrong(row, Outcome.BAD, str(error))
        return row

    def _needed(self, import_id: str, kind: DataKind, documents: Sequence[Mapping[str, Any]]) -> frozenset[Any]:
        """The prerequisites of a kind's rows that are stored or new in this file.

        For histograms and past scores, the numbers of runs, and `_of_other_kind` of the loaded ones; for scores, the
        keys of items that have a histogram; for thresholds, the names of models.
        """
        if kind.name == "thresholds":
            return self._to_be_had(import_id, "models", {document["model"] for document in documents})
        if kind.name in _OF_A_RUN:
            runs = {document["run"] for document in documents}
            there = self._store.transfer.known("runs", [{"_id": run} for run in sorted(runs)])
            others = {_of_other_kind(run["_id"], not run.get("simulated", False)) for run in there}
            return self._to_be_had(import_id, "runs", runs) | others
        if kind.name == "scores":
            histograms = self._kinds["histograms"]
            unique = [kind.unique(document)[0] for document in documents]
            there = self._store.transfer.known("histograms", unique)
            found = {_key(kind, kind.unique(item)[0]) for item in there if item["state"] != ItemState.MISSING}
            staged = self._store.imports.find_keys(import_id, [_key(histograms, one) for one in unique])
            return frozenset(found | {_key(kind, one) for one in unique if _has_histogram(staged, histograms, one)})
        return frozenset()

    def _to_be_had(self, import_id: str, kind: str, ids: set[Any]) -> frozenset[Any]:
        """Those runs or models that are stored and not being deleted, or new in this file."""
        there = self._store.transfer.known(kind, [{"_id": one} for one in sorted(ids)])
        found = {document["_id"] for document in there if document.get("state") != RunState.DELETING}
        keys = {_key(self._kinds[kind], {"_id": one}): one for one in ids}
        staged = self._store.imports.find_keys(import_id, sorted(keys))
        return frozenset(found | {one for key, one in keys.items() if _is_new(staged.get(key))})

    def _check_again(self, import_id: str) -> None:
        """Check that the new rows are still new, as the database may have changed since."""
        for kind in self._kinds.values():
            for batch in self._store.imports.new(import_id, kind.name, AT_ONCE):
                read = []
                for _, document in batch:
                    unique = kind.unique(document)
                    keys = tuple(_key(kind, one) for one in unique)
                    row = CheckedRow(kind.name, "", 0, Outcome.NEW, kind.title(document), "", keys, document)
                    read.append(_Checked(row, tuple(unique)))
                for (row_id, _), row in zip(batch, self._compared(import_id, kind, read), strict=True):
                    if row.outcome is not Outcome.NEW:
                        self._store.imports.change(import_id, row_id, row.outcome, row.why)

    # --- the format of 2018, which has no runs ---

    def _new_runs(self, batch: Sequence[tuple[int, Any]], seen: dict[int, int], file: str, by: str) -> list[Any]:
        """(number, row) of each run in a batch that is neither loaded nor already seen."""
        first: dict[int, int] = {}
        for number, row in batch:
            if not isinstance(row, Exception):
                first.setdefault(row[0], number)
        new = sorted(set(first) - set(seen) - self._store.runs.known(list(first)))
        seen.update(first)
        return [(first[run], self._run_row(run, file, by)) for run in new]

    def _run_row(self, run: int, file: str, by: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "number": run,
            "state": str(RunState.FAILED),
            "total": len(self._store.subsystem.places()),
            "done": 0,
            "missing": 0,
            "rate": 0.0,
            "why": NOT_SCORED,
            "source": file,
            "source_kind": str(SourceKind.IMPORT),
            "simulated": False,
            "unsettled": False,
            "requested_by": by,
            "requested_at": now,
            "started_at": None,
            "finished_at": None,
            "model": None,
            "summary": {},
            "reasons": {},
        }

    def _histogram_row(self, run: int, histogram: Any, file: str) -> dict[str, Any]:
        place = self._store.subsystem.at(histogram.place)
        row = {"run": run, **place, "hits": histogram.hits, "missing": None, "detail": None, "source": file}
        row |= {"fetched_at": datetime.now(UTC), "id": str(ObjectId()), "draw": random.random(), "simulated": False}
        return row | {"occupancy": self._store.subsystem.to_rows(histogram)}

    # --- writing ---

    def _write(self, import_id: str) -> None:
        """Write all new rows; repeating or resuming this gives the same result."""
        runs: set[int] = set()  # runs that got histograms or scores
        places: set[Any] = set()
        for kind in self._kinds.values():
            for documents in self._to_add(import_id, kind):
                self._store.transfer.add(kind.name, documents)
                if kind.name in ("histograms", "scores", "past_scores"):
                    runs |= {document["run"] for document in documents}
                elif kind.name == "labels":
                    self._store.labels.upgrade_simulated(self._store.runs.simulated())
                    self._labelling.reconcile()
                elif kind.name == "problems":
                    places |= {self._store.subsystem.place_of(document) for document in documents}
            if kind.name == "labels":
                for run in sorted(runs):  # before the scores, which decide whether an item needs a recheck
                    self._store.imports.renew(import_id)
                    self._labelling.project_run(run)
        for place in sorted(places):
            self._store.imports.renew(import_id)
            self._store.problems.note_place(place)
        for run in sorted(runs):
            self._store.imports.renew(import_id)
            self._store.runs.update(run, **self._facts(run))
        self._store.imports.end(import_id)

    def _to_add(self, import_id: str, kind: DataKind) -> Iterator[list[Mapping[str, Any]]]:
        for batch in self._store.imports.new(import_id, kind.name, AT_ONCE):
            self._store.imports.renew(import_id)
            yield [document for _, document in batch]


_MIXED = "one of the two is simulated and the other is not, this row or the run that is loaded; they are not mixed"


def _of_other_kind(run: int, simulated: bool) -> tuple[int, bool]:
    """Filter for the items that a loaded run must not get: simulated ones, or real ones."""
    return run, simulated


def _batches(rows: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The rows in batches, smaller ones for large rows to limit memory use."""
    batch: list[T] = []
    held = 0
    for row in rows:
        batch.append(row)
        held += size(row)
        if len(batch) == AT_ONCE or held > BYTES_AT_ONCE:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _key(kind: DataKind, unique: Mapping[str, Any]) -> str:
    """The key of a place in the database that only one document of a kind can occupy."""
    return f"{kind.name}:" + json.dumps({name: str(unique[name]) for name in sorted(unique)})


def _by_key(kind: DataKind, documents: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for document in documents:
        for unique in kind.unique(document):
            found.setdefault(_key(kind, unique), []).append(document)
    return found


def _wrong(row: CheckedRow, outcome: Outcome, why: str) -> CheckedRow:
    return replace(row, outcome=outcome, why=f"{row.title}: {why}.", keys=(), document=None)


def _is_new(row: CheckedRow | None) -> bool:
    return row is not None and row.outcome is Outcome.NEW


def _has_histogram(staged: Mapping[str, CheckedRow], histograms: DataKind, unique: Mapping[str, Any]) -> bool:
    row = staged.get(_key(histograms, unique))
    return _is_new(row) and "occupancy" in (row.document or {})


def _size(document: Document) -> int:
    """Encode a document for the database.

    Raises:
        InvalidInput: the database would not accept it.
    """
    try:
        size = len(bson.encode(document))
    except (InvalidDocument, InvalidBSON, OverflowError, ValueError) as error:
        raise InvalidInput("the row", str(error), "what the database can keep") from None
    if size > LARGEST_DOCUMENT:
        raise InvalidInput("the row", f"{size:,} bytes", f"at most {LARGEST_DOCUMENT:,} bytes")
    return size
