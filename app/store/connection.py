"""The connection of this process to its database, made on first use.

It starts the embedded server if no other is configured, upgrades databases of earlier versions, and makes the indexes.
Connection errors reach the caller as raised by pymongo; `connecting.unavailable` turns them into one sentence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import NotPrimaryError, PyMongoError

from app.errors import SettingsError, StoreUnavailable
from app.store.connecting import SELECTION_MS, connected
from app.store.embedded import EmbeddedMongo
from app.store.installation import installation_id
from config import Settings

DATABASE = "driftwatch"  # if MONGODB_URI names none
RETRY_SECONDS = 2.0  # after a failed connection, fail fast for this long
_END: ContextVar[threading.Event | None] = ContextVar("end", default=None)  # see `until`
INDEX_SECONDS = 3_600  # making an index over millions of items is not an ordinary operation


@contextmanager
def until(end: threading.Event) -> Iterator[None]:
    """A block of this thread that has no database any more once an event is set.

    For what nobody waits for at the end: it must not connect again, and so start the embedded server, after `close`.
    """
    token = _END.set(end)
    try:
        yield
    finally:
        _END.reset(token)


class Connection:
    """A database, connected to on first use.

    Args:
        prepare: upgrades a database and makes its indexes; called for each database connected to.
    """

    def __init__(self, settings: Settings, prepare: Callable[[Database], None]) -> None:
        self._uri, self._prepare = settings.mongodb_uri or "", prepare
        self._embedded = None if self._uri else EmbeddedMongo(settings.data_dir)
        self._client: MongoClient | None = None
        self._lock = threading.Lock()
        self._installation: str | None = None
        self._failure, self._failed_at = Exception(), -RETRY_SECONDS

    @property
    def installation(self) -> str:
        """The id of this database; queried once."""
        if self._installation is None:
            self._installation = installation_id(self.database)
        return self._installation

    def ping(self) -> None:
        """Check that the server answers.

        Raises:
            PyMongoError, StoreUnavailable, SettingsError: it does not.
        """
        self.database.command("ping")

    def revive(self) -> None:
        """Restart the embedded server if it died; do nothing for other databases.

        Raises:
            StoreUnavailable: it cannot be started. Until it can, all users of the connection get this error.
        """
        if self._embedded is None:
            return
        try:
            self._embedded.join()
        except StoreUnavailable as error:
            with self._lock:
                if self._client is not None:
                    self._client.close()
                    self._client = None
                self._failure, self._failed_at = error, time.monotonic()
            raise

    def close(self) -> None:
        """Disconnect; stop the embedded server if no other program uses it."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
            if self._embedded is not None:
                self._embedded.leave()

    @property
    def database(self) -> Database:
        with self._lock:
            if (end := _END.get()) and end.is_set():
                raise StoreUnavailable("Driftwatch is ending, and uses the database no more.")
            if self._client is None or not self._client.topology_description.has_writable_server():
                if time.monotonic() - self._failed_at < RETRY_SECONDS:
                    raise self._failure
                try:
                    if self._client is None:
                        self._client = self._connect()
                    else:
                        _require_answer(self._client)
                except (PyMongoError, StoreUnavailable, SettingsError) as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    raise
            return self._client.get_default_database(DATABASE)

    def _connect(self) -> MongoClient:
        client = connected(self._embedded.join() if self._embedded else self._uri)
        try:
            _require_answer(client)
            if not client.is_primary:  # otherwise the next steps would be retried for INDEX_SECONDS
                raise NotPrimaryError("not primary")
            database = client.get_default_database(DATABASE)
            with pymongo.timeout(INDEX_SECONDS):
                self._prepare(database)
        except PyMongoError:
            client.close()
            raise
        return client


def _require_answer(client: MongoClient) -> None:
    """Wait for a sign of life no longer than SELECTION_MS, which pymongo itself ignores where timeoutMS is set.

    Raises:
        PyMongoError: there is none.
    """
    with pymongo.timeout(SELECTION_MS / 1_000):
        client.admin.command("ping")
