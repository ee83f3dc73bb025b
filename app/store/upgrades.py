"""Upgrades of databases from earlier versions: fields added by later ones are backfilled at the first start."""

from __future__ import annotations

from datetime import UTC, datetime

from app.store.collections import Collections
from app.store.events import Events
from app.store.items import Items
from app.store.jobs import Jobs
from app.store.labels import Labels
from app.store.models import Models
from app.store.runs import Runs
from app.store.thresholds import Thresholds


def upgrade(collections: Collections) -> None:
    """Upgrade the data of a subsystem: each step runs once per database, and is harmless if repeated."""
    items, runs, subsystem = Items(collections), Runs(collections), collections.subsystem

    def trends() -> None:
        items.upgrade_history()
        runs.upgrade(lambda run: items.tally(run).counts)

    def thresholds() -> None:
        was_set = Thresholds(collections).models()
        for model in Models(collections).all():
            if model.name not in was_set:  # otherwise it is unknown which applied when
                runs.upgrade_threshold(model.name, model.card["thresholds"]["shifter"]["score"])

    def sources() -> None:
        simulated = items.upgrade_simulated()
        Labels(collections).upgrade_simulated(runs.upgrade_sources(simulated))

    def subsystems() -> None:
        if subsystem.was_alone:
            for shared in (Jobs, Events):
                shared(collections.database, subsystem.name).upgrade()

    upgrades = {
        "labels": items.upgrade,
        "trends": trends,
        "thresholds": thresholds,
        "contamination": items.upgrade_contamination,
        "sources": sources,
        "asking again": runs.upgrade_asking_again,
        "answers": Labels(collections).upgrade,
        "subsystems": subsystems,
    }
    done = {one["_id"] for one in collections["upgrades"].find({}, {"_id": 1})}
    for what, step in upgrades.items():
        if what not in done:
            step()
            collections["upgrades"].replace_one({"_id": what}, {"at": datetime.now(UTC)}, upsert=True)
