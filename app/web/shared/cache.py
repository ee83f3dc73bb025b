"""What is costly to make and asked for again and again, kept in memory by this process: a few of the last ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from cachetools import LRUCache
from flask import current_app

T = TypeVar("T")


class Kept:
    """The last `most` values, by key. A key must change with whatever its value is made of."""

    def __init__(self, most: int) -> None:
        self._values: LRUCache[Hashable, Any] = LRUCache(most)
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not here. Two who ask at once may both make it."""
        with self._lock:
            if key in self._values:
                return self._values[key]
        made = make()
        with self._lock:
            self._values[key] = made
        return made


def kept(name: str, most: int) -> Kept:
    """Those of one kind, of the application that serves this request."""
    return current_app.extensions.setdefault(f"kept_{name}", Kept(most))
