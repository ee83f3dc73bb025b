"""How far the label and the scores of an item disagree, worked out by the database in the update that changes either.

Contamination is the greatest |score − label| over the judged layers, the label of a layer being 1 where it is bad and
0 else; `contaminated` is the first layer that has it. Both are absent where nobody labelled the item, where people
disagree on it, and where it has no scores.
"""

from __future__ import annotations

from typing import Any

from app.labelling.events import LabelState

FIELDS = ("contamination", "contaminated")

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

_HAS_BOTH = {
    "$and": [
        {"$eq": ["$labelled", True]},
        {"$ne": ["$evaluation.state", str(LabelState.DISPUTED)]},
        {"$isArray": "$scores"},
    ]
}

# To be put at the end of an update's pipeline.
STAGES: tuple[dict[str, Any], ...] = (
    {"$set": {"contamination": {"$cond": [_HAS_BOTH, {"$max": _DISAGREEMENTS}, None]}}},
    {
        "$set": {
            "contamination": {"$ifNull": ["$contamination", "$$REMOVE"]},
            "contaminated": {
                "$cond": [
                    {"$eq": ["$contamination", None]},
                    "$$REMOVE",
                    {"$add": [1, {"$indexOfArray": [_DISAGREEMENTS, "$contamination"]}]},
                ]
            },
        }
    },
)
