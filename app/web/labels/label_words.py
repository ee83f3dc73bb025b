"""How labels are written on pages and in files, and what of them is kept from a reader who is to answer unseeing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from app.domain.items import Item
from app.domain.labels import Kind, LabelEvent, LabelState, SkipReason
from app.domain.strategies import DIRECT, STRATEGY_WORDS
from app.domain.vocabulary import BAD, GOOD, WHOLE, Answer
from app.domain.words import numbers
from app.driftwatch import Driftwatch
from app.web.shared.access import person
from app.web.shared.application import current_driftwatch

HIDDEN = "hidden: a second opinion is wanted"
KIND_WORDS = {Kind.LABEL: "label", Kind.SKIP: "skip", Kind.UNDO: "undo", Kind.RESOLVE: "decision"}
REASON_WORDS = {
    SkipReason.NONE: "no reason given",
    SkipReason.UNCLEAR: "unclear",
    SkipReason.LOW_STATISTICS: "low statistics",
    SkipReason.DETECTOR_OFF: "detector off",
    SkipReason.PLOT_BROKEN: "plot broken",
}


class Reader:
    """Who reads a list, and what is hidden from them: first answers, while a second opinion is wanted.

    For one request: what was looked up is remembered.
    """

    def __init__(self, driftwatch: Driftwatch, name: str) -> None:
        self._driftwatch, self._name = driftwatch, name
        self._known: dict[tuple[int, Any], bool] = {}

    def hides_item(self, item: Item) -> bool:
        """Whether what was said of an item is kept from this reader."""
        return self._driftwatch.labelling.is_blind(item, self._name)

    def shown(self, item: Item) -> Item:
        """The item as this reader may see it."""
        return replace(item, evaluation=None, contamination=None) if self.hides_item(item) else item

    def look_up(self, events: Iterable[LabelEvent]) -> None:
        """Find out in one go what of some events is hidden."""
        asked = {(event.run, event.place) for event in events if self._may_hide(event)} - self._known.keys()
        self._known |= dict.fromkeys(asked, False)  # where a run was deleted nobody will be asked
        for item in self._driftwatch.store.items.look_at(asked):
            self._known[item.run, item.place] = self.hides_item(item)

    def hides(self, event: LabelEvent) -> bool:
        """Whether what an event says is kept from this reader."""
        if not self._may_hide(event):
            return False
        if (event.run, event.place) not in self._known:
            self.look_up([event])
        return self._known[event.run, event.place]

    def _may_hide(self, event: LabelEvent) -> bool:
        return event.kind is Kind.LABEL and (event.second or event.blind) and event.by != self._name

    def said(self, item: Item) -> str:
        """What people say of an item: "good", "bad: 3, 4", "skipped", "disputed"; "" where nobody did."""
        evaluation = item.evaluation
        if evaluation is None:
            return ""
        if self.hides_item(item):
            return HIDDEN
        if evaluation["state"] in (LabelState.SKIPPED, LabelState.DISPUTED):
            return str(evaluation["state"])
        return label_words(evaluation)


def reader_of() -> Reader:
    """Whoever asks for this page."""
    return Reader(current_driftwatch(), person().name)


def label_words(said: LabelEvent | Mapping[str, Any]) -> str:
    """What an event, or an item's evaluation, says: see `answer_words`."""
    if isinstance(said, LabelEvent):
        return answer_words(dict(said.said))
    return answer_words(answer_of(said))


def answer_of(evaluation: Mapping[str, Any]) -> Answer:
    """What an item's evaluation says, as an answer."""
    classes = evaluation.get("classes") or dict.fromkeys(evaluation["bad"], BAD.name)
    return {int(part): name for part, name in classes.items()}


def answer_words(answer: Answer) -> str:
    """An answer in words.

    >>> answer_words({3: "bad", 4: "bad"}), answer_words({}), answer_words({0: "bad", 2: "dead", 1: "hot"})
    ('bad: 3, 4', 'good', 'bad; hot: 1; dead: 2')
    """
    parts: dict[str, list[int]] = {}
    for part, name in sorted(answer.items()):
        parts.setdefault(name, []).append(part)
    return (
        "; ".join(name if those == [WHOLE] else f"{name}: {numbers(those)}" for name, those in parts.items())
        or GOOD.name
    )


def in_file(answer: Answer) -> str:
    """An answer in one cell of a file: the bad parts, or each part with its class.

    >>> in_file({3: "bad", 4: "bad"}), in_file({3: "dead"})
    ('3 4', '3:dead')
    """
    return " ".join(str(part) if name == BAD.name else f"{part}:{name}" for part, name in sorted(answer.items()))


def event_words(event: LabelEvent) -> str:
    """What an event says: "bad: 3, 4", "skipped: unclear", "withdrew a label"."""
    if event.kind is Kind.SKIP:
        return f"skipped: {REASON_WORDS[event.reason]}"
    if event.kind is Kind.UNDO:
        return "withdrew the one before"
    return label_words(event)


def chosen_words(event: LabelEvent) -> str:
    """How the item was chosen."""
    chosen = event.chosen
    if chosen.get("control"):
        return "random, as a control"
    strategy = chosen.get("strategy", "")
    return "opened by hand" if strategy == DIRECT else STRATEGY_WORDS.get(strategy, str(strategy))
