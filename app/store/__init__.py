"""What Driftwatch stores in MongoDB: each subsystem's runs, items, labels and models; jobs; the audit trail."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.database import Database

from app.store.answers import Answers
from app.store.attempts import Attempts
from app.store.collections import Collections
from app.store.comparisons import Comparisons
from app.store.connection import Connection
from app.store.events import Events
from app.store.imports import Imports
from app.store.influences import Influences
from app.store.item_lists import ItemLists
from app.store.items import Items
from app.store.jobs import Jobs
from app.store.labels import Labels
from app.store.models import Models
from app.store.past_scores import PastScores
from app.store.problems import Problems
from app.store.queue import Leases
from app.store.reevaluations import Reevaluations
from app.store.references import References
from app.store.runs import Runs
from app.store.thresholds import Thresholds
from app.store.transfer import Transfer
from app.store.upgrades import upgrade
from app.store.users import Users
from app.subsystems import Subsystem
from config import Settings


class Store:
    """The data of one subsystem, and what all subsystems share: jobs, accounts, the audit trail.

    Created without connecting: see `Connection`.
    """

    def __init__(self, settings: Settings, subsystem: Subsystem, connection: Connection | None = None) -> None:
        self.subsystem = subsystem
        self._connection = connection or connection_of(settings, [subsystem])

    @property
    def items(self) -> Items:
        return Items(self._mine)

    @property
    def lists(self) -> ItemLists:
        return ItemLists(self._mine)

    @property
    def past_scores(self) -> PastScores:
        return PastScores(self._mine)

    @property
    def influences(self) -> Influences:
        return Influences(self._mine)

    @property
    def queue(self) -> Leases:
        return Leases(self._mine)

    @property
    def labels(self) -> Labels:
        return Labels(self._mine)

    @property
    def answers(self) -> Answers:
        return Answers(self._mine)

    @property
    def problems(self) -> Problems:
        return Problems(self._mine)

    @property
    def runs(self) -> Runs:
        return Runs(self._mine)

    @property
    def jobs(self) -> Jobs:
        return Jobs(self._database, self.subsystem.name)

    @property
    def reevaluations(self) -> Reevaluations:
        return Reevaluations(self._mine)

    @property
    def references(self) -> References:
        return References(self._mine)

    @property
    def events(self) -> Events:
        return Events(self._database, self.subsystem.name)

    @property
    def models(self) -> Models:
        return Models(self._mine)

    @property
    def transfer(self) -> Transfer:
        return Transfer(self._mine)

    @property
    def imports(self) -> Imports:
        return Imports(self._mine)

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self._mine)

    @property
    def comparisons(self) -> Comparisons:
        return Comparisons(self._mine)

    @property
    def users(self) -> Users:
        return Users(self._database)

    @property
    def attempts(self) -> Attempts:
        return Attempts(self._database)

    @property
    def installation(self) -> str:
        """The id of this database; queried once."""
        return self._connection.installation

    def ping(self) -> None:
        """See `Connection.ping`."""
        self._connection.ping()

    def revive(self) -> None:
        """See `Connection.revive`."""
        self._connection.revive()

    def close(self) -> None:
        """See `Connection.close`."""
        self._connection.close()

    @property
    def _database(self) -> Database:
        return self._connection.database

    @property
    def _mine(self) -> Collections:
        return Collections(self._database, self.subsystem)


def connection_of(settings: Settings, subsystems: Sequence[Subsystem]) -> Connection:
    """A connection that prepares its database for some subsystems."""

    def prepare(database: Database) -> None:
        for subsystem in subsystems:
            mine = Collections(database, subsystem)
            upgrade(mine)
            for keeper in (
                Items(mine),
                ItemLists(mine),
                PastScores(mine),
                Influences(mine),
                Leases(mine),
                Labels(mine),
                Answers(mine),
                Problems(mine),
                Runs(mine),
                Reevaluations(mine),
                Thresholds(mine),
                Imports(mine),
            ):
                keeper.make_indexes()
        for shared in (Jobs(database, subsystems[0].name), Users(database), Attempts(database)):
            shared.make_indexes()

    return Connection(settings, prepare)
