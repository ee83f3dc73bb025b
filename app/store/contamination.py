"""The disagreement of an item's label and scores, computed by the database in the update that changes either.

Contamination is the greatest |score − label| over the judged parts, where the label of a part is 1 if it is bad and 0
otherwise; `contaminated` is the first part that has it. Both are absent if the item is unlabelled, disputed or without
scores.
"""

from __future__ import annotations

from typing import Any

from app.domain.labels import LabelState

FIELDS = ("contamination", "contaminated", "contaminated_score", "contaminated_bad", "called_bad", "scored_and_said")

# |score − label| for each part, null without a score.
_DISAGREEMENTS: dict[str, Any] = {
    "$map": {
        "input": {"$range": [0, {"$size": "$scores"}]},
        "as": "row",
        "in": {
            "$abs": {
                "$subtract": [
                    {"$arrayElemAt": ["$scores", "$$row"]},
                    {"$toInt": {"$in": [{"$add": ["$$row", 1]}, "$evaluation.bad"]}},
                ]
            }
        },
    }
}

_IS_LABELLED = {
    "$and": [{"$eq": ["$labelled", True]}, {"$ne": ["$evaluation.state", str(LabelState.DISPUTED)]}],
}
_HAS_BOTH = {"$and": [_IS_LABELLED, {"$isArray": "$scores"}]}


def _where_known(value: Any) -> dict[str, Any]:
    """The value if there is a contamination; otherwise the field is absent."""
    return {"$cond": [{"$gt": ["$contamination", None]}, value, "$$REMOVE"]}


# Append to the pipeline of an update.
STAGES: tuple[dict[str, Any], ...] = (
    {
        "$set": {
            "contamination": {"$cond": [_HAS_BOTH, {"$max": _DISAGREEMENTS}, None]},
            "scored_and_said": {
                "$cond": [
                    _HAS_BOTH,
                    {"scores": "$scores", "bad": "$evaluation.bad"},  # one value, so that it can be indexed
                    "$$REMOVE",
                ]
            },
            "called_bad": {"$cond": [_IS_LABELLED, {"$size": "$evaluation.bad"}, "$$REMOVE"]},
        }
    },
    {
        "$set": {
            "contamination": _where_known("$contamination"),
            "contaminated": _where_known({"$add": [1, {"$indexOfArray": [_DISAGREEMENTS, "$contamination"]}]}),
        }
    },
    {
        "$set": {
            "contaminated_score": _where_known({"$arrayElemAt": ["$scores", {"$subtract": ["$contaminated", 1]}]}),
            "contaminated_bad": _where_known({"$in": ["$contaminated", "$evaluation.bad"]}),
        }
    },
)
