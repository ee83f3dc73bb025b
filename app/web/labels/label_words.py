"""Formatting of labels on pages and in files, and hiding them from readers whose independent opinion is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from app.domain.items import Item
from app.domain.labels import EventKind, LabelEvent, LabelState, SkipReason
from app.domain.strategies import DIRECT, STRATEGY_WORDS
from app.domain.vocabulary import BAD, GOOD, WHOLE, Answer, by_class
from app.domain.words import numbers
from app.driftwatch import Driftwatch
from app.web.shared.access import person
from app.web.shared.application import current_driftwatch

HIDDEN = "hidden: a second opinion is wanted"
KIND_WORDS = {EventKind.LABEL: "label", EventKind.SKIP: "skip", EventKind.UNDO: "undo", EventKind.RESOLVE: "decision"}
REASON_WORDS = {
    SkipReason.NONE: "no reason given",
    SkipReason.UNCLEAR: "unclear",
    SkipReason.LOW_STATISTICS: "low statistics",
    SkipReason.DETECTOR_OFF: "detector off",
    SkipReason.PLOT_BROKEN: "plot broken",
}


class Reader:
    """The reader of a list, and what is hidden from them: first labels, while their second opinion is wanted.

    For one request: lookups are cached.
    """

    def __init__(self, driftwatch: Driftwatch, name: str) -> None:
        self._driftwatch, self._name = driftwatch, name
        self._known: dict[tuple[int, Any], bool] = {}

    def hides_item(self, item: Item) -> bool:
        """Whether the labels of an item are hidden from this reader."""
        return self._driftwatch.labelling.is_blind(item, self._name)

    def shown(self, item: Item) -> Item:
        """The item as visible to this reader."""
        return replace(item, evaluation=None, contamination=None) if self.hides_item(item) else item

    def look_up(self, events: Iterable[LabelEvent]) -> None:
        """Look up in one query which of these events are hidden."""
        asked = {(event.run, event.place) for event in events if self._may_hide(event)} - self._known.keys()
        self._known |= dict.fromkeys(asked, False)  # if the run is deleted, no opinion will be wanted
        for item in self._driftwatch.store.items.look_at(asked):
            self._known[item.run, item.place] = self.hides_item(item)

    def hides(self, event: LabelEvent) -> bool:
        """Whether the answer of an event is hidden from this reader."""
        if not self._may_hide(event):
            return False
        if (event.run, event.place) not in self._known:
            self.look_up([event])
        return self._known[event.run, event.place]

    def _may_hide(self, event: LabelEvent) -> bool:
        return event.kind is EventKind.LABEL and (event.second or event.blind) and event.by != self._name

    def said(self, item: Item) -> str:
        """The label of an item: "good", "bad: 3, 4", "skipped", "disputed"; "" if there is none."""
        evaluation = item.evaluation
        if evaluation is None:
            return ""
        if self.hides_item(item):
            return HIDDEN
        if evaluation["state"] in (LabelState.SKIPPED, LabelState.DISPUTED):
            return str(evaluation["state"])
        return label_words(evaluation)


def reader_of() -> Reader:
    """The current user as a reader."""
    return Reader(current_driftwatch(), person().name)


def label_words(said: LabelEvent | Mapping[str, Any]) -> str:
    """The answer of an event, or of an item's evaluation: see `answer_words`."""
    if isinstance(said, LabelEvent):
        return answer_words(dict(said.said))
    return answer_words(answer_of(said))


def answer_of(evaluation: Mapping[str, Any]) -> Answer:
    """An item's evaluation as an answer."""
    classes = evaluation.get("classes") or dict.fromkeys(evaluation["bad"], BAD.name)
    return {int(part): name for part, name in classes.items()}


def answer_words(answer: Answer) -> str:
    """An answer in words.

    >>> answer_words({3: "bad", 4: "bad"}), answer_words({}), answer_words({0: "bad", 2: "dead", 1: "hot"})
    ('bad: 3, 4', 'good', 'bad; hot: 1; dead: 2')
    """
    parts = by_class(answer)
    words = [name if those == [WHOLE] else f"{name}: {numbers(those)}" for name, those in parts.items()]
    return "; ".join(words) or GOOD.name


def in_file(answer: Answer) -> str:
    """An answer in one cell of a file: the bad parts, or each part with its class.

    >>> in_file({3: "bad", 4: "bad"}), in_file({3: "dead"})
    ('3 4', '3:dead')
    """
    return " ".join(str(part) if name == BAD.name else f"{part}:{name}" for part, name in sorted(answer.items()))


def event_words(event: LabelEvent) -> str:
    """An event in words: "bad: 3, 4", "skipped: unclear", "withdrew a label"."""
    if event.kind is EventKind.SKIP:
        return f"skipped: {REASON_WORDS[event.reason]}"
    if event.kind is EventKind.UNDO:
        return "withdrew the one before"
    return label_words(event)


def chosen_words(event: LabelEvent) -> str:
    """How the item was chosen."""
    chosen = event.chosen
    if chosen.get("control"):
        return "random, as a control"
    strategy = chosen.get("strategy", "")
    return "opened by hand" if strategy == DIRECT else STRATEGY_WORDS.get(strategy, str(strategy))
