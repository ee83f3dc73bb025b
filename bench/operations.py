"""Bench: how often the database is asked to fetch, score and sum up a run, and to keep a label.

    .venv/bin/python -m bench.operations

Counts commands and the documents that reads return, on a run of simulated chambers, and compares them with what
the same took before its ways were shortened (commit 8aef582). The exit status is 1 if anything takes more reads.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pymongo import monitoring

from app.domain.labels import Seen
from app.domain.origin import Origin, SourceKind
from app.driftwatch import Driftwatch
from app.jobs.fetch import KIND, LANE, Fetching
from app.jobs.runner import Work
from app.subsystems.dt.simulate import simulate_run
from config import Settings

RUN = 302_635
WRITES = frozenset({"insert", "update", "delete", "findAndModify"})
BEFORE = {
    "a run": (26, 25, 508),
    "a label": (7, 3, 3),
    "a second opinion": (7, 4, 5),
}  # (reads, writes, documents read)


class Counting(monitoring.CommandListener):
    """Counts what a program asks of its database, and the documents that it gets."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.documents = 0

    def taken(self) -> tuple[int, int, int]:
        """(reads, writes, documents read) since this was asked last."""
        writes = sum(n for name, n in self.commands.items() if name in WRITES)
        found = self.commands.total() - writes, writes, self.documents
        self.commands.clear()
        self.documents = 0
        return found

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.commands[event.command_name] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch", cursor.get("nextBatch", ())))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Counted when it began."""


class Simulated:
    """A source of one run."""

    name, simulated = "bench", False
    origin = Origin(SourceKind.DQM, "bench")

    def __init__(self) -> None:
        self._run = {place: one.occupancy for place, one in simulate_run(RUN).items()}

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        return False

    def fetch(self, run: int, places: Sequence[Any], stop: threading.Event) -> Iterator[tuple[Any, Any]]:
        yield from ((place, self._run[place]) for place in places)


def main() -> int:
    counting = Counting()
    monitoring.register(counting)
    with tempfile.TemporaryDirectory() as folder:
        driftwatch = Driftwatch(Settings(data_dir=Path(folder), second_opinions=1, control_share=0))
        try:
            found = dict(measured(driftwatch, counting))
        finally:
            driftwatch.close()
    worse = False
    print("before → now        reads        writes       documents read")
    for what, now in found.items():
        before = BEFORE[what]
        worse |= now[0] > before[0]
        pairs = "  ".join(f"{was:4} → {one:<5}" for was, one in zip(before, now, strict=True))
        print(f"{what:18} {pairs}")
    return int(worse)


def measured(driftwatch: Driftwatch, counting: Counting) -> Iterator[tuple[str, tuple[int, int, int]]]:
    store = driftwatch.store
    driftwatch.scoring._models.scorer(driftwatch.model, driftwatch.models.bad_from(driftwatch.model))  # loaded once
    source = Simulated()
    store.runs.request(RUN, "bench", len(driftwatch.subsystem.places()), source.origin)
    job = store.jobs.ask(KIND, RUN, LANE, "bench")
    counting.taken()
    Fetching(store, lambda job: source, driftwatch.scoring, driftwatch.labelling.project_run)(job, Work())
    yield "a run", counting.taken()
    place = store.items.of_run(RUN)[0].place
    for what, person, bad in (("a label", "ann", [1]), ("a second opinion", "bob", [])):
        seen = Seen.of(store.items.look(RUN, place))
        counting.taken()
        driftwatch.labelling.submit(person, RUN, place, bad, str(uuid.uuid4()), seen)
        yield what, counting.taken()


if __name__ == "__main__":
    sys.exit(main())
