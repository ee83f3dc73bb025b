"""What people answered independently of each other, in memory and in step with what is said.

To read it all takes the longer the more there is, and pages need it while people label. So only the items of new events
are read again. What follows from it: see `agreement`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from app.labelling.agreement import Way, way_of

if TYPE_CHECKING:
    from app.store import Store
    from app.store.queue import Where

MOST_NEW = 200  # events; of more of them all is read again


class IndependentAnswers:
    """What `agreement` is made of. Several threads may use one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._ways: dict[Where, Way] = {}
        self._items: Counter[Way] = Counter()  # of how many items each way is
        self._count = -1  # how many events are in it
        self._newest: tuple[datetime, frozenset[str]] | None = None  # the time of the last of them, and their ids

    def read(self) -> Mapping[Way, int]:
        """In which ways at least two people answered → of how many items."""
        with self._lock:
            self._keep_up()
            return dict(self._items)

    def _keep_up(self) -> None:
        labels = self._store.labels
        count = labels.count_all()  # before anything is read: an event that comes meanwhile is read once more
        if count == self._count:
            return
        at, ids = self._newest or (None, frozenset())
        found = [] if at is None else labels.newest(at, MOST_NEW + len(ids))
        new = [event for event in found if event.id not in ids]
        if new and len(new) == count - self._count:
            items = {(event.run, event.place): labels.of_item(event.run, event.place) for event in new}
        else:  # the first time; or they are many, or not the newest, as where labels were imported
            self._ways, self._items = {}, Counter()
            found, items = labels.newest(None, MOST_NEW), labels.doubly_labelled()
        for where, events in items.items():
            if where in self._ways:
                self._items -= Counter([self._ways.pop(where)])
            way = way_of(events, self._store.subsystem.parts(where[1]))
            if len(way[1]) > 1:
                self._ways[where] = way
                self._items[way] += 1
        self._count = count
        if found:
            at = found[0].at
            self._newest = at, frozenset(event.id for event in found if event.at == at)
