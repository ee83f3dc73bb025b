"""The document of an item in the collection: its fields, and its conversion into an `Item`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING

from app.domain.items import Item, ItemState
from app.errors import Reason
from app.store.past_scores import judgement_of
from app.subsystems import Subsystem

# `held_until` of an item that nobody holds: a time, so that "free" is one range of an index.
FREE = datetime(1970, 1, 1, tzinfo=UTC)

# Fields that lists do not read.
LARGE = dict.fromkeys(("occupancy", "embedding", "part_scores", "part_rates", "scored_and_said"), 0)

OF_SCORES = (
    *("scores", "verdicts", "reasons", "findings", "worst", "bad"),
    *("embedding", "part_scores", "unlike", "threshold"),
)

# Sorts items without a certainty after those with one (0 … 0.5).
RANK = {ItemState.UNJUDGED: 1.0, ItemState.UNSCORED: 2.0, ItemState.MISSING: 3.0}


def identity_index(subsystem: Subsystem) -> list[tuple[str, int]]:
    """The index for single items, and for those of one run."""
    return [(key, ASCENDING) for key in ("run", "subsystem", *subsystem.keys)]


def item_of(subsystem: Subsystem, d: Mapping[str, Any]) -> Item:
    """Convert a document of the collection into an item."""
    return Item(
        run=d["run"],
        place=subsystem.place_of(d),
        state=ItemState(d["state"]),
        missing=Reason(d["missing"]) if d.get("missing") else None,
        detail=d.get("detail", ""),
        histogram=histogram_of(subsystem, d),
        hits=d.get("hits"),
        judgement=judgement_of(d) if d.get("scores") else None,
        findings=tuple(d.get("findings", ())),
        model=d.get("model") or "",
        source=d.get("source", ""),
        simulated=d.get("simulated", False),
        fetched_at=d.get("fetched_at"),
        scored_at=d.get("scored_at"),
        evaluation=d.get("evaluation"),
        seq=d.get("label_seq", 0),
        labelled=d.get("labelled", False),
        waiting=d.get("waiting", False),
        skipped_by=tuple(d.get("skipped_by", ())),
        labelled_by=tuple(d.get("labelled_by", ())),
        contamination=d.get("contamination"),
        contaminated=d.get("contaminated"),
        held_by=d.get("held_by", ""),
        held_until=d.get("held_until") if d.get("held_by") else None,
        chosen=d.get("chosen", {}),
        known=d.get("known", False),
        unlike=d.get("unlike"),
        called_bad=subsystem.parts_called_bad,
    )


def histogram_of(subsystem: Subsystem, document: Mapping[str, Any]) -> Any:
    """The histogram of a document; None if it is missing or was not read."""
    packed = document.get("occupancy")
    return None if packed is None else subsystem.decode(subsystem.place_of(document), packed)


def new_item() -> dict[str, Any]:
    """The initial fields of a new item, in addition to its data."""
    begin = {"waiting": True, "labelled": False, "recheck": False, "held_until": FREE, "known": False}
    return {**begin, "draw": random.random()}
