"""In-memory caches of this process for expensive values that are requested repeatedly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from cachetools import LRUCache
from flask import current_app

T = TypeVar("T")


class Cache:
    """The last `most` values, by key. A key must change whenever its value would."""

    def __init__(self, most: int) -> None:
        self._values: LRUCache[Hashable, Any] = LRUCache(most)
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, computing it if necessary. Concurrent requests may both compute it."""
        with self._lock:
            if key in self._values:
                return self._values[key]
        made = make()
        with self._lock:
            self._values[key] = made
        return made


def cache(name: str, most: int) -> Cache:
    """The cache of one kind of values in the current application."""
    return current_app.extensions.setdefault(f"cache_{name}", Cache(most))
