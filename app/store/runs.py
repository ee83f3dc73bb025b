"""One document per run: its state, progress and results. Its items are in `items`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Collection as Collected
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from app.domain.origin import DEMONSTRATION, Origin, SourceKind, told_by
from app.domain.runs import BUSY, Run, RunState
from app.errors import Conflict, NotFound
from app.store.collections import Collections
from app.store.indexes import count_all, count_to, in_index, make_indexes

NOT_SCORED = "Its histograms were imported, and are not scored yet."  # why a run from a file is not finished

AT_ONCE = 100_000  # runs per answer: more than there are

# Stored with the counts of a run, and only read for many runs at once.
PACKED = ("worst_scores", "certainties")
NOT_PACKED = {f"summary.{name}": 0 for name in PACKED}


_NEWEST = [("_id", DESCENDING)]


class Runs:
    """The requested runs."""

    SORTS = ("number", "state", "requested_at", "finished_at", "missing", "bad_items", "model")
    DRIFT = ("model", "unlike", "chambers", "scores", "distances", "hits")  # sort keys of measured runs
    _ORDERS: Mapping[str, tuple[str, ...]] = {
        "number": ("_id",),
        "bad_items": ("summary.bad_items", "_id"),
    } | {sort: (sort, "_id") for sort in ("state", "requested_at", "finished_at", "missing", "model")}

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["runs"]

    def make_indexes(self) -> None:
        # Documents of runs are large, so lists skip rows, and totals count runs, in an index.
        listed = {f"list_{sort}": (*fields, "state") for sort, fields in self._ORDERS.items() if sort != "state"}
        measured = {f"drifted_{name}": dict.fromkeys((f"drift.{name}", "_id", "drift.model")) for name in self.DRIFT}
        fields = listed | {name: tuple(keys) for name, keys in measured.items()}
        fields |= {
            "list_state": ("state", "_id"),
            "changed": ("changed_at", "_id"),
            "drifted": ("_id", "drift.model"),
            "scored": ("model", "threshold", "done"),  # progress of a re-evaluation
            "measured": ("model", "drift.model", "done"),
            "kept": ("kept", "model", "done"),
            "simulated": ("simulated", "done", "_id"),
            "to_ask_again": ("ask_again_at", "_id"),
        }
        gone = [f"{'_1_'.join(names[:2])}_1" for names in (*fields.values(), ("drift.model", "_id"))]
        gone.append("done")
        make_indexes(self._collection, [IndexModel(list(names), name=name) for name, names in fields.items()], gone)

    def request(self, number: int, by: str, total: int, origin: Origin | None = None, by_itself: bool = False) -> None:
        """Record the request for a new run, or for what is missing of a known one.

        A run without any data may come from this source; others only from their first source.

        Args:
            by_itself: requested automatically, not by a person.

        Raises:
            Conflict: it is being deleted.
        """
        now = datetime.now(UTC)
        wanted = {"_id": number, "state": {"$nin": [RunState.DELETING, RunState.FETCHING, RunState.SCORING]}}
        asked = {"state": RunState.WAITING, "why": "", "requested_by": by, "requested_at": now}
        asked |= {} if by_itself else {"first_asked_at": now}
        begun = {**(origin.fields if origin else {}), "simulated": origin == DEMONSTRATION}
        new = {"total": total, "done": 0, "missing": 0, "summary": {}, "reasons": {}}
        new |= {"first_asked_at": now} if by_itself else {}
        if self._collection.update_one({**wanted, "done": {"$gt": 0}}, {"$set": asked}).matched_count:
            return
        try:
            update = {"$set": asked | begun, "$setOnInsert": new}
            self._collection.update_one({**wanted, "done": {"$not": {"$gt": 0}}}, update, upsert=True)
        except DuplicateKeyError:  # it exists, in one of those states
            if self.get(number).state is RunState.DELETING:
                raise being_deleted(number) from None

    def update(self, number: int, **changes: object) -> bool:
        """Set fields of a run unless it is being deleted.

        Returns:
            False if it is being deleted or is gone: whoever works on it should stop.
        """
        update: dict[str, Any] = {"$set": changes}
        if "summary" in changes:  # by the clock of the database, for those of several machines differ: see `stamp`
            update["$currentDate"] = {"changed_at": True}
        wanted = {"_id": number, "state": {"$ne": RunState.DELETING}}
        return self._collection.update_one(wanted, update).matched_count == 1

    def mark_deleting(self, number: int) -> None:
        """Mark a run as being deleted: from here on only the deletion writes to it.

        Raises:
            NotFound: there is no such run.
        """
        if not self._collection.update_one({"_id": number}, {"$set": {"state": RunState.DELETING}}).matched_count:
            raise not_loaded(number)

    def remove(self, number: int) -> None:
        """Remove a run that is marked as being deleted."""
        self._collection.delete_one({"_id": number, "state": RunState.DELETING})

    def get(self, number: int) -> Run:
        """One run.

        Raises:
            NotFound: it was never requested.
        """
        document = self._collection.find_one({"_id": number}, NOT_PACKED)
        if document is None:
            raise not_loaded(number)
        return _run(document)

    def find(
        self,
        state: RunState | None = None,
        sort: str = "number",
        descending: bool = True,
        skip: int = 0,
        limit: int = 20,
        together: bool = False,
    ) -> list[Run]:
        """A page of runs, by default newest first.

        Args:
            together: for results over several runs: leave out runs that are set aside.
        """
        order = [(key, DESCENDING if descending else ASCENDING) for key in self._ORDERS[sort]]
        index = "list_state" if state and sort == "number" else f"list_{sort}"
        wanted = in_index(_filter(state), self._ORDERS[sort][0])
        if together and (listed := self.together()):
            wanted = {"$and": [wanted, {"_id": listed}]}
        found = self._collection.find(wanted, NOT_PACKED).sort(order).hint(index).skip(skip).limit(limit)
        return [_run(d) for d in found]

    def count(self, state: RunState | None = None) -> int:
        return count_to(self._collection, _filter(state), 0, "list_state") if state else count_all(self._collection)

    def any(self) -> bool:
        """Whether any run was ever requested."""
        return self._collection.find_one({}, {"_id": 1}) is not None

    def count_by_model(self) -> dict[str, int]:
        """model → number of runs whose current scores are by it."""
        stages: list[dict[str, Any]] = [
            {"$match": {"model": {"$gt": ""}}},
            {"$group": {"_id": "$model", "runs": {"$sum": 1}}},
        ]
        return {d["_id"]: d["runs"] for d in self._collection.aggregate(stages, hint="measured")}

    def count_scored(
        self, among: Sequence[int] | None = None, model: str | None = None, threshold: float | None = None
    ) -> int:
        """The number of runs with items, and with scores by this model if one is named.

        Args:
            among: only these runs.
            threshold: only runs whose verdicts are by this threshold.
        """
        wanted = {name: value for name, value in (("model", model), ("threshold", threshold)) if value is not None}
        wanted = in_index(_with_items(among) | wanted, "model")
        return count_to(self._collection, wanted, 0, "scored" if among is None else None)

    def count_to_score(self, model: str, threshold: float) -> tuple[int, int]:
        """The numbers of runs with scores by another model, and with verdicts by another threshold of this one."""
        others = {"model": {"$ne": model}}, {"model": model, "threshold": {"$ne": threshold}}
        by_model, by_threshold = (count_to(self._collection, _with_items(None) | o, 0, "scored") for o in others)
        return by_model, by_threshold

    def count_kept(self, model: str) -> int:
        """The number of runs scored by another model for which all scores by this one are stored."""
        wanted = _with_items(None) | {"kept": model, "model": {"$ne": model}}
        return count_to(self._collection, wanted, 0, "kept")

    def next_to_score(
        self, among: Sequence[int] | None, model: str, threshold: float, but: Iterable[int]
    ) -> int | None:
        """The newest run that no job works on and whose scores are not by this model, or whose verdicts are not by this
        threshold; None if there is none.

        Args:
            among: only these runs.
            but: none of these.
        """
        wanted = _with_items(among) | {"state": {"$nin": sorted(BUSY)}}
        wanted["$or"] = [{"model": {"$ne": model}}, {"threshold": {"$ne": threshold}}]
        found = self._collection.find_one({"$and": [wanted, {"_id": {"$nin": list(but)}}]}, {"_id": 1}, sort=_NEWEST)
        return found["_id"] if found else None

    def next_to_measure(self, model: str) -> int | None:
        """The newest run scored by this model whose drift is not measured; None if there is none."""
        found = self._collection.find_one(_to_measure(model), {"_id": 1}, sort=_NEWEST)
        return found["_id"] if found else None

    def count_to_measure(self, model: str) -> int:
        """The number of runs scored by this model whose drift is not measured."""
        return count_to(self._collection, _to_measure(model), 0, "measured")

    def keep_drift(self, number: int, drift: Mapping[str, Any]) -> None:
        """Store the drift of a run, unless another model scored it meanwhile."""
        self._collection.update_one({"_id": number, "model": drift["model"]}, {"$set": {"drift": drift}})

    def with_drift(
        self,
        first: int,
        last: int,
        skip: int = 0,
        limit: int = 20,
        sort: str = "number",
        descending: bool = True,
    ) -> list[Run]:
        """A page of the measured runs in a range, by default newest first.

        Args:
            sort: "number" or one of `DRIFT`.
        """
        keys, index = (("_id",), "drifted") if sort == "number" else ((f"drift.{sort}", "_id"), f"drifted_{sort}")
        order = [(key, DESCENDING if descending else ASCENDING) for key in keys]
        found = self._collection.find(in_index(self._drifted(first, last), keys[0]), NOT_PACKED).sort(order).hint(index)
        found = found.skip(skip).limit(limit)
        return [_run(d) for d in found]

    def drifts(self, first: int, last: int, most: int) -> list[tuple[int, Mapping[str, Any]]]:
        """(number, drift) of the newest measured runs in a range, oldest first."""
        found = self._collection.find(self._drifted(first, last), {"drift": 1}, batch_size=most)
        return [(d["_id"], d["drift"]) for d in found.sort(_NEWEST).hint("drifted").limit(most)][::-1]

    def count_with_drift(self, first: int, last: int) -> int:
        """The number of runs of `with_drift` over all pages."""
        return count_to(self._collection, self._drifted(first, last), 0, "drifted")

    def busy(self) -> list[Run]:
        """Runs that a job should be working on."""
        return [_run(d) for d in self._collection.find({"state": {"$in": sorted(BUSY)}}, NOT_PACKED)]

    def newest(self, state: RunState = RunState.FINISHED) -> Run | None:
        """The finished run with the highest number, except those set aside."""
        found = self.find(state, limit=1, together=True)
        return found[0] if found else None

    def near(self, number: int, model: str, each_side: int) -> list[Run]:
        """Finished runs scored by a model, nearest by number before and after a run; simulated ones if that one is."""
        wanted = {"state": RunState.FINISHED, "model": model, "simulated": self.is_simulated(number)}
        before = self._collection.find({**wanted, "_id": {"$lt": number}}, NOT_PACKED).sort("_id", DESCENDING)
        after = self._collection.find({**wanted, "_id": {"$gt": number}}, NOT_PACKED).sort("_id", ASCENDING)
        return [_run(d) for found in (before, after) for d in found.hint("_id_").limit(each_side)]

    def beside(self, number: int) -> tuple[int | None, int | None]:
        """The finished runs before and after a run, by number; None if there is none."""

        def first(bounds: Mapping[str, int], direction: int) -> int | None:
            wanted = {"_id": bounds, "state": RunState.FINISHED}
            found = self._collection.find_one(wanted, {"_id": 1}, sort=[("_id", direction)], hint="_id_")
            return found["_id"] if found else None

        return first({"$lt": number}, DESCENDING), first({"$gt": number}, ASCENDING)

    def stamp(self) -> str:
        """A value that changes whenever a run gets a new summary or is deleted, for caching pictures of all runs."""
        newest = self._collection.find_one({}, {"changed_at": 1}, sort=[("changed_at", DESCENDING)])
        at = newest and newest.get("changed_at")
        return f"{count_all(self._collection)}-{at.timestamp() if at else 0}"

    def summaries(self, names: Sequence[str], first: int, last: int, model: str | None = None) -> list[list[Any]]:
        """The finished runs from `first` to `last`, by number: [number, a value for each name of the summary].

        Args:
            model: only runs scored by it.
        """
        wanted: dict[str, Any] = {"_id": self._between(first, last), "state": RunState.FINISHED}
        if model is not None:
            wanted["model"] = model
        # One array per run: read in half the time of documents with names.
        values = {"_id": 0, "v": ["$_id", *(f"$summary.{name}" for name in names)]}
        stages = [{"$match": wanted}, {"$sort": {"_id": 1}}, {"$project": values}]
        return [d["v"] for d in self._collection.aggregate(stages, hint="_id_", batchSize=AT_ONCE)]

    def upgrade(self, summarise: Callable[[int], Mapping[str, Any]]) -> None:
        """Backfill the summary fields that trends read, for runs of earlier versions."""
        old = {"state": RunState.FINISHED, "summary.worst_scores": {"$exists": False}}
        for d in list(self._collection.find(old, {"_id": 1})):
            self._collection.update_one({"_id": d["_id"], **old}, {"$set": {"summary": summarise(d["_id"])}})

    def upgrade_threshold(self, model: str, threshold: float) -> None:
        """Backfill the threshold of runs of earlier versions, if their model only ever had one."""
        old = {"model": model, "threshold": {"$exists": False}}
        self._collection.update_many(old, {"$set": {"threshold": threshold}})

    def _between(self, first: int, last: int) -> dict[str, Any]:
        """Numbers of the runs in a range that are not set aside; a single run mixes with no other."""
        return {"$gte": first, "$lte": last} | (self.together() if first != last else {})

    def _drifted(self, first: int, last: int) -> dict[str, Any]:
        return {"_id": self._between(first, last), "drift.model": {"$gt": ""}}

    # --- simulated runs, never mixed with others ---

    def simulated(self) -> list[int]:
        """The numbers of the runs from a demonstration."""
        found = self._collection.find({"simulated": True}, {"_id": 1}, batch_size=AT_ONCE).hint("simulated")
        return [d["_id"] for d in found]

    def is_simulated(self, number: int) -> bool:
        return self._collection.find_one({"_id": number, "simulated": True}, {"_id": 1}) is not None

    def set_aside(self) -> list[int]:
        """The simulated runs, if there are real ones with items; otherwise none.

        All results over several runs (lists, the queue, statistics, trends, drift, comparisons) leave these out: they
        use real runs only, or, if there is only a demonstration, that.
        """
        if self._collection.find_one({"simulated": True}, {"_id": 1}, hint="simulated") is None:
            return []
        real = {"simulated": False, "done": {"$gt": 0}}
        return self.simulated() if self._collection.find_one(real, {"_id": 1}, hint="simulated") else []

    def together(self) -> dict[str, Any]:
        """The condition on the run for results over several runs: see `set_aside`. Empty if none is set aside."""
        aside = self.set_aside()
        return {"$nin": aside} if aside else {}

    def upgrade_sources(self, simulated: Collected[int]) -> list[int]:
        """Backfill the kind of source of runs of earlier versions, from its name.

        Args:
            simulated: the runs with items from a demonstration.

        Returns:
            The simulated runs.
        """
        for d in list(self._collection.find({"simulated": {"$exists": False}}, {"source": 1, "done": 1})):
            origin = told_by(d.get("source"), d.get("done", 0))
            is_simulated = origin == DEMONSTRATION or d["_id"] in simulated
            changes = {"simulated": is_simulated, **(origin.fields if origin else {})}
            self._collection.update_one({"_id": d["_id"]}, {"$set": changes})
        return self._collection.distinct("_id", {"simulated": True})

    def to_ask_again(self, now: datetime) -> list[int]:
        """The runs that are due to be refetched, longest waiting first."""
        due = {"ask_again_at": {"$lte": now}, "state": {"$nin": sorted(BUSY)}}
        return [d["_id"] for d in self._collection.find(due, {"_id": 1}).sort("ask_again_at", ASCENDING)]

    def upgrade_asking_again(self) -> None:
        """Schedule refetches of runs not found or failed in versions without automatic refetching."""
        now = datetime.now(UTC)
        servers = [str(kind) for kind in (SourceKind.DQM, SourceKind.DEMONSTRATION)]
        old = {"state": {"$in": [RunState.NOT_FOUND, RunState.FAILED]}, "source_kind": {"$in": servers}}
        self._collection.update_many(old, {"$set": {"ask_again_at": now, "first_asked_at": now}})

    def known(self, numbers: list[int]) -> set[int]:
        """The given runs that are stored."""
        return {d["_id"] for d in self._collection.find({"_id": {"$in": numbers}}, {"_id": 1})}


def not_loaded(number: int) -> NotFound:
    return NotFound(f"Run {number} is not loaded. An expert can load it on the page “Runs”.")


def being_deleted(number: int) -> Conflict:
    return Conflict(f"Run {number} is being deleted; request it again when it is gone.")


def _with_items(among: Sequence[int] | None) -> dict[str, Any]:
    return {"done": {"$gt": 0}} | ({} if among is None else {"_id": {"$in": list(among)}})


def _to_measure(model: str) -> dict[str, Any]:
    return _with_items(None) | {"model": model, "drift.model": {"$ne": model}}


def _filter(state: RunState | None) -> dict:
    return {"state": state} if state else {}


def _run(document: dict) -> Run:
    fields = {key: value for key, value in document.items() if key in Run.__dataclass_fields__}
    return Run(number=document["_id"], **{**fields, "state": RunState(document["state"])})
