"""The summary of a shift, as Markdown for the logbook. No database access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.domain.labels import ANSWERS, EventKind, LabelEvent
from app.domain.vocabulary import BAD, GOOD, WHOLE, Answer, by_class
from app.domain.words import numbers, plural

MOST_LINES = 50  # of one kind; nobody reads a longer logbook entry


@dataclass(frozen=True)
class Dispute:
    """An item with a disagreement.

    Attributes:
        answers: the answers by person.
        item: as stored, without its histogram.
    """

    run: int
    place: Any
    answers: Sequence[tuple[str, Answer]]
    item: Any = None


@dataclass(frozen=True)
class Shift:
    """The contents of a summary.

    Attributes:
        since, until: the time range, `until` excluded.
        events: valid events in that time, oldest first, without those that the reader may not see.
        hidden: number of events left out for that reason.
        more: events were left out because there are too many.
        disputes: currently open disagreements.
        uncertain_left, uncertain_below: number of waiting items with a certainty below `uncertain_below`.
        model: the active model.
        item, part: the subsystem's words for these.
    """

    since: datetime
    until: datetime
    events: Sequence[LabelEvent]
    hidden: int
    more: bool
    disputes: Sequence[Dispute]
    uncertain_left: int
    uncertain_below: float
    model: str
    item: str
    part: str


def markdown(shift: Shift, name: Callable[[Any], str]) -> str:
    """Write the summary.

    Args:
        name: formats a place: "W−1 S7 MB2".
    """

    def many(number: int) -> str:
        return plural(number, shift.item)

    def said(answer: Answer) -> str:
        return _said(answer, shift.part)

    labels: dict[tuple[int, Any], LabelEvent] = {}
    skips: dict[tuple[int, Any], LabelEvent] = {}
    for event in shift.events:
        where = event.run, event.place
        if event.kind in ANSWERS:
            labels[where] = event  # only the last one counts
        elif event.kind is EventKind.SKIP:
            skips[where] = event
    skipped = [event for where, event in skips.items() if where not in labels]
    bad = [event for event in labels.values() if event.bad]

    def place(event: LabelEvent | Dispute) -> str:
        return f"run {event.run}, {name(event.place)}"

    runs = sorted({event.run for event in (*labels.values(), *skipped)})
    by = Counter(event.by for event in labels.values())
    people = ", ".join(f"{person} {count}" for person, count in sorted(by.items()))
    lines = [
        f"## Labels, {_period(shift.since, shift.until)}",
        "",
        f"- runs: {', '.join(map(str, runs)) or 'none'}",
        f"- labelled: {many(len(labels))}" + (f" ({people})" if people else ""),
        f"- bad: {many(len(bad))}",
        f"- skipped: {many(len(skipped))}",
        f"- open disagreements: {len(shift.disputes)}",
        f"- left: {many(shift.uncertain_left)} with a certainty below {shift.uncertain_below:g}, by {shift.model}",
    ]
    if shift.hidden:
        lines.append(f"- not shown, since a second opinion is wanted: {many(shift.hidden)}")
    if shift.more:
        lines.append(
            f"- only the first {len(shift.events) + shift.hidden:,} entries are counted: choose a shorter time"
        )
    lines += _section(f"Bad {shift.item}s", bad, lambda e: f"{place(e)}: {said(dict(e.said))} ({_who(e)})")
    lines += _section(
        "Skipped", skipped, lambda e: f"{place(e)}: {e.reason.replace('_', ' ') or 'no reason'} ({_who(e)})"
    )
    lines += _section(
        "Disagreements",
        shift.disputes,
        lambda d: f"{place(d)}: " + "; ".join(f"{who}: {said(answer)}" for who, answer in d.answers),
    )
    return "\n".join(lines) + "\n"


def _section(title: str, entries: Sequence[Any], line: Callable[[Any], str]) -> list[str]:
    """A heading and one line per entry, by run and place; nothing if there are no entries."""
    if not entries:
        return []
    shown = sorted(entries, key=lambda entry: (entry.run, entry.place))[:MOST_LINES]
    more = [f"- and {len(entries) - MOST_LINES:,} more"] if len(entries) > MOST_LINES else []
    return ["", f"### {title}", "", *(f"- {line(entry)}" for entry in shown), *more]


def _who(event: LabelEvent) -> str:
    comment = " ".join(event.comment.split())
    return f"{event.by}: “{comment}”" if comment else event.by


def _said(answer: Answer, part: str) -> str:
    """
    >>> _said({3: "bad", 4: "bad"}, "part"), _said({}, "part"), _said({0: "bad", 2: "hot"}, "channel")
    ('parts 3, 4', 'good', 'bad; hot: channel 2')
    """
    words = []
    for called, those in by_class(answer).items():
        where = f"{part}{'s' * (len(those) > 1)} {numbers(those)}"
        words.append(called if those == [WHOLE] else where if called == BAD.name else f"{called}: {where}")
    return "; ".join(words) or GOOD.name


def _period(since: datetime, until: datetime) -> str:
    """
    >>> _period(datetime(2026, 11, 22, 7, tzinfo=UTC), datetime(2026, 11, 22, 15, tzinfo=UTC))
    '2026-11-22 07:00–15:00 UTC'
    """
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    end = f"–{until:%H:%M}" if since.date() == until.date() else f" – {until:%Y-%m-%d %H:%M}"
    return f"{since:%Y-%m-%d %H:%M}{end} UTC"
