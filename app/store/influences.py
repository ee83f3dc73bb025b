"""Influences, which explain the scores of items: one document per item, model and method.

An influence belongs to one state of its item. Once the item is refetched or rescored, the stored influence is never
returned, and is replaced on the next request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne

from app.domain.influence import Influence, Method
from app.domain.items import Item
from app.store.collections import Collections

_ARRAYS = {"cells": 2, "around": 1, "bins": 2, "logit": 1, "expected": 1}  # the fields of an Influence, and their axes
_STATE = ("fetched_at", "scored_at")  # of the explained item


@dataclass(frozen=True, eq=False)
class Explained:
    """The influence on the scores of one item of a run.

    Attributes:
        bad: the parts that this model calls bad or empty.
        strength: the strongest push of one of these parts towards bad, in logits; None if none is bad.
        fetched_at, scored_at: of the item, when this was computed.
    """

    run: int
    place: Any
    model: str
    method: Method
    influence: Influence
    bad: tuple[int, ...]
    strength: float | None
    at: datetime
    fetched_at: datetime | None
    scored_at: datetime | None

    @classmethod
    def of(cls, item: Item, model: str, method: Method, influence: Influence, bad: Iterable[int]) -> Explained:
        """An influence on an item, computed now."""
        bad = tuple(bad)
        rows = [part - 1 for part in bad]
        pushes = influence.cells[rows].clip(min=0).sum(axis=1) + influence.around[rows].clip(min=0)
        strength = float(pushes.max()) if bad else None
        states = (datetime.now(UTC), item.fetched_at, item.scored_at)
        return cls(item.run, item.place, model, method, influence, bad, strength, *states)


class Influences:
    """The influences of all runs of one subsystem."""

    def __init__(self, collections: Collections) -> None:
        self._collection, self._subsystem = collections["influences"], collections.subsystem

    def make_indexes(self) -> None:
        keys = self._subsystem.keys
        ranked = [(name, DESCENDING if name == "strength" else ASCENDING) for name in ("strength", *keys)]
        of_one_kind = [(name, ASCENDING) for name in ("run", "subsystem", "model", "method")]
        where = {"strength": {"$exists": True}}
        self._collection.create_indexes(
            [
                IndexModel(["run", "subsystem", *keys, "model", "method"], unique=True),
                IndexModel([*of_one_kind, *ranked], partialFilterExpression=where),
                IndexModel([*of_one_kind, *((name, ASCENDING) for name in (*keys, *_STATE))]),  # answers `missing`
            ]
        )

    def keep(self, those: Sequence[Explained]) -> None:
        """Store influences, replacing those of the same items, models and methods."""
        replacements = [ReplaceOne(self._identity(one), self._document(one), upsert=True) for one in those]
        if replacements:
            self._collection.bulk_write(replacements, ordered=False)

    def get(self, item: Item, model: str, method: Method) -> Explained | None:
        """The influence on the current scores of an item; None if there is none yet."""
        state = {name: getattr(item, name) for name in _STATE}
        found = self._collection.find_one(self._of_item(item.run, item.place, model, method) | state)
        return self._explained(found) if found else None

    def missing(self, run: int, items: Iterable[Item], model: str, method: Method) -> list[Item]:
        """The items of a run that have a histogram, but no influence for their current state."""
        fields = dict.fromkeys((*self._subsystem.keys, *_STATE), 1) | {"_id": 0}
        kept = {
            self._subsystem.place_of(d): tuple(d[name] for name in _STATE)
            for d in self._collection.find(self._of_run(run, model, method), fields)
        }
        with_histogram = (item for item in items if item.hits is not None)
        return [item for item in with_histogram if kept.get(item.place) != (item.fetched_at, item.scored_at)]

    def largest(self, run: int, model: str, method: Method, skip: int = 0, limit: int = 24) -> list[Explained]:
        """A page of a run's items with bad parts, strongest push towards bad first."""
        order = [("strength", DESCENDING), *((key, ASCENDING) for key in self._subsystem.keys)]
        found = self._collection.find(self._ranked(run, model, method)).sort(order).skip(skip).limit(limit)
        return [self._explained(d) for d in found]

    def count(self, run: int, model: str, method: Method) -> int:
        """The number of items of `largest` over all pages."""
        return self._collection.count_documents(self._ranked(run, model, method))

    def remove_run(self, run: int) -> int:
        """Delete all influences of a run; returns their number."""
        return self._collection.delete_many({"run": run, "subsystem": self._subsystem.name}).deleted_count

    def runs(self) -> list[int]:
        """The numbers of the runs that have influences."""
        return self._collection.distinct("run")

    # --- documents ---

    def _of_run(self, run: int, model: str, method: Method) -> dict[str, Any]:
        return {"run": run, "subsystem": self._subsystem.name, "model": model, "method": str(method)}

    def _ranked(self, run: int, model: str, method: Method) -> dict[str, Any]:
        return self._of_run(run, model, method) | {"strength": {"$exists": True}}

    def _of_item(self, run: int, place: Any, model: str, method: Method) -> dict[str, Any]:
        return self._of_run(run, model, method) | self._subsystem.at(place)

    def _identity(self, one: Explained) -> dict[str, Any]:
        return self._of_item(one.run, one.place, one.model, one.method)

    def _document(self, one: Explained) -> dict[str, Any]:
        arrays = {name: getattr(one.influence, name).astype("<f4").tobytes() for name in _ARRAYS}
        states = {name: getattr(one, name) for name in ("at", *_STATE)}
        strength = {} if one.strength is None else {"strength": one.strength}
        return self._identity(one) | arrays | states | strength | {"bad": list(one.bad)}

    def _explained(self, d: Mapping[str, Any]) -> Explained:
        arrays = {name: np.frombuffer(d[name], "<f4").astype(np.float32, copy=False) for name in _ARRAYS}
        parts = arrays["logit"].size
        shaped = {name: array.reshape(parts, -1) if _ARRAYS[name] == 2 else array for name, array in arrays.items()}
        return Explained(
            run=d["run"],
            place=self._subsystem.place_of(d),
            model=d["model"],
            method=Method(d["method"]),
            influence=Influence(**shaped),
            bad=tuple(d["bad"]),
            strength=d.get("strength"),
            **{name: d[name] for name in ("at", *_STATE)},
        )
