"""The registry: every model in this database, with its card, its file (in GridFS) and its state.

A single pointer names the active model, so exactly one is active, whatever happens. A version is never changed or
deleted, because scores refer to it. Not for reading model files: see `app.ml.models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import gridfs
from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from app.domain.models import Model, ModelState
from app.errors import Conflict, NotFound
from app.store.collections import Collections
from app.store.figures import Figures, StoredFigures

POINTER = "@active"  # not a valid name of a model


class Models:
    """The models of one subsystem. Their files are shared and addressed by content."""

    def __init__(self, collections: Collections) -> None:
        self._collection: Collection = collections["models"]
        self._evaluations = Figures(collections["model_evaluations"])
        self._files = gridfs.GridFSBucket(collections.database, "model_files")

    def add(
        self,
        name: str,
        card: Mapping[str, Any],
        file: bytes,
        by: str,
        check: Mapping[str, Any] | None = None,
        refused: bool = False,
        works: bool = False,
    ) -> Model:
        """Store a model as a candidate, or as refused; storing the same model again changes nothing.

        Args:
            check: what it forgot.
            works: it is known to work.

        Raises:
            Conflict: there is another model with this name.
        """
        sha256 = card["sha256"]
        if not self._collection.database["model_files.files"].find_one({"filename": sha256}):
            self._files.upload_from_stream(sha256, file)
        document = {
            "card": dict(card),
            "sha256": sha256,
            "retired": False,
            "added_at": datetime.now(UTC),
            "added_by": by,
            "check": check and dict(check),
            "refused": refused,
            **({"works": True} if works else {}),
        }
        try:
            self._collection.insert_one({"_id": name, **document})
        except DuplicateKeyError:
            known = self.get(name)
            if known.sha256 != sha256:
                raise Conflict(
                    f"There is already another model {name} (sha256 {known.sha256[:12]}…); give this one a new name."
                ) from None
        return self.get(name)

    def file(self, name: str) -> bytes:
        """The contents of a model's file.

        Raises:
            NotFound: there is no such model.
        """
        return self._files.open_download_stream_by_name(self.get(name).sha256).read()

    def get(self, name: str) -> Model:
        """One model.

        Raises:
            NotFound: there is none with this name; says which there are.
        """
        document = self._collection.find_one({"_id": name}) if name != POINTER else None
        if document is None:
            names = ", ".join(model.name for model in self.all()) or "none yet"
            raise NotFound(f"There is no model {name!r}; there are: {names}.")
        return _model(document, self.active_name())

    def all(self) -> list[Model]:
        """Every model, oldest first."""
        active = self.active_name()
        found = self._collection.find({"_id": {"$ne": POINTER}}).sort([("added_at", ASCENDING), ("_id", ASCENDING)])
        return [_model(document, active) for document in found]

    def keep_evaluation(self, name: str, figures: str, pictures: Mapping[str, str], by: str) -> None:
        """Store the evaluation of a model, replacing the previous one.

        Raises:
            NotFound: there is no such model.
        """
        self.get(name)
        self._evaluations.keep(name, figures, pictures, by)

    def evaluation(self, name: str) -> StoredFigures | None:
        """The stored evaluation of a model; None if it was not evaluated."""
        return self._evaluations.get(name)

    def evaluated(self) -> set[str]:
        """The models with a stored evaluation."""
        return set(self._evaluations.known())

    def active_name(self) -> str | None:
        """The model whose scores are shown and ranked by; None in a new database."""
        pointer = self._collection.find_one({"_id": POINTER})
        return pointer["name"] if pointer else None

    def activate(self, name: str) -> Model:
        """Activate a model, replacing the active one; this also brings back a retired model.

        Raises:
            NotFound: there is no such model.
            Conflict: it is refused.
        """
        if self.get(name).refused:
            raise Conflict(
                f"The model {name} is refused: it finds less than the model that was active; override that first."
            )
        self._collection.update_one({"_id": name}, {"$set": {"retired": False}})
        self._collection.update_one({"_id": POINTER}, {"$set": {"name": name}}, upsert=True)
        return self.get(name)

    def note_works(self, name: str) -> None:
        """Record that a model was loaded and has scored."""
        self._collection.update_one({"_id": name}, {"$set": {"works": True}})

    def activate_first(self, name: str) -> None:
        """Activate a model if none is active."""
        self._collection.update_one({"_id": POINTER}, {"$setOnInsert": {"name": name}}, upsert=True)

    def override(self, name: str, reason: str, by: str) -> Model:
        """Turn a refused model into a candidate.

        Raises:
            NotFound: there is no such model.
            Conflict: it is not refused.
        """
        override = {"reason": reason, "by": by, "at": datetime.now(UTC)}
        wanted = {"_id": name, "refused": True}
        if not self._collection.update_one(wanted, {"$set": {"override": override, "refused": False}}).modified_count:
            raise Conflict(f"The model {name} is not refused; it is {self.get(name).state}.")
        return self.get(name)

    def with_sha256(self, sha256: str) -> Model | None:
        """The model with this file, if there is one."""
        document = self._collection.find_one({"sha256": sha256})
        return _model(document, self.active_name()) if document else None

    def retire(self, name: str) -> Model:
        """Retire a model. Its scores stay.

        Raises:
            NotFound: there is no such model.
            Conflict: it is the active one.
        """
        if self.get(name).state is ModelState.ACTIVE:
            raise Conflict(f"The model {name} is active; activate another one first.")
        self._collection.update_one({"_id": name}, {"$set": {"retired": True}})
        return self.get(name)


def _model(document: Mapping[str, Any], active: str | None) -> Model:
    refused = document.get("refused", False)
    state = ModelState.REFUSED if refused else ModelState.CANDIDATE
    state = ModelState.RETIRED if document["retired"] else state
    return Model(
        name=document["_id"],
        card=document["card"],
        sha256=document["sha256"],
        state=ModelState.ACTIVE if document["_id"] == active else state,
        added_at=document["added_at"],
        added_by=document["added_by"],
        refused=refused,
        check=document.get("check"),
        override=document.get("override"),
        works=document.get("works", False),
    )
