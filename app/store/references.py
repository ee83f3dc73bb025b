"""What a model was trained on, in short: one document a model, made once, for measuring how runs differ from it."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import UTC, datetime

import numpy as np
from pymongo.collection import Collection

from app.subsystems.dt.learning.drift import Bins, Reference

_ARRAYS = tuple(field.name for field in fields(Reference) if field.type == "np.ndarray")


class References:
    """The references of all models."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def keep(self, model: str, reference: Reference) -> None:
        """Keep the reference of a model, in place of what there was."""
        arrays = {name: getattr(reference, name) for name in _ARRAYS}
        document = {**asdict(reference), "at": datetime.now(UTC)}
        document |= {
            name: {"shape": list(array.shape), "data": array.astype("<f4").tobytes()} for name, array in arrays.items()
        }
        self._collection.replace_one({"_id": model}, document, upsert=True)

    def get(self, model: str) -> Reference | None:
        """The reference of a model; None where it is not made yet."""
        found = self._collection.find_one({"_id": model}, {"_id": 0, "at": 0})
        if found is None:
            return None
        arrays = {name: np.frombuffer(found[name]["data"], "<f4").reshape(found[name]["shape"]) for name in _ARRAYS}
        bins = {
            field.name: Bins(**{name: tuple(values) for name, values in found[field.name].items()})
            for field in fields(Reference)
            if field.type == "Bins"
        }
        return Reference(**{**found, **arrays, **bins})

    def has(self, model: str) -> bool:
        """Whether a model's reference is made."""
        return self._collection.count_documents({"_id": model}, limit=1) == 1
