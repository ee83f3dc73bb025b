"""The context common to all labelling pages: queue, answer and earlier labels."""

from __future__ import annotations

import uuid
from typing import Any

from app.domain.items import Item
from app.domain.labels import LabelEvent, Seen
from app.domain.strategies import STRATEGY_WORDS
from app.labelling.labels import Current
from app.web.labels import label_words
from app.web.labels.queue_options import QueueOptions
from app.web.shared.access import person
from app.web.shared.application import current_driftwatch
from app.web.shared.item_lists import choices

# Formatting of labels.
WORDS = {
    "event_words": label_words.event_words,
    "said": label_words.label_words,
    "skip_words": label_words.REASON_WORDS,
}


def for_labelling() -> dict[str, object]:
    """The context of a page with the queue, whatever item it shows."""
    return {
        "options": QueueOptions.remembered(),
        "strategies": STRATEGY_WORDS,
        "choices": choices(),
        **WORDS,
        "mine": my_last(),
    }


def my_last() -> list[LabelEvent]:
    """The current user's latest labels and skips."""
    return current_driftwatch().labelling.mine(person().name)


def of_item(item: Item, stale: Current | None = None) -> dict[str, Any]:
    """The labels shown on an item's page to the current user.

    While a second opinion is wanted from them, the first one is not included.
    """
    labelling, reader = current_driftwatch().labelling, person()
    blind = labelling.is_blind(item, reader.name)
    evaluation = None if blind else item.evaluation
    context: dict[str, Any] = {
        "item": item,
        "problems": labelling.problems.of(item.place, item.run),
        "blind": blind,
        "evaluation": evaluation,
        "history": [] if blind else labelling.history(item.run, item.place, reader.name),
        "past": current_driftwatch().store.past_scores.of_item(item.run, item.place, but=item.model),
        "answer": label_words.answer_of(evaluation) if evaluation else {},
        "comment": "",
        "stale": stale,
    }
    if reader.may("label"):
        held = [c for c in labelling.held_by(reader.name) if (c.item.run, c.item.place) == (item.run, item.place)]
        context |= for_labelling() | {
            "held": held[0] if held else None,
            "why": held[0].why if held else labelling.why(item),
            "key": str(uuid.uuid4()),
            "seen": stale.seen if stale else Seen.of(item),
        }
    return context
