"""What was done in a shift, as Markdown for the logbook. Pure: no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.domain.labels import Kind, LabelEvent

MOST_LINES = 50  # of one kind; beyond that a logbook entry is not read


@dataclass(frozen=True)
class Dispute:
    """An item on which people disagree.

    Attributes:
        answers: who says which layers are bad.
        item: as it is stored, without its histogram.
    """

    run: int
    place: Any
    answers: Sequence[tuple[str, tuple[int, ...]]]
    item: Any = None


@dataclass(frozen=True)
class Shift:
    """What a summary is made of.

    Attributes:
        since, until: from when, and before when.
        events: what people said then and did not withdraw, oldest first; without what the reader may not know.
        hidden: how many were left out for that.
        more: there are so many events that some were left out.
        disputes: open now.
        uncertain_left, uncertain_below: chambers that wait with a certainty below the second.
        model: in use now.
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


def markdown(shift: Shift, name: Callable[[Any], str], layers: Callable[[Iterable[int]], str]) -> str:
    """The summary.

    Args:
        name: of a place: "W−1 S7 MB2".
        layers: in words: "1, 5–8".
    """
    labels: dict[tuple[int, Any], LabelEvent] = {}
    skips: dict[tuple[int, Any], LabelEvent] = {}
    for event in shift.events:
        where = event.run, event.place
        if event.kind in (Kind.LABEL, Kind.RESOLVE):
            labels[where] = event  # the last one counts
        elif event.kind is Kind.SKIP:
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
        f"- labelled: {_chambers(len(labels))}" + (f" ({people})" if people else ""),
        f"- bad: {_chambers(len(bad))}",
        f"- skipped: {_chambers(len(skipped))}",
        f"- open disagreements: {len(shift.disputes)}",
        f"- left: {_chambers(shift.uncertain_left)} with a certainty below {shift.uncertain_below:g}, by {shift.model}",
    ]
    if shift.hidden:
        lines.append(f"- not shown, since a second opinion is wanted: {_chambers(shift.hidden)}")
    if shift.more:
        lines.append(
            f"- only the first {len(shift.events) + shift.hidden:,} entries are counted: choose a shorter time"
        )
    lines += _section("Bad chambers", bad, lambda e: f"{place(e)}: {_layers(e.bad, layers)} ({_who(e)})")
    lines += _section(
        "Skipped", skipped, lambda e: f"{place(e)}: {e.reason.replace('_', ' ') or 'no reason'} ({_who(e)})"
    )
    lines += _section(
        "Disagreements",
        shift.disputes,
        lambda d: f"{place(d)}: " + "; ".join(f"{who}: {_layers(said, layers)}" for who, said in d.answers),
    )
    return "\n".join(lines) + "\n"


def _section(title: str, entries: Sequence[Any], line: Callable[[Any], str]) -> list[str]:
    """A heading and a line for each entry, by run and place; nothing where there are none."""
    if not entries:
        return []
    shown = sorted(entries, key=lambda entry: (entry.run, entry.place))[:MOST_LINES]
    more = [f"- and {len(entries) - MOST_LINES:,} more"] if len(entries) > MOST_LINES else []
    return ["", f"### {title}", "", *(f"- {line(entry)}" for entry in shown), *more]


def _who(event: LabelEvent) -> str:
    comment = " ".join(event.comment.split())
    return f"{event.by}: “{comment}”" if comment else event.by


def _layers(bad: Sequence[int], layers: Callable[[Iterable[int]], str]) -> str:
    return f"layer{'s' * (len(bad) > 1)} {layers(bad)}" if bad else "good"


def _chambers(number: int) -> str:
    return f"{number:,} chamber{'s' * (number != 1)}"


def _period(since: datetime, until: datetime) -> str:
    """
    >>> _period(datetime(2026, 11, 22, 7, tzinfo=UTC), datetime(2026, 11, 22, 15, tzinfo=UTC))
    '2026-11-22 07:00–15:00 UTC'
    """
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    end = f"–{until:%H:%M}" if since.date() == until.date() else f" – {until:%Y-%m-%d %H:%M}"
    return f"{since:%Y-%m-%d %H:%M}{end} UTC"
