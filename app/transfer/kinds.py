"""The kinds of data that can be exported and imported: their columns, and conversion between documents and rows.

Rows from outside are validated as strictly as other input: any document that is created here may be stored. Derived
state (the label state of an item, its disagreement with the network, the known problems that cover it) is in no kind;
it is recomputed. Leases on items are not exported either. Accounts and passwords never leave the database. Database
access is in `app.store.transfer`.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bson import ObjectId
from pydantic import ValidationError

from app.domain.items import ItemState
from app.domain.judgement import Verdict
from app.domain.labels import MOST_SEQ, SkipReason
from app.domain.labels import Kind as EventKind
from app.domain.models import ModelState
from app.domain.origin import DEMONSTRATION, SourceKind, told_by
from app.domain.run_numbers import run_number
from app.domain.runs import RunState
from app.errors import InvalidInput, Reason
from app.given import sound_name, whole_number, within
from app.labelling.problems import checked_parts
from app.ml.models import ALARM, LEAST_THRESHOLD, NAME, SHIFTER, Card
from app.subsystems import Subsystem
from app.transfer.columns import Column, Type
from app.transfer.formats import LONGEST_ROW

SIMULATED = Column("simulated", Type.YES_NO, "it comes from a demonstration", optional=True, later=True)

VERDICTS = tuple(map(str, Verdict))

Document = dict[str, Any]
Row = Mapping[str, Any]


class Kind(ABC):
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

    def _place_columns(self) -> tuple[Column, ...]:
        return (
            Column("run", Type.INTEGER, "number of the run"),
            *(Column(key, Type.INTEGER, f"{key} of the place") for key in self.subsystem.keys),
        )

    def _identity(self, row: Row) -> Document:
        """The run and the place of a row.

        Raises:
            InvalidInput: there is no such run or place.
        """
        return self.subsystem.identity(run_number(row["run"]), self.subsystem.place_of(row))

    def _identity_of(self, document: Mapping[str, Any]) -> Document:
        return {name: document[name] for name in ("run", "subsystem", *self.subsystem.keys)}

    def _title_of_place(self, document: Mapping[str, Any]) -> str:
        return f"run {document['run']}, {self.subsystem.place_of(document)}"

    @cached_property
    def _most_parts(self) -> int:
        return self.subsystem.most_parts


class RunsKind(Kind):
    name = "runs"
    words = "the runs that were asked for: state, counts, who and when"
    columns = (
        Column("number", Type.INTEGER, "number of the run"),
        Column("state", Type.TEXT, "waiting, fetching, scoring, finished, not_found or failed"),
        Column("total", Type.INTEGER, "items of the run"),
        Column("done", Type.INTEGER, "items with a histogram"),
        Column("missing", Type.INTEGER, "items that cannot be had"),
        Column("rate", Type.NUMBER, "items a second when it was fetched", optional=True),
        Column("why", Type.TEXT, "why it failed or was not found"),
        Column("source", Type.TEXT, "where its histograms came from", optional=True),
        Column("source_kind", Type.TEXT, "dqm, demonstration, root or import", optional=True, later=True),
        Column("unsettled", Type.YES_NO, "perhaps it was still being taken then", optional=True, later=True),
        SIMULATED,
        Column("requested_by", Type.TEXT, "who asked for it"),
        Column("requested_at", Type.TIME, "when it was asked for"),
        Column("started_at", Type.TIME, "when fetching began", optional=True),
        Column("finished_at", Type.TIME, "when it was fetched and scored", optional=True),
        Column("model", Type.TEXT, "the model that scored it", optional=True),
        Column("summary", Type.JSON, "counts over its items"),
        Column("reasons", Type.JSON, "how many items are missing for each reason"),
    )
    own = ("state", "total", "done", "missing", "model", "summary", "reasons")

    def row(self, document: Mapping[str, Any]) -> Document:
        return {c.name: document["_id"] if c.name == "number" else document.get(c.name) for c in self.columns}

    def document(self, row: Row) -> Document:
        states = [str(state) for state in RunState if state is not RunState.DELETING]
        _one_of("state", row["state"], states)
        for name in ("total", "done", "missing"):
            _not_negative(name, row[name])
        for name in ("summary", "reasons"):
            _counts(name, row[name])
        document = {name: value for name, value in row.items() if value is not None}
        if "source_kind" in document:
            _one_of("source_kind", document["source_kind"], [str(kind) for kind in SourceKind])
        elif origin := told_by(document.get("source"), row["done"]):  # exported before source kinds existed
            document |= origin.fields
        is_simulated = document.get("source_kind") == SourceKind.DEMONSTRATION or document.get("simulated", False)
        return {"_id": run_number(document.pop("number"), "number"), **document, "simulated": is_simulated}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [{"_id": document["_id"]}]

    def title(self, document: Mapping[str, Any]) -> str:
        return f"run {document['_id']}"


class HistogramsKind(Kind):
    name = "histograms"
    words = "the histograms of the runs, item by item, and why some are missing"
    own = ("occupancy", "missing")

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self.columns = (
            *self._place_columns(),
            Column("hits", Type.INTEGER, "all hits on existing cells", optional=True),
            Column("missing", Type.TEXT, "why there is no histogram", optional=True),
            Column("detail", Type.TEXT, "what exactly was seen in place of it", optional=True),
            Column("source", Type.TEXT, "where it came from"),
            SIMULATED,
            Column("fetched_at", Type.TIME, "when it was fetched"),
            Column("id", Type.TEXT, "of the item in the database"),
            Column("draw", Type.NUMBER, "a number from 0 to 1, by which random controls are drawn"),
            Column(
                "occupancy",
                Type.ROWS,
                "rows of counts, the first of part 1; -1 where no cell exists",
                optional=True,
            ),
        )

    def row(self, document: Mapping[str, Any]) -> Document:
        row = {column.name: document.get(column.name) for column in self.columns}
        row |= {"id": str(document["_id"]), "simulated": document.get("simulated", False)}
        if "occupancy" in document:
            place = self.subsystem.place_of(document)
            row["occupancy"] = self.subsystem.to_rows(self.subsystem.decode(place, document["occupancy"]))
        return row

    def document(self, row: Row) -> Document:
        document = {"_id": _object_id("id", row["id"]), **self._identity(row)}
        document |= {"source": row["source"], "fetched_at": row["fetched_at"], "draw": row["draw"]}
        document["simulated"] = row["simulated"] or told_by(row["source"], 1) == DEMONSTRATION
        if not 0 <= row["draw"] < 1:
            raise InvalidInput("draw", row["draw"], "a number from 0 to 1, without 1")
        if row["occupancy"] is None:
            _one_of("missing", row["missing"], [str(reason) for reason in Reason])
            return {**document, "missing": row["missing"], "detail": row["detail"] or ""}
        if row["missing"] is not None:
            raise InvalidInput("missing", row["missing"], "nothing, where there is an occupancy")
        histogram = self.subsystem.from_rows(self.subsystem.place_of(document), row["occupancy"])
        hits = histogram.hits
        if row["hits"] != hits:
            raise InvalidInput("hits", row["hits"], f"{hits}, which the occupancy has")
        return {**document, "occupancy": histogram.to_bytes(), "hits": hits}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [self._identity_of(document), {"_id": document["_id"]}]

    def title(self, document: Mapping[str, Any]) -> str:
        return self._title_of_place(document)


class ScoresKind(Kind):
    name = "scores"
    words = "what the network said of each part, and what simple statistics found"
    own = ("model", "scores", "verdicts")
    _lists = ("verdicts", "reasons", "findings")

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self._scores = tuple(f"score_{part}" for part in range(1, self._most_parts + 1))
        self.columns = (
            *self._place_columns(),
            Column("model", Type.TEXT, "whose scores they are"),
            Column("scored_at", Type.TIME, "when"),
            Column("threshold", Type.NUMBER, "score from which a part was called bad, where known", optional=True),
            Column("certainty", Type.NUMBER, "least |0.5 - score| over the judged parts", optional=True),
            Column("worst", Type.NUMBER, "greatest score", optional=True),
            Column("bad", Type.INTEGER, "how many parts are bad or empty"),
            *(
                Column(name, Type.NUMBER, f"P(bad) of part {part}; nothing where it is absent or unjudged", True)
                for part, name in enumerate(self._scores, start=1)
            ),
            Column("verdicts", Type.TEXTS, "a word a part: good, bad, empty, unjudged, absent"),
            Column("reasons", Type.TEXTS, "a phrase a part, empty where there is nothing to say"),
            Column("findings", Type.JSON, "what simple statistics found: part, kind, cells"),
            Column("recheck", Type.YES_NO, "labelled, and the disagreement with these scores sent nobody there yet"),
            Column("embedding", Type.BYTES, "how the network sees the item, float16", optional=True),
            SIMULATED,
        )

    def row(self, document: Mapping[str, Any]) -> Document:
        row = {column.name: document.get(column.name) for column in self.columns}
        row |= {name: document.get(name, False) for name in ("recheck", "simulated")}
        row["findings"] = document.get("findings", [])
        row["certainty"] = document["rank"] if document["state"] == ItemState.JUDGED else None
        return row | dict(zip(self._scores, document["scores"], strict=True))

    def document(self, row: Row) -> Document:
        scores = [row[name] for name in self._scores]
        judged = [score for score in scores if score is not None]
        for name, score in zip(self._scores, scores, strict=True):
            if score is not None and not 0 <= score <= 1:
                raise InvalidInput(name, score, "a number from 0 to 1, or nothing")
        for name in ("verdicts", "reasons"):
            _as_long_as(name, row[name], len(scores))
        for verdict in row["verdicts"]:
            _one_of("verdicts", verdict, VERDICTS)
        _findings(row["findings"], self.subsystem.part)
        if row["threshold"] is not None and not 0 < row["threshold"] <= 1:
            raise InvalidInput("threshold", row["threshold"], "a number above 0, and 1 at most, or nothing")
        expected = {
            "certainty": min((abs(0.5 - score) for score in judged), default=None),
            "worst": max(judged, default=None),
            "bad": sum(verdict in (Verdict.BAD, Verdict.EMPTY) for verdict in row["verdicts"]),
        }
        for name, value in expected.items():
            if row[name] != value:
                raise InvalidInput(name, row[name], f"{value}, which follows from the scores and verdicts")
        _model_name("model", row["model"])
        document = {**self._identity(row), "model": row["model"], "scored_at": row["scored_at"], "scores": scores}
        document |= {name: row[name] for name in (*self._lists, "worst", "bad", "recheck")}
        document |= {"rank": row["certainty"]} if judged else {}
        document["state"] = str(ItemState.JUDGED if judged else ItemState.UNJUDGED)
        return document | {n: row[n] for n in ("threshold", "embedding", "simulated") if row[n] is not None}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [self._identity_of(document)]

    def title(self, document: Mapping[str, Any]) -> str:
        return self._title_of_place(document)


class PastScoresKind(ScoresKind):
    name = "past_scores"
    words = "what models said of parts before the scores of others took their place"

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        fetched_at = Column("fetched_at", Type.TIME, "when the histogram was fetched that they are of")
        kept = (column for column in self.columns if column.name not in ("recheck", "simulated"))
        self.columns = (*kept, fetched_at)

    def document(self, row: Row) -> Document:
        document = super().document({**row, "recheck": False, "simulated": None}) | {"fetched_at": row["fetched_at"]}
        return {name: value for name, value in document.items() if name != "recheck"}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [{**self._identity_of(document), "model": document["model"]}]

    def title(self, document: Mapping[str, Any]) -> str:
        return f"{document['model']}, {self._title_of_place(document)}"


class LabelsKind(Kind):
    name = "labels"
    words = "everything that people said of items, also what they withdrew"

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        several = Column("classes", Type.JSON, "part → class, of those not of the first class", optional=True)
        classes = () if subsystem.vocabulary.is_plain else (several,)
        self.columns = (
            Column("id", Type.TEXT, "of this event"),
            Column("key", Type.TEXT, "the client's own name for it"),
            *self._place_columns(),
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
        kind = _one_of("kind", row["kind"], [str(one) for one in EventKind])
        _one_of("reason", row["reason"], [str(one) for one in SkipReason])
        within("seq", row["seq"], range(1, MOST_SEQ + 1))
        if (row["undoes"] is None) == (kind == EventKind.UNDO):
            raise InvalidInput("undoes", row["undoes"], "the id of an event for an undo, and nothing else")
        if row["undoes"] is not None:
            _object_id("undoes", row["undoes"])
        vocabulary, given = self.subsystem.vocabulary, row.get("classes")
        said = {_part(part): name for part, name in given.items()} if isinstance(given, dict) else row["bad"]
        answer = self.subsystem.check_answer("bad", said, place)
        bad = list(vocabulary.faults(answer))
        if sorted(row["bad"]) != bad:
            raise InvalidInput("bad", row["bad"], f"{bad}, as the classes say")
        if answer and kind not in (EventKind.LABEL, EventKind.RESOLVE):
            raise InvalidInput("bad", bad, f"empty for what is of the kind {kind}")
        for name in ("scores", "verdicts"):
            if row[name]:
                _as_long_as(name, row[name], self._most_parts)
        for verdict in row["verdicts"]:
            _one_of("verdicts", verdict, VERDICTS)
        if not isinstance(row["chosen"], dict):
            raise InvalidInput("chosen", row["chosen"], "a JSON object")
        _name("by", row["by"])
        if not re.fullmatch("[A-Za-z0-9-]{8,64}", row["key"]):
            raise InvalidInput("key", row["key"], "8 to 64 letters, digits or dashes, such as a UUID")
        document = {name: value for name, value in row.items() if name not in ("id", "withdrawn")}
        document |= {"_id": _object_id("id", row["id"]), **identity, "bad": bad}
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
        return f"{document['kind']} {document['seq']} of {self._title_of_place(document)}"


class ProblemsKind(Kind):
    name = "problems"
    words = "known problems of places"
    _same_named = ("text", "since", "until", "by", "at", "ended_by", "ended_at")

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self._parts = f"{subsystem.part}s"
        self.columns = (
            Column("id", Type.TEXT, "of the problem"),
            *self._place_columns()[1:],
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
        _name("by", row["by"])
        document = {"_id": _object_id("id", row["id"]), "subsystem": self.subsystem.name, **self.subsystem.at(place)}
        return document | {self._parts: parts, "cells": cells} | {name: row[name] for name in self._same_named}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [{"_id": document["_id"]}]

    def title(self, document: Mapping[str, Any]) -> str:
        return f"{self.subsystem.place_of(document)}, since run {document['since']}"


class ModelsKind(Kind):
    """Documents here are those of a model with its `file`, its `evaluation` and whether it is `active`."""

    name = "models"
    longest = LONGEST_ROW
    words = "the models with their cards, their files and what they were found to be worth"
    columns = (
        Column("name", Type.TEXT, "what scores name"),
        Column("state", Type.TEXT, "active, candidate, retired or refused"),
        Column("added_at", Type.TIME, "when it was added"),
        Column("added_by", Type.TEXT, "who added it"),
        Column("sha256", Type.TEXT, "of its file"),
        Column("card", Type.JSON, "what is known of it"),
        Column("refused", Type.YES_NO, "it forgot too much, and nobody let it pass"),
        Column("check", Type.JSON, "what it forgot, where it was made from labels", optional=True),
        Column("overridden_at", Type.TIME, "when it was let pass although it was refused", optional=True),
        Column("overridden_by", Type.TEXT, "who let it pass", optional=True),
        Column("overridden_for", Type.TEXT, "the reason", optional=True),
        Column("evaluated_at", Type.TIME, "when it was evaluated", optional=True),
        Column("evaluated_by", Type.TEXT, "who kept the evaluation", optional=True),
        Column("evaluation", Type.TEXT, "figures, as JSON", optional=True),
        Column("pictures", Type.JSON, "of the evaluation: a name and an SVG each", optional=True),
        Column("file", Type.BYTES, "the network itself, a Keras file"),
    )
    own = ("sha256", "card")

    def row(self, document: Mapping[str, Any]) -> Document:
        evaluation, override = document["evaluation"] or {}, document.get("override") or {}
        refused = document.get("refused", False)
        state = ModelState.REFUSED if refused else ModelState.CANDIDATE
        state = ModelState.RETIRED if document["retired"] else state
        return {
            "name": document["_id"],
            "state": str(ModelState.ACTIVE if document["active"] else state),
            **{name: document[name] for name in ("added_at", "added_by", "sha256", "card", "file")},
            "refused": refused,
            "check": document.get("check"),
            "overridden_at": override.get("at"),
            "overridden_by": override.get("by"),
            "overridden_for": override.get("reason"),
            "evaluated_at": evaluation.get("at"),
            "evaluated_by": evaluation.get("by"),
            "evaluation": evaluation.get("figures"),
            "pictures": evaluation.get("pictures"),
        }

    def document(self, row: Row) -> Document:
        name = _model_name("name", row["name"])
        state = _one_of("state", row["state"], [str(state) for state in ModelState])
        try:
            card = Card.model_validate(row["card"])
        except ValidationError as error:
            where = ".".join(map(str, ("card", *error.errors()[0]["loc"])))
            raise InvalidInput(where, error.errors()[0]["input"], "as the card of a model has it") from None
        sha256 = hashlib.sha256(row["file"]).hexdigest()
        if card.name != name:
            raise InvalidInput("card.name", card.name, f"{name}, as the model's name")
        if not row["sha256"] == card.sha256 == sha256:
            raise InvalidInput("sha256", row["sha256"], f"{sha256}, that of the file, on the card too")
        document = {"_id": name, "card": row["card"], "sha256": sha256, "retired": state == ModelState.RETIRED}
        document |= {"added_at": row["added_at"], "added_by": row["added_by"], "file": row["file"]}
        document |= self._check(row, state)
        return document | {"active": state == ModelState.ACTIVE, "evaluation": self._evaluation(row)}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [{"_id": document["_id"]}]

    def title(self, document: Mapping[str, Any]) -> str:
        return document["_id"]

    def _check(self, row: Row, state: str) -> Document:
        """How much it forgot, and whether it may be activated nevertheless."""
        if row["refused"] and state not in (ModelState.REFUSED, ModelState.RETIRED):
            raise InvalidInput("refused", True, f"false, where the state is {state}")
        if state == ModelState.REFUSED and not row["refused"]:
            raise InvalidInput("refused", False, "true, where the state is refused")
        if row["refused"] and row["check"] is None:
            raise InvalidInput("check", None, "given, where a model is refused")
        if row["check"] is not None:
            try:
                self.subsystem.learning().found(row["check"])
            except ValidationError:
                raise InvalidInput("check", row["check"], "what `flask models show` has of a model") from None
        names = {"reason": "overridden_for", "by": "overridden_by", "at": "overridden_at"}
        override = _together(row, names, "it was let pass")
        found = {"refused": row["refused"], "check": row["check"]}
        return found | ({} if override is None else {"override": override})

    @staticmethod
    def _evaluation(row: Row) -> Document | None:
        names = {"figures": "evaluation", "pictures": "pictures", "at": "evaluated_at", "by": "evaluated_by"}
        found = _together(row, names, "there is an evaluation")
        if found is None:
            return None
        pictures = found["pictures"]
        if not isinstance(pictures, dict) or not all(isinstance(picture, str) for picture in pictures.values()):
            raise InvalidInput("pictures", pictures, "an object of names and SVG texts")
        return found


class ThresholdsKind(Kind):
    name = "thresholds"
    words = "the thresholds that were set for models: which, who, when and why"
    columns = (
        Column("model", Type.TEXT, "whose it is"),
        Column("use", Type.TEXT, "shifter or alarm"),
        Column("score", Type.NUMBER, "from which a part is bad"),
        Column("before", Type.NUMBER, "what it stood at until then", optional=True),
        Column("why", Type.TEXT, "the reason"),
        Column("by", Type.TEXT, "who set it"),
        Column("at", Type.TIME, "when"),
        Column("false_alarms", Type.NUMBER, "share of good parts called bad, as known then", optional=True),
        Column("found", Type.NUMBER, "share of bad parts called bad, as known then", optional=True),
        Column("false_alarms_by_hits", Type.JSON, "the first by hits a cell"),
    )
    own = tuple(column.name for column in columns)

    def row(self, document: Mapping[str, Any]) -> Document:
        return {column.name: document[column.name] for column in self.columns}

    def document(self, row: Row) -> Document:
        _model_name("model", row["model"])
        _one_of("use", row["use"], (SHIFTER, ALARM))
        _name("by", row["by"])
        for name in ("score", "before", "false_alarms", "found"):
            least = LEAST_THRESHOLD if name in ("score", "before") else 0
            if row[name] is not None and not least <= row[name] <= 1:
                raise InvalidInput(name, row[name], f"a number from {least:g} to 1")
        by_hits = row["false_alarms_by_hits"]
        if not isinstance(by_hits, dict) or not all(type(share) in (int, float) for share in by_hits.values()):
            raise InvalidInput("false_alarms_by_hits", by_hits, "an object of numbers")
        return dict(row)

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [{name: document[name] for name in ("model", "use", "at")}]

    def title(self, document: Mapping[str, Any]) -> str:
        return f"{document['model']}, {document['use']} {document['score']:g}"


def all_kinds(subsystem: Subsystem) -> dict[str, Kind]:
    """name → kind, in import order: prerequisites come first."""
    kinds = (
        RunsKind,
        HistogramsKind,
        ModelsKind,
        ThresholdsKind,
        LabelsKind,
        ScoresKind,
        PastScoresKind,
        ProblemsKind,
    )
    return {kind.name: kind(subsystem) for kind in kinds}


def _together(row: Row, names: Mapping[str, str], where: str) -> Document | None:
    """field → value, for columns that are given together or not at all."""
    found = {field: row[name] for field, name in names.items()}
    missing = [names[field] for field, value in found.items() if value is None]
    if missing and len(missing) < len(found):
        raise InvalidInput(missing[0], None, f"given, where {where}")
    return None if missing else found


def _one_of(field: str, value: str | None, accepted: Sequence[str]) -> str:
    if value not in accepted:
        raise InvalidInput(field, value, "one of " + ", ".join(one or "an empty text" for one in accepted))
    return value


def _not_negative(field: str, value: int) -> None:
    if value < 0:
        raise InvalidInput(field, value, "0 or more")


def _as_long_as(field: str, value: Sequence[Any], length: int) -> None:
    if len(value) != length:
        raise InvalidInput(field, value, f"a list of {length}, one a part")


def _counts(field: str, value: Any) -> None:
    def are_counts(one: Any) -> bool:
        return all(map(are_counts, one.values())) if isinstance(one, dict) else type(one) is int

    if not isinstance(value, dict) or not are_counts(value):
        raise InvalidInput(field, value, "an object of whole numbers, or of such objects")


def _findings(value: Any, part: str) -> None:
    if not isinstance(value, list) or not all(_is_finding(one, part) for one in value):
        raise InvalidInput("findings", value, f"a list of objects with {part}, kind, cells, text and makes_bad")


def _is_finding(one: Document, part: str) -> bool:
    return (
        type(one.get(part)) is int
        and isinstance(one.get("kind"), str)
        and isinstance(one.get("text"), str)
        and isinstance(one.get("makes_bad"), bool)
        and type(one.get("significance", 0.0)) in (int, float)
    )


def _name(field: str, value: str) -> None:
    if sound_name(field, value) != value:
        raise InvalidInput(field, value, "the same without blanks around it, with its accents composed (NFC)")


def _model_name(field: str, value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise InvalidInput(field, value, "the name of a model: small letters, digits, dots, dashes")
    return value


def _part(text: str) -> Any:
    """A part number given as a JSON key; the text itself if it is not a number, for the error that follows."""
    try:
        return whole_number(text)
    except ValueError:
        return text


def _object_id(field: str, value: str) -> ObjectId:
    if not re.fullmatch("[0-9a-f]{24}", value):
        raise InvalidInput(field, value, "24 hexadecimal digits")
    return ObjectId(value)
