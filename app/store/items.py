"""One document per item: its histogram, its scores and the state of its labels.

Fetching and scoring set only their own fields, each in one atomic and idempotent update that never touches labels. The
disagreement of label and scores depends on both; the database computes it in the update that changes either. Lists
read no histograms. Not for the leases of items: see `queue`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from app.domain.items import SCORED, Item, ItemQuery, ItemState
from app.domain.judgement import Judgement, Verdict, at_threshold
from app.domain.labels import LabelState
from app.domain.origin import DEMONSTRATION_NAME
from app.errors import NotFound, Reason, UnusableHistogram
from app.store import contamination
from app.store.collections import beside
from app.store.indexes import between, count_to, make_indexes
from app.store.past_scores import FIELDS, OPTIONAL, PastScores, judgement_of
from app.store.runs import Runs
from app.subsystems import Subsystem

MOST_LISTED = 100_000  # rows of a list in a file: skipping rows takes time
MOST_ANSWERED = 50_000  # rows through the API, by page: each response counts them
MOST_PAGED = 10_000  # rows on pages
HIGH = 0.5  # worst score from which the few items are also indexed by keys of their place first, then by score
MOST_SORTED = 20_000  # most rows that the database sorts, instead of searching in the order shown
UPGRADED_AT_ONCE = 1_000  # items
AT_ONCE = 100_000  # rows of a history per batch: more than there are runs, and far below the 16 MB of a reply
DUPLICATE_KEY = 11_000  # MongoDB's code


# `held_until` of an item that nobody holds: a time, so that "free" is one range of an index.
FREE = datetime(1970, 1, 1, tzinfo=UTC)

# Fields that lists do not read.
LARGE = dict.fromkeys(("occupancy", "embedding", "part_scores", "part_rates", "scored_and_said"), 0)

OF_SCORES = (
    *("scores", "verdicts", "reasons", "findings", "worst", "bad"),
    *("embedding", "part_scores", "unlike", "threshold"),
)

# Sorts items without a certainty after those with one (0 … 0.5).
RANK = {ItemState.UNJUDGED: 1.0, ItemState.UNSCORED: 2.0, ItemState.MISSING: 3.0}


@dataclass(frozen=True)
class Tally:
    """The totals of the items of a run.

    Attributes:
        counts: "judged", "unjudged", "unscored", "missing", "bad_items", "bad_parts", and the subsystem's own counts.
        reasons: reason → number of missing items.
        models: the models by which the items are scored; usually one.
        thresholds: the thresholds of their verdicts; includes None if that of some is unknown.
    """

    counts: dict[str, Any]
    reasons: dict[str, int]
    models: frozenset[str]
    thresholds: frozenset[float | None]


class Items:
    """The items of all runs of one subsystem."""

    def __init__(self, collection: Collection, subsystem: Subsystem) -> None:
        self._collection = collection
        self._subsystem = subsystem
        self._past = PastScores(beside(collection, "past_scores"), subsystem)
        keys = subsystem.keys
        self._identity = [(key, ASCENDING) for key in ("run", "subsystem", *keys)]  # the index for single items
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
        indexes, gone = [IndexModel(self._identity, unique=True)], []
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
        # One place over all runs: read from a contiguous range of the index only.
        history = ["subsystem", *self._subsystem.keys, "run", "model", "part_scores", "part_rates"]
        indexes.append(IndexModel(history, name="history"))
        disputed = {"evaluation.state": str(LabelState.DISPUTED)}
        listed = ["evaluation.state", "subsystem", *self.SORTS["run"], "state"]
        indexes.append(IndexModel(listed, name="disputed", partialFilterExpression=disputed))
        make_indexes(self._collection, indexes, gone)

    def upgrade(self) -> None:
        """Backfill the initial fields of items stored by versions without labels."""
        begin = {**new_item(), "draw": {"$rand": {}}}
        self._collection.update_many({"draw": {"$exists": False}}, [{"$set": begin}])

    def upgrade_history(self) -> None:
        """Backfill the packed rates and scores of items stored by versions without trends."""
        old = {"occupancy": {"$exists": True}, "part_rates": {"$exists": False}}
        fields = dict.fromkeys(("occupancy", "scores", *self._subsystem.keys), 1)
        updates = []
        for d in self._collection.find(old, fields):
            changes = {"part_rates": self._subsystem.pack_rates(self._histogram(d))}
            if d.get("scores"):
                changes["part_scores"] = self._subsystem.pack_scores(d["scores"])
            updates.append(UpdateOne({"_id": d["_id"], **old}, {"$set": changes}))
            if len(updates) == UPGRADED_AT_ONCE:
                self._collection.bulk_write(updates, ordered=False)
                updates.clear()
        if updates:
            self._collection.bulk_write(updates, ordered=False)

    def upgrade_contamination(self) -> None:
        """Backfill the sort fields of items labelled by earlier versions."""
        labelled = {"subsystem": self._subsystem.name, "labelled": True}
        self._collection.update_many(labelled, list(contamination.STAGES))

    def upgrade_simulated(self) -> list[int]:
        """Backfill `simulated` for items from a demonstration stored by earlier versions; return their runs."""
        old = {"source": {"$regex": DEMONSTRATION_NAME}}
        self._collection.update_many(old, {"$set": {"simulated": True}})
        return self._collection.distinct("run", old)

    # --- fetching ---

    def stored_places(self, run: int) -> set[Any]:
        """The places of a run whose histograms are stored."""
        wanted = {"run": run, "subsystem": self._subsystem.name, "state": {"$ne": ItemState.MISSING}}
        return {
            self._subsystem.place_of(d) for d in self._collection.find(wanted, dict.fromkeys(self._subsystem.keys, 1))
        }

    def hits(self, run: int) -> dict[Any, int]:
        """place → hits of the stored histogram, for a run."""
        wanted = {"run": run, "subsystem": self._subsystem.name, "state": {"$ne": ItemState.MISSING}}
        found = self._collection.find(wanted, dict.fromkeys(("hits", *self._subsystem.keys), 1))
        return {self._subsystem.place_of(d): d["hits"] for d in found}

    def differing(self, run: int, results: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Those of the given (place, histogram) pairs that differ from the stored histogram."""
        wanted = {"run": run, "subsystem": self._subsystem.name, "state": {"$ne": ItemState.MISSING}}
        found = self._collection.find(wanted, dict.fromkeys(("occupancy", *self._subsystem.keys), 1))
        stored = {self._subsystem.place_of(d): d["occupancy"] for d in found}
        return [(place, result) for place, result in results if result.to_bytes() != stored.get(place)]

    def store(self, run: int, results: Iterable[tuple[Any, Any]], source: str, simulated: bool = False) -> None:
        """Store the results of a source: for each place its histogram, or the `UnusableHistogram` with the reason.

        A histogram replaces a reason, never vice versa.

        Args:
            simulated: whether the source is a demonstration.
        """
        now = datetime.now(UTC)
        came = {"fetched_at": now, "source": source, "simulated": simulated}
        missing = {"state": ItemState.MISSING, "rank": RANK[ItemState.MISSING], "model": None}
        updates = []
        for place, result in results:
            if isinstance(result, UnusableHistogram):
                changes = {
                    "$set": {"missing": result.reason, "detail": result.detail, **came},
                    "$setOnInsert": new_item() | missing,
                }
                # An item with a histogram does not match, and the unique index prevents a second one.
                wanted = {**self._subsystem.identity(run, place), "state": ItemState.MISSING}
            else:
                changes = {
                    "$set": {
                        "occupancy": result.to_bytes(),
                        "hits": result.hits,
                        "part_rates": self._subsystem.pack_rates(result),
                        "state": ItemState.UNSCORED,
                        "rank": RANK[ItemState.UNSCORED],
                        "model": None,
                        **came,
                    },
                    "$unset": dict.fromkeys(("missing", "detail", *OF_SCORES, *contamination.FIELDS), ""),
                    "$setOnInsert": new_item(),
                }
                wanted = self._subsystem.identity(run, place)
            updates.append(UpdateOne(wanted, changes, upsert=True))
        if not updates:
            return
        try:
            self._collection.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            if any(e["code"] != DUPLICATE_KEY for e in error.details["writeErrors"]):
                raise

    def remove_missing(self, run: int) -> None:
        """Delete the missing items of a run that turned out not to exist."""
        self._collection.delete_many({"run": run, "subsystem": self._subsystem.name, "state": ItemState.MISSING})

    # --- scoring ---

    def to_score(self, run: int, model: str) -> list[tuple[Any, Any]]:
        """(place, histogram) of a run's items not scored by this model."""
        wanted = {
            "run": run,
            "subsystem": self._subsystem.name,
            "occupancy": {"$exists": True},
            "model": {"$ne": model},
        }
        fields = dict.fromkeys(("occupancy", *self._subsystem.keys), 1)
        return [(self._subsystem.place_of(d), self._histogram(d)) for d in self._collection.find(wanted, fields)]

    def keep_scores(
        self, run: int, judgements: Iterable[tuple[Any, Judgement, Sequence[Mapping[str, Any]]]], model: str
    ) -> None:
        """Store a model's judgements and the findings for items of a run.

        The scores of other models are first copied to `past_scores`.
        """
        now = datetime.now(UTC)
        scored = []
        for place, judgement, findings in judgements:
            state = ItemState.UNJUDGED if judgement.certainty is None else ItemState.JUDGED
            fields = {
                "state": state,
                "rank": RANK.get(state, judgement.certainty),
                "scores": list(judgement.scores),
                "verdicts": [str(verdict) for verdict in judgement.verdicts],
                "reasons": list(judgement.reasons),
                "findings": list(findings),
                "part_scores": self._subsystem.pack_scores(judgement.scores),
                "worst": judgement.worst,
                "bad": judgement.bad,
                "model": model,
                "scored_at": now,
            }
            for name in ("embedding", "threshold"):
                if getattr(judgement, name) is not None:
                    fields[name] = getattr(judgement, name)
            scored.append(({**self._subsystem.identity(run, place), "occupancy": {"$exists": True}}, fields))
        self._past.copy(self._collection, run, model)
        self._write_scores(scored)

    def restore_scores(self, run: int, model: str, threshold: float) -> None:
        """Restore a model's past scores of a run's items, if they are stored and the histogram is unchanged.

        Args:
            threshold: the current score from which a part is bad; it replaces the one at the time.
        """
        self._past.copy(self._collection, run, model)
        self._write_scores(
            (
                {
                    **self._subsystem.identity(run, self._subsystem.place_of(d)),
                    "occupancy": {"$exists": True},
                    "fetched_at": d["fetched_at"],
                    "model": {"$ne": model},
                },
                {name: d[name] for name in (*FIELDS, *OPTIONAL) if name in d} | _verdicts(d, threshold),
            )
            for d in self._past.of_run(run, model)
        )

    def apply_threshold(self, run: int, model: str, threshold: float) -> None:
        """Renew the verdicts of a run's items scored by this model that are by another threshold.

        Scores and labels stay as they are.
        """
        wanted = self._scored(run) | {"model": model, "threshold": {"$ne": threshold}}
        updates = [
            UpdateOne({"_id": d["_id"], "model": model, "scored_at": d["scored_at"]}, {"$set": _verdicts(d, threshold)})
            for d in self._collection.find(wanted, dict.fromkeys(("scores", "verdicts", "reasons", "scored_at"), 1))
        ]
        if updates:
            self._collection.bulk_write(updates, ordered=False)

    def embeddings(self, run: int, model: str) -> list[tuple[Item, bytes | None]]:
        """A run's items scored by this model, each with its embedding, without histograms."""
        scored = self._scored(run) | {"model": model}
        return [(self.item(d), d.get("embedding")) for d in self._collection.find(scored, {"occupancy": 0})]

    def keep_unlike(self, run: int, model: str, unlike: Iterable[tuple[Any, float | None]]) -> None:
        """Store the distances of items to the model's training data; skip items scored by another model meanwhile."""
        updates = [
            UpdateOne({**self._subsystem.identity(run, place), "model": model}, {"$set": {"unlike": value}})
            for place, value in unlike
            if value is not None
        ]
        if updates:
            self._collection.bulk_write(updates, ordered=False)

    def _write_scores(self, scored: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Set the scoring fields: (filter, fields) of each item. No upsert: items deleted meanwhile stay deleted."""
        updates = []
        for wanted, fields in scored:
            stage: dict[str, Any] = dict.fromkeys(OPTIONAL, "$$REMOVE")
            stage |= {name: {"$literal": value} for name, value in fields.items()}
            is_of_another = {"$ne": ["$model", stage["model"]]}
            stage["recheck"] = {"$or": ["$recheck", {"$and": ["$labelled", is_of_another]}]}
            updates.append(UpdateOne(wanted, [{"$set": stage}, *contamination.STAGES]))
        if updates:
            self._collection.bulk_write(updates, ordered=False)

    def tally(self, run: int) -> Tally:
        """Sum up a run's items, in a single read."""
        names = ("state", "bad", "missing", "hits", "verdicts", "findings", "worst", "rank", "model", "threshold")
        wanted = {"run": run, "subsystem": self._subsystem.name}
        fields = dict.fromkeys((*names, *self._subsystem.keys), 1)
        found = list(self._collection.find(wanted, {**fields, "_id": 0}, batch_size=AT_ONCE))
        counts = {str(state): 0 for state in ItemState}
        reasons: dict[str, int] = {}
        for d in found:
            counts[d["state"]] += 1
            if d["state"] == ItemState.MISSING:
                reasons[d["missing"]] = reasons.get(d["missing"], 0) + 1
        bad = [d["bad"] for d in found if d.get("bad")]
        counts |= {"bad_items": len(bad), "bad_parts": sum(bad)}
        scored = [d for d in found if d.get("model")]
        return Tally(
            counts=counts | self._subsystem.summarise(found),
            reasons=reasons,
            models=frozenset(d["model"] for d in scored),
            thresholds=frozenset(d.get("threshold") for d in scored),
        )

    # --- reading ---

    def get(self, run: int, place: Any) -> Item:
        """Return one item with its histogram.

        Raises:
            NotFound: the run has no such item (yet).
        """
        return self._one(run, place, {"embedding": 0})

    def of_run(self, run: int, histograms: bool = False) -> list[Item]:
        """All items of a run, in the subsystem's order."""
        order = [(key, ASCENDING) for key in ("run", "subsystem", *self._subsystem.keys)]
        fields = {"embedding": 0} if histograms else LARGE
        found = self._collection.find({"run": run, "subsystem": self._subsystem.name}, fields).sort(order)
        return [self.item(d) for d in found]

    def verdicts(self, run: int) -> dict[Any, tuple[Verdict, ...]]:
        """place → the verdicts of its parts, for the judged items of a run."""
        wanted = {"run": run, "subsystem": self._subsystem.name, "state": ItemState.JUDGED}
        found = self._collection.find(wanted, dict.fromkeys(("verdicts", *self._subsystem.keys), 1))
        return {self._subsystem.place_of(d): tuple(map(Verdict, d["verdicts"])) for d in found}

    def of_place(self, place: Any, around: int, each_side: int, histograms: bool = False) -> list[Item]:
        """A place in up to `each_side` runs before and after `around`, by number; real and simulated runs never mix."""
        at = self._subsystem.identity(around, place)
        fields = {"embedding": 0} if histograms else LARGE
        if this := self._collection.find_one(at, {"simulated": 1}):
            at["simulated"] = True if this.get("simulated") else {"$ne": True}
        elif self._together():
            at["simulated"] = {"$ne": True}
        later = self._collection.find({**at, "run": {"$gt": around}}, fields).sort("run", ASCENDING).limit(each_side)
        earlier = self._collection.find({**at, "run": {"$lt": around}}, fields).sort("run", DESCENDING).limit(each_side)
        return [self.item(d) for d in (*reversed(list(earlier)), *later)]

    def history(self, place: Any, first: int, last: int) -> list[tuple[int, str | None, bytes | None, bytes]]:
        """A place over the runs from `first` to `last`: (run, model, packed scores, packed rates) for each.

        Runs in which it is missing are left out; model and scores are None if it is not scored.
        """
        of_runs = {"$gte": first, "$lte": last} | self._together()
        wanted = {"subsystem": self._subsystem.name, **self._subsystem.at(place), "run": of_runs}
        fields = {"_id": 0, "run": 1, "model": 1, "part_scores": 1, "part_rates": 1}
        found = self._collection.find(wanted, fields, batch_size=AT_ONCE).sort("run", ASCENDING).hint("history")
        return [(d["run"], d.get("model"), d.get("part_scores"), d["part_rates"]) for d in found if d.get("part_rates")]

    def look(self, run: int, place: Any) -> Item:
        """Return one item without its histogram.

        Raises:
            NotFound: the run has no such item (yet).
        """
        return self._one(run, place, LARGE)

    def look_at(self, items: Iterable[tuple[int, Any]]) -> list[Item]:
        """Those of the given items (run, place) that exist, without histograms."""
        wanted = [self._subsystem.identity(*where) for where in items]
        if not wanted:
            return []
        return [self.item(d) for d in self._collection.find({"$or": wanted}, LARGE).hint(self._identity)]

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
        return [self.item(d) for d in found]

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
        if "run" not in place and (together := self._together()):
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
        if together := self._together():
            wanted["run"] = together
        return self._collection.count_documents(wanted, hint="disputed")

    def remove_run(self, run: int) -> int:
        """Delete all items of a run; return how many there were."""
        return self._collection.delete_many({"run": run, "subsystem": self._subsystem.name}).deleted_count

    def runs(self) -> list[int]:
        """The numbers of the runs that have items."""
        return self._collection.distinct("run")

    # --- documents ---

    def _one(self, run: int, place: Any, fields: Mapping[str, int]) -> Item:
        document = self._collection.find_one(self._subsystem.identity(run, place), fields)
        if document is None:
            raise NotFound(f"Run {run} has no {place}: it is not loaded.")
        return self.item(document)

    def _filter(self, query: ItemQuery) -> dict[str, Any]:
        wanted: dict[str, Any] = {"state": {"$in": sorted(query.states)}, **query.place}
        wanted["subsystem"] = self._subsystem.name
        if query.model is not None:
            wanted["model"] = {"$in": [query.model] if query.states <= SCORED else [query.model, None]}
        if query.run is not None:
            wanted["run"] = query.run
        elif together := self._together():
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

    def _together(self) -> dict[str, Any]:
        """The condition on the run for lists over several runs; empty if no run is set aside."""
        aside = Runs(beside(self._collection, "runs")).set_aside()
        return {"$nin": aside} if aside else {}

    def _scored(self, run: int) -> dict[str, Any]:
        return {"run": run, "subsystem": self._subsystem.name, "state": {"$in": sorted(SCORED)}}

    def _index(self, query: ItemQuery, rows: int) -> str | list[tuple[str, int]]:
        """The index for the first `rows` rows of a list. Trying all of them would take the database seconds."""
        if query.run is not None:
            return self._identity
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
            there = Runs(beside(self._collection, "runs")).count() * len(places) * share
            if len(query.place) == len(self._subsystem.keys) or there <= MOST_SORTED or there * share < rows:
                return f"list_{next(iter(query.place))}"
        return ordered

    @staticmethod
    def _is_high(query: ItemQuery) -> bool:
        """Whether the matches are contiguous, in the order shown, in an index of high scores."""
        elsewhere = query.run is not None or query.disputed or query.labelled
        return bool(query.sort == "score" and query.place and (query.least or 0) >= HIGH and not elsewhere)

    def _histogram(self, document: Mapping[str, Any]) -> Any:
        return (
            self._subsystem.decode(self._subsystem.place_of(document), document["occupancy"])
            if "occupancy" in document
            else None
        )

    def item(self, d: Mapping[str, Any]) -> Item:
        """Convert a document of the collection into an item."""
        return Item(
            run=d["run"],
            place=self._subsystem.place_of(d),
            state=ItemState(d["state"]),
            missing=Reason(d["missing"]) if d.get("missing") else None,
            detail=d.get("detail", ""),
            histogram=self._histogram(d),
            hits=d.get("hits"),
            judgement=judgement_of(d) if d.get("scores") else None,
            findings=tuple(d.get("findings", ())),
            model=d.get("model") or "",
            source=d.get("source", ""),
            simulated=d.get("simulated", False),
            fetched_at=d.get("fetched_at"),
            scored_at=d.get("scored_at"),
            evaluation=d.get("evaluation"),
            seq=d.get("label_seq", 0),
            labelled=d.get("labelled", False),
            waiting=d.get("waiting", False),
            skipped_by=tuple(d.get("skipped_by", ())),
            labelled_by=tuple(d.get("labelled_by", ())),
            contamination=d.get("contamination"),
            contaminated=d.get("contaminated"),
            held_by=d.get("held_by", ""),
            held_until=d.get("held_until") if d.get("held_by") else None,
            chosen=d.get("chosen", {}),
            known=d.get("known", False),
            unlike=d.get("unlike"),
            called_bad=self._subsystem.parts_called_bad,
        )


def _verdicts(document: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """The scoring fields that depend on the threshold."""
    judgement = at_threshold(judgement_of(document), threshold)
    verdicts, reasons = [str(verdict) for verdict in judgement.verdicts], list(judgement.reasons)
    return {"verdicts": verdicts, "reasons": reasons, "bad": judgement.bad, "threshold": threshold}


def new_item() -> dict[str, Any]:
    """The initial fields of a new item, in addition to its data."""
    begin = {"waiting": True, "labelled": False, "recheck": False, "held_until": FREE, "known": False}
    return {**begin, "draw": random.random()}
