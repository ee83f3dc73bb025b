"""How far the label and the scores of an item disagree, worked out by the database in the update that changes either.

Contamination is the greatest |score − label| over the judged layers, the label of a layer being 1 where it is bad and
0 else; `contaminated` is the first layer that has it. Both are absent where nobody labelled the item, where people
disagree on it, and where it has no scores.
"""

from __future__ import annotations

from typing import Any

from app.domain.labels import LabelState

FIELDS = ("contamination", "contaminated", "contaminated_score", "contaminated_bad", "called_bad", "scored_and_said")

# For each layer |score − label|, null where there is no score.
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
    """The value where there is a contamination; else the field is absent."""
    return {"$cond": [{"$gt": ["$contamination", None]}, value, "$$REMOVE"]}


# To be put at the end of an update's pipeline.
STAGES: tuple[dict[str, Any], ...] = (
    {
        "$set": {
            "contamination": {"$cond": [_HAS_BOTH, {"$max": _DISAGREEMENTS}, None]},
            "scored_and_said": {
                "$cond": [
                    _HAS_BOTH,
                    {"scores": "$scores", "bad": "$evaluation.bad"},  # one value, so that an index can have it
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
