"""The registry: every model that this database knows, with its card, its file (in GridFS) and its state.

Which one is active stands in one place, a pointer: so exactly one is, whatever happens. A version is never changed and
never deleted: scores name it. Not for reading model files: see `app.ml.models`.
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
from app.store.figures import Figures, KeptFigures

POINTER = "@active"  # no model can have this name


class Models:
    """The models of one subsystem. Their files lie together, by what is in them."""

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
        """Keep a model as a candidate, or as one that is refused; the same model again is no change.

        Args:
            check: what it forgot.
            works: it has judged already.

        Raises:
            Conflict: there is another model of this name.
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
                    f"There is another model {name} already (sha256 {known.sha256[:12]}…); give this one a new name."
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
            NotFound: there is none of this name; says which there are.
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
        """Keep what a model is worth, in place of what was kept before.

        Raises:
            NotFound: there is no such model.
        """
        self.get(name)
        self._evaluations.keep(name, figures, pictures, by)

    def evaluation(self, name: str) -> KeptFigures | None:
        """What was kept of a model; None where it was not evaluated."""
        return self._evaluations.get(name)

    def evaluated(self) -> set[str]:
        """The models of which something was kept."""
        return set(self._evaluations.known())

    def active_name(self) -> str | None:
        """The model whose scores are shown and ranked by; None in a database that is new."""
        pointer = self._collection.find_one({"_id": POINTER})
        return pointer["name"] if pointer else None

    def activate(self, name: str) -> Model:
        """Put a model into use in place of the one that is; a retired one comes back by this.

        Raises:
            NotFound: there is no such model.
            Conflict: it is refused.
        """
        if self.get(name).refused:
            raise Conflict(
                f"The model {name} is refused: it finds less than the one that was in use; override that first."
            )
        self._collection.update_one({"_id": name}, {"$set": {"retired": False}})
        self._collection.update_one({"_id": POINTER}, {"$set": {"name": name}}, upsert=True)
        return self.get(name)

    def note_works(self, name: str) -> None:
        """Note that a model was loaded and has judged."""
        self._collection.update_one({"_id": name}, {"$set": {"works": True}})

    def activate_first(self, name: str) -> None:
        """Put a model into use where none is."""
        self._collection.update_one({"_id": POINTER}, {"$setOnInsert": {"name": name}}, upsert=True)

    def override(self, name: str, reason: str, by: str) -> Model:
        """Let a refused model be a candidate.

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
        """The model that has this file, if there is one."""
        document = self._collection.find_one({"sha256": sha256})
        return _model(document, self.active_name()) if document else None

    def retire(self, name: str) -> Model:
        """Take a model out of the choice. Its scores stay.

        Raises:
            NotFound: there is no such model.
            Conflict: it is the active one.
        """
        if self.get(name).state is ModelState.ACTIVE:
            raise Conflict(f"The model {name} is in use; activate another first.")
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
