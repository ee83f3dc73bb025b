"""The collections of a subsystem."""

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
    subsystem: Subsystem

    def __getitem__(self, what: str) -> Collection:
        prefix = "" if self.subsystem.was_alone else f"{self.subsystem.name}."
        return self.database[prefix + what]
