"""Recent sign-in attempts, counted across processes: the moving windows of `limits`, in our database."""

from __future__ import annotations

from typing import Any

from limits import RateLimitItem
from limits.storage import MongoDBStorage
from limits.strategies import MovingWindowRateLimiter
from pymongo import ASCENDING
from pymongo.database import Database


class Attempts:
    """Counts attempts by name or by address."""

    def __init__(self, database: Database) -> None:
        self._windows = database["sign_in_attempts"]
        self._limiter = MovingWindowRateLimiter(_Windows(database))

    def make_indexes(self) -> None:
        self._windows.create_index([("expireAt", ASCENDING)], expireAfterSeconds=0)

    def count(self, limit: RateLimitItem, who: str) -> bool:
        """Count an attempt; False, without counting it, if it would exceed the limit."""
        return self._limiter.hit(limit, who)

    def free_at(self, limit: RateLimitItem, who: str) -> float:
        """When the next attempt is possible, in seconds since 1970."""
        return self._limiter.get_window_stats(limit, who).reset_time

    def forget(self, limit: RateLimitItem, who: str) -> None:
        self._limiter.clear(limit, who)


class _Windows(MongoDBStorage):
    """The storage of `limits` on our own connection, instead of an additional one."""

    STORAGE_SCHEME: Any = None  # cannot be selected by a URI
    storage: Any = None  # it has no client of its own to close

    def __init__(self, database: Database) -> None:
        super().__init__("", window_collection_name="sign_in_attempts")
        self._ours = database

    @property
    def _database(self) -> Database:
        return self._ours
