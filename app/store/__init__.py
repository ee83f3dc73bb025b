"""What Driftwatch keeps, in MongoDB: runs, items (one document a chamber), jobs, models, and who did what.

`Store` is made without connecting; the first use connects, starts the embedded server where no other is named, and
makes the indexes. Connection errors reach the caller as pymongo raises them; `connecting.unavailable` makes them one
sentence.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import NotPrimaryError, PyMongoError

from app.errors import SettingsError, StoreUnavailable
from app.store.answers import Answers
from app.store.attempts import Attempts
from app.store.comparisons import Comparisons
from app.store.connecting import connected
from app.store.embedded import EmbeddedMongo
from app.store.events import Events
from app.store.imports import Imports
from app.store.influences import Influences
from app.store.installation import installation_id
from app.store.items import Items
from app.store.jobs import Jobs
from app.store.labels import Labels
from app.store.models import Models
from app.store.past_scores import PastScores
from app.store.problems import Problems
from app.store.queue import Queue
from app.store.reevaluations import Reevaluations
from app.store.references import References
from app.store.runs import Runs
from app.store.thresholds import Thresholds
from app.store.transfer import Transfer
from app.store.users import Users
from app.subsystems import Subsystem
from config import Settings

log = logging.getLogger(__name__)

DATABASE = "driftwatch"  # where MONGODB_URI names none
RETRY_SECONDS = 2.0  # after a vain connection, others fail at once for so long rather than wait in a row
INDEX_SECONDS = 3_600  # making an index over millions of chambers is not an ordinary operation


class Store:
    """The collections of one database."""

    def __init__(self, settings: Settings, subsystem: Subsystem) -> None:
        self.subsystem = subsystem
        self._uri = settings.mongodb_uri or ""
        self._embedded = None if self._uri else EmbeddedMongo(settings.data_dir)
        self._client: MongoClient | None = None
        self._lock = threading.Lock()
        self._installation: str | None = None
        self._failure, self._failed_at = Exception(), -RETRY_SECONDS

    @property
    def items(self) -> Items:
        return Items(self._database["items"], self.subsystem)

    @property
    def past_scores(self) -> PastScores:
        return PastScores(self._database["past_scores"], self.subsystem)

    @property
    def influences(self) -> Influences:
        return Influences(self._database["influences"], self.subsystem)

    @property
    def queue(self) -> Queue:
        return Queue(self._database["items"], self.subsystem)

    @property
    def labels(self) -> Labels:
        return Labels(self._database["labels"], self.subsystem)

    @property
    def answers(self) -> Answers:
        return Answers(self._database["answers"], self.subsystem)

    @property
    def problems(self) -> Problems:
        return Problems(self._database["problems"], self.subsystem)

    @property
    def runs(self) -> Runs:
        return Runs(self._database["runs"])

    @property
    def jobs(self) -> Jobs:
        return Jobs(self._database["jobs"])

    @property
    def reevaluations(self) -> Reevaluations:
        return Reevaluations(self._database["reevaluations"])

    @property
    def references(self) -> References:
        return References(self._database["references"])

    @property
    def events(self) -> Events:
        return Events(self._database["events"])

    @property
    def models(self) -> Models:
        return Models(self._database)

    @property
    def transfer(self) -> Transfer:
        return Transfer(self._database, self.subsystem)

    @property
    def imports(self) -> Imports:
        return Imports(self._database)

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self._database["model_thresholds"])

    @property
    def comparisons(self) -> Comparisons:
        return Comparisons(self._database["model_comparisons"])

    @property
    def users(self) -> Users:
        return Users(self._database)

    @property
    def attempts(self) -> Attempts:
        return Attempts(self._database)

    @property
    def installation(self) -> str:
        """What tells this database from all others; asked for once."""
        if self._installation is None:
            self._installation = installation_id(self._database)
        return self._installation

    def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            PyMongoError, StoreUnavailable, SettingsError: there is none.
        """
        self._database.command("ping")

    def revive(self) -> None:
        """Start the embedded server again if it died; nothing to do where the database is somebody else's.

        Raises:
            StoreUnavailable: it cannot be started. Until it can, that is what everybody is told.
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
        """Disconnect; stop the embedded server if nobody else uses it."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
            if self._embedded is not None:
                self._embedded.leave()

    @property
    def _database(self) -> Database:
        with self._lock:
            if self._client is None:
                if time.monotonic() - self._failed_at < RETRY_SECONDS:
                    raise self._failure
                try:
                    self._client = self._connect()
                except (PyMongoError, StoreUnavailable, SettingsError) as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    raise
            return self._client.get_default_database(DATABASE)

    def _connect(self) -> MongoClient:
        client = connected(self._embedded.join() if self._embedded else self._uri)
        try:
            client.admin.command("ping")
            if not client.is_primary:  # what follows would be tried again for INDEX_SECONDS
                raise NotPrimaryError("not primary")
            database = client.get_default_database(DATABASE)
            with pymongo.timeout(INDEX_SECONDS):
                _upgrade(database, self.subsystem)
                for keeper in (
                    Items(database["items"], self.subsystem),
                    PastScores(database["past_scores"], self.subsystem),
                    Influences(database["influences"], self.subsystem),
                    Queue(database["items"], self.subsystem),
                    Labels(database["labels"], self.subsystem),
                    Answers(database["answers"], self.subsystem),
                    Problems(database["problems"], self.subsystem),
                    Runs(database["runs"]),
                    Jobs(database["jobs"]),
                    Reevaluations(database["reevaluations"]),
                    Thresholds(database["model_thresholds"]),
                    Users(database),
                    Attempts(database),
                    Imports(database),
                ):
                    keeper.make_indexes()
        except PyMongoError:
            client.close()
            raise
        return client


def _upgrade(database: Database, subsystem: Subsystem) -> None:
    """What later versions keep besides: once in a database's life each, and harmless a second time."""
    items, runs = Items(database["items"], subsystem), Runs(database["runs"])

    def trends() -> None:
        items.upgrade_history()
        runs.upgrade(items.summary)

    def thresholds() -> None:
        was_set = Thresholds(database["model_thresholds"]).models()
        for model in Models(database).all():
            if model.name not in was_set:  # else nobody knows which stood when
                runs.upgrade_threshold(model.name, model.card["thresholds"]["shifter"]["score"])

    def sources() -> None:
        simulated = items.upgrade_simulated()
        Labels(database["labels"], subsystem).upgrade_simulated(runs.upgrade_sources(simulated))

    upgrades = {
        "labels": items.upgrade,
        "trends": trends,
        "thresholds": thresholds,
        "contamination": items.upgrade_contamination,
        "sources": sources,
        "asking again": runs.upgrade_asking_again,
        "answers": Labels(database["labels"], subsystem).upgrade,
    }
    for what, upgrade in upgrades.items():
        if database["upgrades"].find_one({"_id": what}) is None:
            upgrade()
            database["upgrades"].replace_one({"_id": what}, {"at": datetime.now(UTC)}, upsert=True)
