"""The names of collections: those of each subsystem, and those that all share."""

from __future__ import annotations

from dataclasses import dataclass

from pymongo.collection import Collection
from pymongo.database import Database

from app.subsystems import Subsystem


@dataclass(frozen=True)
class Collections:
    """The collections of one subsystem, by what they hold: "items", "runs".

    Each subsystem has its own, so that an index holds only what the lists of that subsystem sort by, and no query can
    mix two of them. The names of one that was there before the others begin with nothing.
    """

    database: Database
    prefix: str

    @classmethod
    def of(cls, database: Database, subsystem: Subsystem) -> Collections:
        return cls(database, "" if subsystem.was_alone else f"{subsystem.name}.")

    def __getitem__(self, what: str) -> Collection:
        return self.database[self.prefix + what]


def beside(collection: Collection, what: str) -> Collection:
    """The collection of the same subsystem that holds something else."""
    prefix, dot, _ = collection.name.rpartition(".")
    return collection.database[prefix + dot + what]
