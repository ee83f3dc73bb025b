"""The queue: which item a person gets next, why, and for how long it is reserved. Labels are handled elsewhere."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from app.domain.items import Item
from app.domain.labels import EventKind, Seen
from app.domain.strategies import DIRECT, DIVERSE_AMONG, UNLIKE, Strategy, farthest_first
from app.errors import InvalidInput
from app.registry import Registry
from app.store import Store
from app.store.queue import MOST_COUNTED, Holder, Order, QueueFilter, Where
from config import Settings

MOST_ALSO_HELD = 2  # besides the new one: the item on the screen, and one restored by an undo
TRIES = 5  # attempts when others claim the same item at the same moment


@dataclass(frozen=True)
class Claimed:
    """An item that a person holds.

    Attributes:
        item: with its histogram.
        why: why it was chosen: "channel 7: 0.52; 3rd of 214 uncertain". The same for a control.
        chosen: how it was chosen, as stored with the label. It reveals controls, so it must not reach the page.
        seen: what a submit has to send back.
        held_until: when the lease ends unless it is renewed.
    """

    item: Item
    why: str
    chosen: Mapping[str, Any]
    seen: Seen
    held_until: datetime


@dataclass(frozen=True)
class NothingLeft:
    """Why a person gets no item. Numbers are counted to 10,000.

    Attributes:
        reason: "held": others hold items that this person could have; "skipped": this person skipped the waiting items,
            or labelled them and a second opinion is wanted; "done": nothing waits.
        held: number held by others.
        skipped: number that this person skipped or labelled.
        known: number left out because of known problems.
        other_models: number waiting that the active model has not scored.
    """

    reason: Literal["done", "held", "skipped"]
    held: int = 0
    skipped: int = 0
    known: int = 0
    other_models: int = 0

    @property
    def text(self) -> str:
        """The message to show."""
        sentences = {
            "done": ["Nothing is left: everything requested is labelled."],
            "held": [f"Nothing is free: others, or other tabs of yours, are working on the last {self.held:,}."],
            "skipped": [f"Nothing new is left: you skipped or labelled the {self.skipped:,} that still wait."],
        }[self.reason]
        if self.known:
            sentences.append(f"{self.known:,} with known problems are left out.")
        if self.other_models:
            sentences.append(f"{self.other_models:,} of other runs are not scored by the active model.")
        return " ".join(sentences)


class LabellingQueue:
    """Assigns items to people."""

    def __init__(self, store: Store, models: Registry, settings: Settings) -> None:
        self._store, self._models, self._settings = store, models, settings
        self._random = random.Random()
        self._claiming: dict[str, threading.Lock] = {}  # by person
        self._left: deque[str] = deque(maxlen=1_000)  # closed tabs, whose pending requests may still arrive

    def claim(
        self,
        holder: Holder,
        strategy: Strategy | str,
        run: int | None,
        place: Mapping[str, int],
        leave_out_known: bool,
        also_held: Sequence[Where],
    ) -> Claimed | NothingLeft:
        """See `Labelling.claim`."""
        strategy = checked_strategy(strategy)
        key = self._store.subsystem.keys[0]
        asked = {
            "strategy": str(strategy),
            "run": run,
            key: place.get(key),
            "leave_out_known": leave_out_known,
        }
        wanted = QueueFilter(
            self._models.active, run, place.get(key), leave_out_known, strategy is Strategy.CONTAMINATION
        )
        # A reloaded page sends its request while that of the old page may still be in progress.
        with self._claiming.setdefault(holder.person, threading.Lock()):
            claimed = self._claim(holder, strategy, wanted, asked, list(also_held)[:MOST_ALSO_HELD])
        if holder.tab in self._left:
            self._store.queue.release(holder, [])
        return claimed

    def renew(self, holder: Holder, items: Iterable[Where]) -> list[Where]:
        """See `Labelling.renew`."""
        renewed = self._store.queue.renew(holder, items)
        if holder.tab in self._left:
            self._store.queue.release(holder, [])
            return []
        return renewed

    def release(self, holder: Holder, items: Sequence[Where]) -> None:
        """See `Labelling.release`."""
        if holder.tab and not items:
            self._left.append(holder.tab)  # first, so that a concurrent claim sees it or is released here
        self._store.queue.release(holder, items)

    def _claim(
        self, holder: Holder, strategy: Strategy, wanted: QueueFilter, asked: Mapping[str, Any], kept: Sequence[Where]
    ) -> Claimed | NothingLeft:
        queue = self._store.queue
        queue.renew(holder, kept)  # the same page may just have released them when it was left
        held = queue.held(holder)
        for item in held:
            where = (item.run, item.place)
            was_asked = {name: item.chosen.get(name) for name in asked} == asked
            if where not in kept and was_asked and item.model == wanted.model and queue.renew(holder, [where]):
                if len(held) > 1:
                    queue.release_others(holder, [*kept, where])
                for renewed in queue.held(holder):
                    if (renewed.run, renewed.place) == where:
                        return self._claimed(renewed)
        if any((item.run, item.place) not in kept for item in held):
            queue.release_others(holder, kept)
        for _ in range(TRIES):
            item = self._take(holder, wanted, strategy, asked)
            if item is not None:
                rank = self._rank(item, wanted, strategy)
                queue.note_rank(holder.person, (item.run, item.place), rank)
                return self._claimed(item, {**item.chosen, **rank})
            if not queue.is_any_free(holder.person, wanted):
                break
        return self._nothing(holder, wanted)

    def held_by(self, person: str, in_any_tab: bool) -> list[Claimed]:
        """See `Labelling.held_by`."""
        return [self._claimed(item) for item in self._store.queue.held(Holder(person), in_any_tab)]

    def why(self, item: Item, chosen: Mapping[str, Any] | None = None) -> str:
        """See `Labelling.why`."""
        chosen = item.chosen if chosen is None else chosen
        named = chosen.get("strategy", DIRECT)
        strategy = Strategy.CERTAIN if named == DIRECT else Strategy(named)
        rank = chosen
        if "of" not in chosen:
            rank = self._rank(item, QueueFilter(item.model, labelled=strategy is Strategy.CONTAMINATION), strategy)
        part = self._store.subsystem.part
        if rank[part] is None:
            return ""
        why = f"{part} {rank[part]}: {rank['score']:.2f}"
        if not (item.waiting or "of" in chosen):
            return why
        return f"{why}; {_place_in_line(strategy, rank['rank'], rank['of'])}"

    def _take(self, holder: Holder, wanted: QueueFilter, strategy: Strategy, asked: Mapping[str, Any]) -> Item | None:
        queue = self._store.queue
        is_control = (
            strategy not in (Strategy.RANDOM, Strategy.CONTAMINATION)
            and self._random.random() < self._settings.control_share
        )
        chosen = {**asked, "control": is_control}
        if is_control or strategy is Strategy.RANDOM:
            begin = self._random.random()
            after = queue.take(holder, wanted, Order.DRAW, chosen, {"draw": {"$gte": begin}})
            return after or queue.take(holder, wanted, Order.DRAW, chosen, {"draw": {"$lt": begin}})
        if strategy is Strategy.UNLIKE:  # items not yet compared with the training data come last
            return queue.take(holder, wanted, Order.UNLIKE, chosen) or queue.take(holder, wanted, Order.RANK, chosen)
        if strategy is Strategy.DIVERSE:
            return self._take_unlike(holder, wanted, chosen)
        order = {
            Strategy.CERTAIN: Order.RANK,
            Strategy.SCORE: Order.WORST,
            Strategy.CONTAMINATION: Order.CONTAMINATION,
        }[strategy]
        return queue.take(holder, wanted, order, chosen)

    def _take_unlike(self, holder: Holder, wanted: QueueFilter, chosen: Mapping[str, Any]) -> Item | None:
        """Of the least certain items, the one least like this person's latest ones."""
        queue = self._store.queue
        candidates = queue.free(holder.person, wanted, DIVERSE_AMONG)
        last = self._store.labels.last(holder.person, (EventKind.LABEL, EventKind.SKIP), UNLIKE)
        held = [(item.run, item.place) for item in queue.held(holder, in_any_tab=True)]
        before = [*held, *((event.run, event.place) for event in last)][:UNLIKE]
        taken = queue.embeddings(before, wanted.model)
        for i in farthest_first([embedding for _, embedding in candidates], taken)[:TRIES]:
            item = queue.take_this(holder, wanted, candidates[i][0], chosen)
            if item is not None:
                return item
        return None

    def _rank(self, item: Item, wanted: QueueFilter, strategy: Strategy) -> dict[str, Any]:
        """The part that matters to the strategy, under the word for a part; its "score"; the item's "rank" and "of"."""
        name = self._store.subsystem.part
        queue, judgement = self._store.queue, item.judgement
        scores = {} if judgement is None else {n: s for n, s in enumerate(judgement.scores, 1) if s is not None}
        if not scores:
            return {name: None, "score": None, "rank": None, "of": None}
        if strategy is Strategy.SCORE:
            part = max(scores, key=scores.__getitem__)
            before = queue.count(wanted, Order.WORST, worst={"$gt": scores[part]})
            of = queue.count(wanted, Order.WORST)
        elif strategy is Strategy.CONTAMINATION and item.contaminated is not None:
            part = item.contaminated
            line = Order.CONTAMINATION
            before = queue.count(wanted, line, contamination={"$gt": item.contamination})
            of = queue.count(wanted, line)
        elif strategy is Strategy.UNLIKE:
            part = min(scores, key=lambda n: abs(0.5 - scores[n]))
            if item.unlike is None:
                return {name: part, "score": scores[part], "rank": None, "of": None}
            before = queue.count(wanted, Order.UNLIKE, unlike={"$gt": item.unlike})
            of = queue.count(wanted, Order.UNLIKE, unlike={"$gt": 1})
        else:
            part = min(scores, key=lambda n: abs(0.5 - scores[n]))
            before = queue.count(wanted, Order.RANK, rank={"$lt": judgement.certainty})
            of = queue.count(wanted, Order.RANK, rank={"$lt": self._settings.uncertain_below})
        return {name: part, "score": scores[part], "rank": before + 1, "of": of}

    def _claimed(self, item: Item, chosen: Mapping[str, Any] | None = None) -> Claimed:
        chosen = dict(item.chosen if chosen is None else chosen)
        return Claimed(item, self.why(item, chosen), chosen, Seen.of(item), item.held_until)

    def _nothing(self, holder: Holder, wanted: QueueFilter) -> NothingLeft:
        queue = self._store.queue
        held, skipped = queue.count_held(holder, wanted), queue.count_passed(holder.person, wanted)
        known = (
            queue.count(replace(wanted, leave_out_known=False), Order.RANK, known=True) if wanted.leave_out_known else 0
        )
        other_models = queue.count_of_other_models(wanted.model) if wanted.run is None else 0
        reason: Literal["done", "held", "skipped"] = "held" if held else "skipped" if skipped else "done"
        return NothingLeft(reason, held, skipped, known, other_models)


def checked_strategy(text: Strategy | str) -> Strategy:
    """Return a strategy by name.

    Raises:
        InvalidInput: there is none of this name.
    """
    try:
        return Strategy(text)
    except ValueError:
        raise InvalidInput("strategy", text, f"one of {', '.join(Strategy)}") from None


def _place_in_line(strategy: Strategy, rank: int | None, of: int | None) -> str:
    if strategy is Strategy.RANDOM:
        return "drawn at random"
    if strategy is Strategy.SCORE:
        return f"{_ordinal(rank)} highest score of {_counted(of)}"
    if strategy is Strategy.CONTAMINATION:
        return f"{_ordinal(rank)} of {_counted(of)} to recheck"
    if strategy is Strategy.UNLIKE:
        if rank is None:
            return "not compared with what the network has seen"
        if rank > of:
            return f"after {_counted(of)} unlike anything seen" if of else "none is unlike what was seen"
        return f"{_ordinal(rank)} of {_counted(of)} unlike anything seen"
    if not of:
        return "none is uncertain"
    if rank > of:
        return f"after {_counted(of)} uncertain"
    return f"{_ordinal(rank)} of {_counted(of)} uncertain"


def _ordinal(number: int) -> str:
    """
    >>> [_ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 113, 1002)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '21st', '113th', '1,002nd']
    """
    if number > MOST_COUNTED:
        return f"beyond the {MOST_COUNTED:,}th"
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def _counted(number: int) -> str:
    return f"{number:,}" if number < MOST_COUNTED else f"more than {MOST_COUNTED - 1:,}"
