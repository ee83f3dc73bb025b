"""Models, with their evaluations, and the history of their thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.domain.models import ModelState
from app.errors import InvalidInput
from app.ml.models import ALARM, LEAST_THRESHOLD, SHIFTER, Card
from app.transfer.columns import Column, Type
from app.transfer.formats import LONGEST_ROW
from app.transfer.kinds.checks import (
    given_together,
    model_name,
    one_of,
    person_name,
)
from app.transfer.kinds.kind import DataKind, Document, Row


class ModelsKind(DataKind):
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
        name = model_name("name", row["name"])
        state = one_of("state", row["state"], [str(state) for state in ModelState])
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
        override = given_together(row, names, "it was let pass")
        found = {"refused": row["refused"], "check": row["check"]}
        return found | ({} if override is None else {"override": override})

    @staticmethod
    def _evaluation(row: Row) -> Document | None:
        names = {"figures": "evaluation", "pictures": "pictures", "at": "evaluated_at", "by": "evaluated_by"}
        found = given_together(row, names, "there is an evaluation")
        if found is None:
            return None
        pictures = found["pictures"]
        if not isinstance(pictures, dict) or not all(isinstance(picture, str) for picture in pictures.values()):
            raise InvalidInput("pictures", pictures, "an object of names and SVG texts")
        return found


class ThresholdsKind(DataKind):
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
        Column("false_alarms_by_hits", Type.JSON, "the first by hits per cell"),
    )
    own = tuple(column.name for column in columns)

    def row(self, document: Mapping[str, Any]) -> Document:
        return {column.name: document[column.name] for column in self.columns}

    def document(self, row: Row) -> Document:
        model_name("model", row["model"])
        one_of("use", row["use"], (SHIFTER, ALARM))
        person_name("by", row["by"])
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
