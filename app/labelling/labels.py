"""The use cases of labelling: queue, submit, undo, resolve and progress. Available as `driftwatch.labelling`.

A label is written in two steps. First the event is stored; its unique number and key decide between concurrent writers.
Then the state derived from all events is written to the item, unless newer events were projected first. A process
killed in between loses nothing: the client retries, and `reconcile` completes the second step.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.domain import agreement
from app.domain.items import Item, ItemState
from app.domain.labels import (
    EventKind,
    LabelEvent,
    LabelState,
    Projection,
    Seen,
    SkipReason,
    project,
    shown,
    standing,
    unseen,
)
from app.domain.strategies import DEFAULT, DIRECT, Strategy
from app.domain.vocabulary import Answer
from app.errors import Conflict, InvalidInput, NotFound
from app.given import sound_text
from app.labelling.problems import KnownProblems
from app.labelling.queue import Claimed, LabellingQueue, NothingLeft
from app.registry import Registry
from app.store import Store
from app.store.queue import Holder, Order, QueueFilter, Where
from config import Settings

MOST_CHARACTERS = 2_000  # of a comment
MOST_SECONDS = 86_400  # a page can stay open for a day


class StaleLabel(Conflict):
    """The item has changed since the person saw it: it was labelled or rescored.

    Attributes:
        current: its current state.
    """

    code = "stale-label"

    def __init__(self, message: str, current: Current) -> None:
        self.current = current
        super().__init__(message)


@dataclass(frozen=True)
class Current:
    """What a person has not seen yet.

    Attributes:
        events: valid labels and resolutions that they had not seen, oldest first.
        item: its current state, with model, scores and evaluation, without its histogram.
        seen: what to send with the next attempt.
    """

    events: tuple[LabelEvent, ...]
    item: Item
    seen: Seen


@dataclass(frozen=True)
class Submitted:
    """A stored label.

    Attributes:
        event: as stored.
        created: False if the same key was already stored.
        item: its current state, without its histogram; None if its run has been deleted.
    """

    event: LabelEvent
    created: bool
    item: Item | None


@dataclass(frozen=True)
class PersonProgress:
    """One person's valid labels, and how often they agree with others.

    Attributes:
        agreement: share of parts with the same answer as others who had not seen it; None if there are none.
        compared: number of items compared.
    """

    name: str
    today: int
    total: int
    agreement: float | None
    compared: int


@dataclass(frozen=True)
class RunProgress:
    """Progress of a run: items scored by the active model, labelled ones, and uncertain ones that wait."""

    run: int
    judged: int
    labelled: int
    uncertain_left: int


@dataclass(frozen=True)
class Progress:
    """Progress of the labelling. "Today" starts at midnight UTC. Withdrawn labels do not count.

    Attributes:
        uncertain_left: waiting items with a certainty below the setting UNCERTAIN_BELOW; counted to 10,000.
        held: items currently held.
        runs: newest first.
        people: by name.
    """

    mine_today: int
    everyone_today: int
    mine_total: int
    total: int
    uncertain_left: int
    held: int
    runs: tuple[RunProgress, ...]
    people: tuple[PersonProgress, ...]


class Labelling:
    """The use cases. `person` is always the name of an account; the caller checks its permissions.

    Attributes:
        problems: the known problems of places.
    """

    def __init__(self, store: Store, models: Registry, settings: Settings) -> None:
        self._store, self._models, self._settings = store, models, settings
        self._queue = LabellingQueue(store, models, settings)
        self._random = random.Random()
        self.problems = KnownProblems(store)

    # --- the queue ---

    def claim(
        self,
        person: str,
        strategy: Strategy | str = DEFAULT,
        run: int | None = None,
        place: Mapping[str, int] | None = None,
        leave_out_known: bool = False,
        also_held: Sequence[Where] = (),
        tab: str = "",
    ) -> Claimed | NothingLeft:
        """Return the next item: one the person already holds from the same kind of request, else a new one.

        Args:
            place: only places with this first key: {"region": -1}.
            also_held: (run, place) of up to two items that the page already has; they stay held and are not offered.
                Anything else that the person holds in this tab is released.
            tab: identifies the browser tab; a lease belongs to the tabs that show the item.

        Raises:
            InvalidInput: there is no such strategy.
        """
        return self._queue.claim(Holder(person, tab), strategy, run, place or {}, leave_out_known, also_held)

    def held_by(self, person: str, in_any_tab: bool = True) -> list[Claimed]:
        """The items that a person holds, with or without a tab, longest held first."""
        return self._queue.held_by(person, in_any_tab)

    def renew(self, person: str, items: Iterable[Where], tab: str = "") -> list[Where]:
        """Renew leases by ten minutes and return the items that the person holds now. An expired lease is restored
        unless somebody else took the item."""
        return self._queue.renew(Holder(person, tab), items)

    def release(self, person: str, items: Iterable[Where], tab: str = "") -> None:
        """Release items, unless another tab of this person holds them: those given, or all of a tab if none are."""
        self._queue.release(Holder(person, tab), list(items))

    def why(self, item: Item) -> str:
        """Why an item was chosen: "channel 7: 0.52; 3rd of 214 uncertain"; empty if it has no scores."""
        return self._queue.why(item)

    # --- labels ---

    def submit(
        self,
        person: str,
        run: int,
        place: Any,
        answer: Answer | Iterable[int],
        key: str,
        seen: Seen,
        *,
        reason: SkipReason | str | None = None,
        comment: str = "",
        seconds: float | None = None,
        chosen: Mapping[str, Any] | None = None,
    ) -> Submitted:
        """Store a label, or a skip if a `reason` is given ("" for no particular one).

        No lease is needed; the person's lease on the item, if any, ends. A label is refused if the item has changed
        since the person saw it. A skip makes no statement about the item and is never refused. When a second opinion is
        wanted, the person is not expected to have seen the first label.

        Args:
            answer: {part: class}, or just the bad parts; empty for a good item and for a skip.
            key: the client's idempotency key for this label; repeating it changes nothing.
            seen: the state that the person saw.
            seconds: time spent on it.
            chosen: how the item was chosen, if known better than from the person's lease.

        Raises:
            InvalidInput: field "bad", "key", "reason", "comment" or "seconds".
            NotFound: there is no such item, or it has no histogram.
            StaleLabel: the item was labelled or rescored meanwhile.
        """
        kind = EventKind.LABEL if reason is None else EventKind.SKIP
        said = self._checked_answer(answer, place)
        if kind is EventKind.SKIP and any(said.values()):
            raise InvalidInput("bad", list(said["bad"]), "empty for a skip")
        what = {
            "kind": kind,
            "by": person,
            **said,
            "reason": _checked_reason(reason or ""),
            "comment": _checked_comment(comment),
            "seconds": _checked_seconds(seconds),
        }

        def event(item: Item, events: Sequence[LabelEvent]) -> dict[str, Any]:
            follows = project(events)
            blind = kind is EventKind.LABEL and _is_blind(follows, person)
            if kind is EventKind.LABEL:
                self._require_seen(item, events, seen, blind)
            lease = item.chosen if item.held_by == person else {}
            is_first = kind is EventKind.LABEL and not follows.labelled
            return what | {
                "chosen": dict(lease if chosen is None else chosen) or {"strategy": DIRECT},
                "blind": blind,
                "second": is_first and self._random.random() < self._settings.second_opinions,
            }

        return self._add(run, place, key, person, kind, event)

    def undo(self, person: str, label_id: str, key: str) -> Submitted:
        """Withdraw one's own label, skip or decision; if the item then waits again, the person holds it again.

        Raises:
            NotFound: there is no such event of this person.
            Conflict: it is already withdrawn, or there are newer events of the item.
        """
        undone = self._store.labels.get(label_id)
        if undone.by != person or undone.kind is EventKind.UNDO:
            raise NotFound(f"There is no label {label_id!r} of yours.")

        def event(item: Item, events: Sequence[LabelEvent]) -> dict[str, Any]:
            valid = standing(events)
            if undone.id not in {event.id for event in valid}:
                raise Conflict("This label was withdrawn already.")
            if valid[-1].id != undone.id:
                raise Conflict(
                    f"{valid[-1].by} said something of this {self._store.subsystem.item} since; label it again instead."
                )
            return {"kind": EventKind.UNDO, "by": person, "undoes": undone.id}

        return self._add(undone.run, undone.place, key, person, EventKind.UNDO, event)

    def resolve(
        self, person: str, run: int, place: Any, answer: Answer | Iterable[int], key: str, comment: str = ""
    ) -> Submitted:
        """Settle a disagreement.

        Raises:
            InvalidInput, NotFound: as `submit`.
            Conflict: the item has no open disagreement.
        """
        said = self._checked_answer(answer, place)
        what = {"kind": EventKind.RESOLVE, "by": person, **said, "comment": _checked_comment(comment)}

        def event(item: Item, events: Sequence[LabelEvent]) -> dict[str, Any]:
            evaluation = project(events).evaluation
            if evaluation is None or evaluation["state"] != LabelState.DISPUTED:
                raise Conflict(f"Nobody disagrees on {place} of run {run}, or not any more.")
            return what

        return self._add(run, place, key, person, EventKind.RESOLVE, event)

    def mine(self, person: str, n: int = 10) -> list[LabelEvent]:
        """A person's latest valid labels and skips, newest first."""
        return self._store.labels.last(person, (EventKind.LABEL, EventKind.SKIP), n)

    def history(self, run: int, place: Any, reader: str) -> list[LabelEvent]:
        """All events of an item, oldest first; only the reader's own while their second opinion is wanted."""
        events = self._store.labels.of_item(run, place)
        if _is_blind(project(events), reader):
            return [event for event in events if event.by == reader]
        return events

    def is_blind(self, item: Item, reader: str) -> bool:
        """Whether others' labels of an item are hidden from the reader, whose independent opinion is wanted."""
        return _is_blind(item, reader)

    # --- progress ---

    def progress(self, person: str, runs: int = 20) -> Progress:
        """Progress of the labelling overall, for one person, and for the newest runs."""
        store, model = self._store, self._models.active
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        counts = store.labels.counts_by_person(midnight)
        ever, today = ({name: both[i] for name, both in counts.items()} for i in (0, 1))
        newest = [run.number for run in store.runs.find(limit=runs, together=True)]
        judged = store.lists.progress(model, newest)
        uncertain = store.queue.count_by_run(QueueFilter(model), newest, self._settings.uncertain_below)
        alike = agreement.by_person(store.answers.ways())
        people = tuple(
            PersonProgress(name, today[name], ever[name], *alike.get(name, (None, 0))) for name in sorted(ever)
        )
        return Progress(
            mine_today=today.get(person, 0),
            everyone_today=sum(today.values()),
            mine_total=ever.get(person, 0),
            total=sum(ever.values()),
            uncertain_left=self._uncertain_left(model),
            held=store.queue.count_all_held(),
            runs=tuple(RunProgress(run, *judged.get(run, (0, 0)), uncertain.get(run, 0)) for run in newest),
            people=people,
        )

    def agreement(self) -> agreement.Agreement:
        """Agreement between people who did not see each other's labels."""
        vocabulary = self._store.subsystem.vocabulary
        return agreement.agreement(self._store.answers.ways(), vocabulary, self._store.lists.count_disputed())

    # --- projecting events to items ---

    def project_run(self, run: int) -> None:
        """Project labels and known problems to the items of a run, some of which may be new."""
        if not self._store.runs.is_simulated(run) and self._store.labels.set_aside_simulated(run):
            self._store.answers.remove_run(run)
        for place in self._store.labels.places(run):
            self._project(run, place, self._store.labels.of_item(run, place))
        self._store.problems.note_run(run)

    def reconcile(self) -> None:
        """Complete the projections of processes that were killed between writing the event and the item."""
        for run, place in self._store.labels.unprojected():
            self._project(run, place, self._store.labels.of_item(run, place))

    def _add(
        self,
        run: int,
        place: Any,
        key: str,
        person: str,
        kind: EventKind,
        event: Callable[[Item, Sequence[LabelEvent]], Mapping[str, Any]],
    ) -> Submitted:
        """Write one event, and project it to the item.

        Args:
            event: (the item, its events so far) → the fields of the new event, or an error; called again if another
                writer stored the next event of the item first.
        """
        labels = self._store.labels
        if not _KEY.fullmatch(key):
            raise InvalidInput("key", key, "8 to 64 letters, digits or dashes, such as a UUID")
        while True:
            events = labels.of_item(run, place)
            if known := labels.with_key(key):  # after reading the events: our own is never news to us
                return self._again(known, run, place, key, person, kind)
            item = self._item(run, place)
            simulated = self._store.runs.is_simulated(run)
            if _is_of_others(events, simulated):
                raise Conflict(
                    f"There are labels of the real run {run}; its simulated {self._store.subsystem.item}s take none."
                )
            fields = {
                "simulated": simulated,
                "model": item.model,
                **shown(item.judgement),
                "scored_at": item.scored_at,
                **event(item, events),
            }
            new = LabelEvent(id=labels.new_id(), key=key, run=run, place=place, seq=_next(events), at=_now(), **fields)
            if labels.add(new):  # its number was free, so there are no events besides those read
                return Submitted(new, True, self._project(run, place, [*events, new]))

    def _again(self, known: LabelEvent, run: int, place: Any, key: str, person: str, kind: EventKind) -> Submitted:
        if (known.run, known.place, known.by, known.kind) != (run, place, person, kind):
            raise InvalidInput("key", key, "new: it was used for something else")
        # The first writer of this event may not have projected it yet.
        return Submitted(known, False, self._project(run, place, self._store.labels.of_item(run, place)))

    def _project(self, run: int, place: Any, events: Sequence[LabelEvent]) -> Item | None:
        """Project all events of an item to it, and return the updated item without its histogram."""
        newest = events[-1]
        if _is_of_others(events, self._store.runs.is_simulated(run)):
            self._store.labels.mark_projected(run, place, newest.seq, ())
            return self._look(run, place)
        withdrawn = {event.undoes for event in events if event.kind is EventKind.UNDO}
        taken_up = next((event.chosen for event in events if event.id == newest.undoes), None)
        item = self._store.queue.keep_labels(run, place, project(events), newest, taken_up)
        if any(event.blind for event in events):  # otherwise there are no two independent answers, and never were
            way = agreement.way_of(events, self._store.subsystem.questions(place))
            self._store.answers.keep(run, place, newest.seq, way)
        self._store.labels.mark_projected(run, place, newest.seq, withdrawn)
        return item or self._look(run, place)

    def _checked_answer(self, given: Answer | Iterable[int], place: Any) -> dict[str, Any]:
        """Convert an answer to the fields of an event.

        Raises:
            InvalidInput: the item has no such part, or the part no such class.
        """
        vocabulary = self._store.subsystem.vocabulary
        answer = self._store.subsystem.check_answer("bad", given, place)
        return {"bad": vocabulary.faults(answer), "classes": {} if vocabulary.is_plain else answer}

    def _require_seen(self, item: Item, events: Sequence[LabelEvent], seen: Seen, blind: bool) -> None:
        """Raise StaleLabel if the person saw a different state than the current one."""
        new = () if blind else tuple(unseen(events, seen.seq))
        if new:
            who = " and ".join(dict.fromkeys(event.by for event in new))
            why = f"{who} labelled {item.place} of run {item.run} meanwhile"
        elif (item.model, _milliseconds(item.scored_at)) != (seen.model, _milliseconds(seen.scored_at)):
            why = f"{item.place} of run {item.run} was scored again meanwhile"
        else:
            return
        now = Seen(_next(events) - 1, item.model, item.scored_at)
        raise StaleLabel(f"{why}; look again and decide.", Current(new, item, now))

    def _item(self, run: int, place: Any) -> Item:
        item = self._store.items.look(run, place)
        if item.state is ItemState.MISSING:
            raise NotFound(f"Run {run} has no histogram of {place}.")
        return item

    def _look(self, run: int, place: Any) -> Item | None:
        try:
            return self._store.items.look(run, place)
        except NotFound:
            return None

    def _uncertain_left(self, model: str) -> int:
        return self._store.queue.count(QueueFilter(model), Order.RANK, rank={"$lt": self._settings.uncertain_below})


_KEY = re.compile(r"[A-Za-z0-9-]{8,64}")


def _is_blind(known: Item | Projection, person: str) -> bool:
    """Whether an item has a label and wants a second opinion, including this person's."""
    return known.labelled and known.waiting and person not in known.labelled_by


def _is_of_others(events: Sequence[LabelEvent], simulated: bool) -> bool:
    """Whether the events are about real items and the run is now simulated, or vice versa."""
    return any(event.simulated != simulated for event in events)


def _next(events: Sequence[LabelEvent]) -> int:
    return events[-1].seq + 1 if events else 1


def _now() -> datetime:
    """The current time, in MongoDB's precision."""
    return _milliseconds(datetime.now(UTC))


def _milliseconds(at: datetime | None) -> datetime | None:
    return at and at.replace(microsecond=at.microsecond // 1000 * 1000)


def _checked_reason(reason: SkipReason | str) -> SkipReason:
    try:
        return SkipReason(reason)
    except ValueError:
        named = ", ".join(filter(None, SkipReason))
        raise InvalidInput("reason", reason, f"one of {named}, or empty") from None


def _checked_comment(comment: str) -> str:
    return sound_text("comment", comment, MOST_CHARACTERS)


def _checked_seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0 <= seconds <= MOST_SECONDS:
        raise InvalidInput("seconds", seconds, f"a number from 0 to {MOST_SECONDS:,}")
    return seconds
