"""Runs, and what is stored of their items: histograms and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.items import ItemState
from app.domain.judgement import Verdict
from app.domain.origin import DEMONSTRATION, SourceKind, told_by
from app.domain.run_numbers import run_number
from app.domain.runs import RunState
from app.errors import InvalidInput, Reason
from app.subsystems import Subsystem
from app.transfer.columns import Column, Type
from app.transfer.kinds.checks import (
    VERDICTS,
    as_long_as,
    model_name,
    not_negative,
    object_id,
    one_of,
    sound_findings,
    whole_counts,
)
from app.transfer.kinds.kind import SIMULATED, DataKind, Document, ItemKind, Row


class RunsKind(DataKind):
    name = "runs"
    words = "the requested runs: state, counts, who and when"
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
        Column("requested_by", Type.TEXT, "who requested it"),
        Column("requested_at", Type.TIME, "when it was requested"),
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
        one_of("state", row["state"], states)
        for name in ("total", "done", "missing"):
            not_negative(name, row[name])
        for name in ("summary", "reasons"):
            whole_counts(name, row[name])
        document = {name: value for name, value in row.items() if value is not None}
        if "source_kind" in document:
            one_of("source_kind", document["source_kind"], [str(kind) for kind in SourceKind])
        elif origin := told_by(document.get("source"), row["done"]):  # exported before source kinds existed
            document |= origin.fields
        is_simulated = document.get("source_kind") == SourceKind.DEMONSTRATION or document.get("simulated", False)
        return {"_id": run_number(document.pop("number"), "number"), **document, "simulated": is_simulated}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [{"_id": document["_id"]}]

    def title(self, document: Mapping[str, Any]) -> str:
        return f"run {document['_id']}"


class HistogramsKind(ItemKind):
    name = "histograms"
    words = "the histograms of the runs, item by item, and why some are missing"
    own = ("occupancy", "missing")

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self.columns = (
            *self._item_columns(),
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
        document = {"_id": object_id("id", row["id"]), **self._identity(row)}
        document |= {"source": row["source"], "fetched_at": row["fetched_at"], "draw": row["draw"]}
        document["simulated"] = row["simulated"] or told_by(row["source"], 1) == DEMONSTRATION
        if not 0 <= row["draw"] < 1:
            raise InvalidInput("draw", row["draw"], "a number from 0 to 1, without 1")
        if row["occupancy"] is None:
            one_of("missing", row["missing"], [str(reason) for reason in Reason])
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


class ScoresKind(ItemKind):
    name = "scores"
    words = "what the network said of each part, and what simple statistics found"
    own = ("model", "scores", "verdicts")
    _lists = ("verdicts", "reasons", "findings")

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self._scores = tuple(f"score_{part}" for part in range(1, self.subsystem.most_parts + 1))
        self.columns = (
            *self._item_columns(),
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
            as_long_as(name, row[name], len(scores))
        for verdict in row["verdicts"]:
            one_of("verdicts", verdict, VERDICTS)
        sound_findings(row["findings"], self.subsystem.part)
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
        model_name("model", row["model"])
        document = {**self._identity(row), "model": row["model"], "scored_at": row["scored_at"], "scores": scores}
        document |= {name: row[name] for name in (*self._lists, "worst", "bad", "recheck")}
        document |= {"rank": row["certainty"]} if judged else {}
        document["state"] = str(ItemState.JUDGED if judged else ItemState.UNJUDGED)
        return document | {n: row[n] for n in ("threshold", "embedding", "simulated") if row[n] is not None}

    def unique(self, document: Mapping[str, Any]) -> list[Document]:
        return [self._identity_of(document)]


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
        return f"{document['model']}, {super().title(document)}"
