"""The names of collections: those of each subsystem, and the shared ones."""

from __future__ import annotations

from dataclasses import dataclass

from pymongo.collection import Collection
from pymongo.database import Database

from app.subsystems import Subsystem


@dataclass(frozen=True)
class Collections:
    """The collections of one subsystem, by what they hold: "items", "runs".

    Each subsystem has its own, so that an index holds only what that subsystem's lists sort by, and no query can mix
    two subsystems. The subsystem that was there first has no prefix.
    """

    database: Database
    prefix: str

    @classmethod
    def of(cls, database: Database, subsystem: Subsystem) -> Collections:
        return cls(database, "" if subsystem.was_alone else f"{subsystem.name}.")

    def __getitem__(self, what: str) -> Collection:
        return self.database[self.prefix + what]


def beside(collection: Collection, what: str) -> Collection:
    """The collection of the same subsystem with other contents."""
    prefix, dot, _ = collection.name.rpartition(".")
    return collection.database[prefix + dot + what]
