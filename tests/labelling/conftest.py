from datetime import UTC, datetime, timedelta

import pytest
from items import PLACES, judgement, key, load

from app.domain.labels import Seen


@pytest.fixture
def make_driftwatch(make_app):
    """Makes a Driftwatch without controls, so that the queue's order is known."""

    def make(**settings):
        return make_app(**{"control_share": 0, **settings}).extensions["driftwatch"]

    return make


@pytest.fixture
def driftwatch(make_driftwatch):
    return make_driftwatch()


@pytest.fixture
def labelling(driftwatch):
    return driftwatch.labelling


@pytest.fixture
def ten(driftwatch):
    """Ten chambers of run 1, the first the least certain, by layer 3: scores 0.51, 0.53, … 0.69."""
    places = PLACES[:10]
    load(driftwatch, 1, {place: judgement({3: 0.51 + 0.02 * i}) for i, place in enumerate(places)})
    return places


@pytest.fixture
def submit(driftwatch):
    """Submits what a person sees now: `submit("ann", place, [3])`."""

    def submit(person, place, bad=(), run=1, **more):
        item = driftwatch.store.items.look(run, place)
        given = {"key": key(), "seen": Seen.of(item), **more}
        return driftwatch.labelling.submit(person, run, place, bad, **given)

    return submit


@pytest.fixture
def expire(driftwatch):
    """Lets all leases run out, as if their time had passed."""

    def expire():
        past = datetime.now(UTC) - timedelta(seconds=1)
        items = driftwatch.store.items._collection
        items.update_many({"held_by": {"$exists": True}}, {"$set": {"held_until": past}})

    return expire
