"""What every kind of data has: columns, and conversion between documents and rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from app.domain.run_numbers import run_number
from app.subsystems import Subsystem
from app.transfer.columns import Column, Type

SIMULATED = Column("simulated", Type.YES_NO, "it comes from a demonstration", optional=True, later=True)

Document = dict[str, Any]
Row = Mapping[str, Any]


class DataKind(ABC):
    """One kind of stored data.

    Attributes:
        name: "scores".
        version: of its columns; incremented when they change.
        words: what it is, for the page.
        columns: of its rows.
        longest: maximum size of a row in a file, in bytes.
    """

    name: str
    version = 1
    longest = 200_000  # an item's counts take 4,000 and its findings 5,000
    words: str
    columns: tuple[Column, ...]
    own: tuple[str, ...]  # fields that make two documents equal; times and names do not matter

    def __init__(self, subsystem: Subsystem) -> None:
        self.subsystem = subsystem

    @abstractmethod
    def row(self, document: Mapping[str, Any]) -> Document:
        """Convert a document to a row: a value for each column."""

    @abstractmethod
    def document(self, row: Row) -> Document:
        """Convert a row, whose values have the types of their columns, to a document.

        Raises:
            InvalidInput, UnusableHistogram: a value is not allowed.
        """

    @abstractmethod
    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        """Filters that each match at most one document: this one, or another in its place."""

    @abstractmethod
    def title(self, document: Mapping[str, Any]) -> str:
        """What a document is about, in a few words."""

    def is_same(self, document: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        """Whether a stored document has the same contents."""
        return all(document.get(name) == known.get(name) for name in self.own)

    def _key_columns(self) -> tuple[Column, ...]:
        return tuple(Column(key, Type.INTEGER, f"{key} of the place") for key in self.subsystem.keys)


class ItemKind(DataKind):
    """One kind of data whose documents each belong to an item of a run."""

    def title(self, document: Mapping[str, Any]) -> str:
        return f"run {document['run']}, {self.subsystem.place_of(document)}"

    def _item_columns(self) -> tuple[Column, ...]:
        return (Column("run", Type.INTEGER, "number of the run"), *self._key_columns())

    def _identity(self, row: Row) -> Document:
        """The run and the place of a row.

        Raises:
            InvalidInput: there is no such run or place.
        """
        return self.subsystem.identity(run_number(row["run"]), self.subsystem.place_of(row))

    def _identity_of(self, document: Mapping[str, Any]) -> Document:
        return {name: document[name] for name in ("run", "subsystem", *self.subsystem.keys)}
