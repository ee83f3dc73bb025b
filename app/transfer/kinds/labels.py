"""What people said: labels of items, and known problems of places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.domain.labels import ANSWERS, MOST_SEQ, EventKind, SkipReason
from app.domain.run_numbers import run_number
from app.errors import InvalidInput
from app.given import within
from app.labelling.problems import checked_parts
from app.subsystems import Subsystem
from app.transfer.columns import Column, Type
from app.transfer.kinds.checks import (
    VERDICTS,
    as_long_as,
    object_id,
    one_of,
    part_number,
    person_name,
)
from app.transfer.kinds.kind import SIMULATED, DataKind, Document, ItemKind, Row


class LabelsKind(ItemKind):
    name = "labels"
    words = "everything that people said of items, also what they withdrew"

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        several = Column("classes", Type.JSON, "part → class, of those not of the first class", optional=True)
        classes = () if subsystem.vocabulary.is_plain else (several,)
        self.columns = (
            Column("id", Type.TEXT, "of this event"),
            Column("key", Type.TEXT, "the client's own name for it"),
            *self._item_columns(),
            Column("seq", Type.INTEGER, "1, 2, … of this item"),
            Column("kind", Type.TEXT, "label, skip, undo or resolve"),
            Column("by", Type.TEXT, "who"),
            Column("at", Type.TIME, "when"),
            Column("bad", Type.INTEGERS, "parts that are bad"),
            *classes,
            Column("reason", Type.TEXT, "why an item was skipped"),
            Column("comment", Type.TEXT, "in the person's words"),
            Column("withdrawn", Type.YES_NO, "a later undo withdrew it"),
            Column("undoes", Type.TEXT, "id of the event that an undo withdraws", optional=True),
            Column("model", Type.TEXT, "whose scores were shown"),
            Column("scored_at", Type.TIME, "when these were made", optional=True),
            Column("scores", Type.NUMBERS, "what was shown, part 1 first"),
            Column("verdicts", Type.TEXTS, "the same, as words"),
            Column("chosen", Type.JSON, "how the item was chosen"),
            Column("seconds", Type.NUMBER, "spent on it", optional=True),
            Column("blind", Type.YES_NO, "a second opinion, given without seeing the first"),
            Column("second", Type.YES_NO, "a first label of which a second opinion is wanted"),
            SIMULATED,
        )
        own = {column.name for column in self.columns} - {"id", "withdrawn", "simulated"}
        self.own = ("_id", *sorted(own))

    def row(self, document: Mapping[str, Any]) -> Document:
        known = {"simulated": False, "classes": None, **document, "id": str(document["_id"])}
        return {column.name: known[column.name] for column in self.columns}

    def document(self, row: Row) -> Document:
        identity = self._identity(row)
        place = self.subsystem.place_of(row)
        kind = one_of("kind", row["kind"], [str(one) for one in EventKind])
        one_of("reason", row["reason"], [str(one) for one in SkipReason])
        within("seq", row["seq"], range(1, MOST_SEQ + 1))
        if (row["undoes"] is None) == (kind == EventKind.UNDO):
            raise InvalidInput("undoes", row["undoes"], "the id of an event for an undo, and nothing else")
        if row["undoes"] is not None:
            object_id("undoes", row["undoes"])
        vocabulary, given = self.subsystem.vocabulary, row.get("classes")
        said = {part_number(part): name for part, name in given.items()} if isinstance(given, dict) else row["bad"]
        answer = self.subsystem.check_answer("bad", said, place)
        bad = list(vocabulary.faults(answer))
        if sorted(row["bad"]) != bad:
            raise InvalidInput("bad", row["bad"], f"{bad}, as the classes say")
        if answer and kind not in ANSWERS:
            raise InvalidInput("bad", bad, f"empty for what is of the kind {kind}")
        for name in ("scores", "verdicts"):
            if row[name]:
                as_long_as(name, row[name], self.subsystem.most_parts)
        for verdict in row["verdicts"]:
            one_of("verdicts", verdict, VERDICTS)
        if not isinstance(row["chosen"], dict):
            raise InvalidInput("chosen", row["chosen"], "a JSON object")
        person_name("by", row["by"])
        if not re.fullmatch("[A-Za-z0-9-]{8,64}", row["key"]):
            raise InvalidInput("key", row["key"], "8 to 64 letters, digits or dashes, such as a UUID")
        document = {name: value for name, value in row.items() if name not in ("id", "withdrawn")}
        document |= {"_id": object_id("id", row["id"]), **identity, "bad": bad}
        document.pop("classes", None)
        if answer and not vocabulary.is_plain:
            document["classes"] = {str(part): name for part, name in answer.items()}
        if document["simulated"] is None:  # from an earlier export: the run decides
            del document["simulated"]
        return document | {"projected": False, "withdrawn": False}  # as if new: derived state is recomputed

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        number = {**self._identity_of(document), "seq": document["seq"]}
        return [{"_id": document["_id"]}, {"key": document["key"]}, number]

    def title(self, document: Mapping[str, Any]) -> str:
        return f"{document['kind']} {document['seq']} of {super().title(document)}"


class ProblemsKind(DataKind):
    name = "problems"
    words = "known problems of places"
    _same_named = ("text", "since", "until", "by", "at", "ended_by", "ended_at")

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self._parts = f"{subsystem.part}s"
        self.columns = (
            Column("id", Type.TEXT, "of the problem"),
            *self._key_columns(),
            Column(self._parts, Type.INTEGERS, "parts that have it"),
            Column("cells", Type.INTEGERS, "first and last cell, from 1; nothing for whole parts", optional=True),
            Column("text", Type.TEXT, "what is wrong, and why"),
            Column("since", Type.INTEGER, "first run with it"),
            Column("until", Type.INTEGER, "last run with it; nothing while it lasts", optional=True),
            Column("by", Type.TEXT, "who noted it"),
            Column("at", Type.TIME, "when"),
            Column("ended_by", Type.TEXT, "who noted its end"),
            Column("ended_at", Type.TIME, "when", optional=True),
        )
        self.own = (*subsystem.keys, self._parts, "cells", *self._same_named)

    def row(self, document: Mapping[str, Any]) -> Document:
        return {c.name: str(document["_id"]) if c.name == "id" else document[c.name] for c in self.columns}

    def document(self, row: Row) -> Document:
        place = self.subsystem.place_of(row)
        subsystem, cells_of = self.subsystem, self.subsystem.parts(place)
        parts = list(checked_parts(self._parts, row[self._parts], place, subsystem))
        if not parts:
            raise InvalidInput(self._parts, [], f"at least one {subsystem.part} of the {subsystem.item}")
        cells = row["cells"]
        if cells is not None:
            first, last = min(cells_of[part].start for part in parts), max(cells_of[part][-1] for part in parts)
            if len(cells) != 2 or not first <= cells[0] <= cells[1] <= last:
                raise InvalidInput("cells", cells, f"a first and a last cell from {first} to {last}")
        run_number(row["since"], "since")
        if row["until"] is not None and run_number(row["until"], "until") < row["since"]:
            raise InvalidInput("until", row["until"], f"a run from {row['since']} on, or nothing")
        person_name("by", row["by"])
        document = {"_id": object_id("id", row["id"]), "subsystem": self.subsystem.name, **self.subsystem.at(place)}
        return document | {self._parts: parts, "cells": cells} | {name: row[name] for name in self._same_named}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [{"_id": document["_id"]}]

    def title(self, document: Mapping[str, Any]) -> str:
        return f"{self.subsystem.place_of(document)}, since run {document['since']}"
