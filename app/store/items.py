"""One document per item: its histogram, its scores and the state of its labels.

Fetching and scoring set only their own fields, each in one atomic and idempotent update that never touches labels. The
disagreement of label and scores depends on both; the database computes it in the update that changes either. Not for
lists, see `item_lists`, nor for leases, see `queue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.errors import BulkWriteError

from app.domain.items import SCORED, Item, ItemState
from app.domain.judgement import Judgement, Verdict, at_threshold
from app.domain.origin import DEMONSTRATION_NAME
from app.errors import NotFound, UnusableHistogram
from app.store import contamination
from app.store.collections import Collections
from app.store.indexes import make_indexes
from app.store.item_documents import LARGE, OF_SCORES, RANK, histogram_of, identity_index, item_of, new_item
from app.store.past_scores import FIELDS, OPTIONAL, PastScores, judgement_of
from app.store.runs import Runs

UPGRADED_AT_ONCE = 1_000  # items
AT_ONCE = 100_000  # rows of a history per batch: more than there are runs, and far below the 16 MB of a reply
DUPLICATE_KEY = 11_000  # MongoDB's code


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

    def __init__(self, collections: Collections) -> None:
        self._collection = collections["items"]
        self._subsystem = collections.subsystem
        self._runs = Runs(collections)
        self._past = PastScores(collections)
        self._identity = identity_index(self._subsystem)

    def make_indexes(self) -> None:
        indexes = [IndexModel(self._identity, unique=True)]
        # One place over all runs: read from a contiguous range of the index only.
        history = ["subsystem", *self._subsystem.keys, "run", "model", "part_scores", "part_rates"]
        indexes.append(IndexModel(history, name="history"))
        make_indexes(self._collection, indexes)

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
            changes = {"part_rates": self._subsystem.pack_rates(histogram_of(self._subsystem, d))}
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
        return [
            (self._subsystem.place_of(d), histogram_of(self._subsystem, d))
            for d in self._collection.find(wanted, fields)
        ]

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
        return [
            (item_of(self._subsystem, d), d.get("embedding")) for d in self._collection.find(scored, {"occupancy": 0})
        ]

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
        fields = {"embedding": 0} if histograms else LARGE
        found = self._collection.find({"run": run, "subsystem": self._subsystem.name}, fields).sort(self._identity)
        return [item_of(self._subsystem, d) for d in found]

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
        elif self._runs.together():
            at["simulated"] = {"$ne": True}
        later = self._collection.find({**at, "run": {"$gt": around}}, fields).sort("run", ASCENDING).limit(each_side)
        earlier = self._collection.find({**at, "run": {"$lt": around}}, fields).sort("run", DESCENDING).limit(each_side)
        return [item_of(self._subsystem, d) for d in (*reversed(list(earlier)), *later)]

    def history(self, place: Any, first: int, last: int) -> list[tuple[int, str | None, bytes | None, bytes]]:
        """A place over the runs from `first` to `last`: (run, model, packed scores, packed rates) for each.

        Runs in which it is missing are left out; model and scores are None if it is not scored.
        """
        of_runs = {"$gte": first, "$lte": last} | self._runs.together()
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
        return [item_of(self._subsystem, d) for d in self._collection.find({"$or": wanted}, LARGE).hint(self._identity)]

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
        return item_of(self._subsystem, document)

    def _scored(self, run: int) -> dict[str, Any]:
        return {"run": run, "subsystem": self._subsystem.name, "state": {"$in": sorted(SCORED)}}


def _verdicts(document: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """The scoring fields that depend on the threshold."""
    judgement = at_threshold(judgement_of(document), threshold)
    verdicts, reasons = [str(verdict) for verdict in judgement.verdicts], list(judgement.reasons)
    return {"verdicts": verdicts, "reasons": reasons, "bad": judgement.bad, "threshold": threshold}
