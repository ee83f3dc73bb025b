"""What is kept in memory of the answers is what is in the database, whatever was said meanwhile."""

import random
from datetime import timedelta

import pytest
from items import PLACES, judgement, key, load

from app.labelling.answers import MOST_NEW, IndependentAnswers
from app.labelling.events import Seen

FEW = PLACES[:6]


@pytest.fixture
def doubled(make_driftwatch):
    """Every chamber wants a second opinion."""
    driftwatch = make_driftwatch(second_opinions=1)
    load(driftwatch, 1, {place: judgement({3: 0.6}) for place in FEW})
    return driftwatch


@pytest.fixture
def say(doubled):
    def say(person, place, bad):
        seen = Seen.of(doubled.store.items.look(1, place))
        return doubled.labelling.submit(person, 1, place, bad, key(), seen).event

    return say


def fresh(driftwatch):
    return IndependentAnswers(driftwatch.store).read()


def read_all(driftwatch, read):
    """How often all of the labels are read."""
    database = driftwatch.store.labels._collection.database
    database.command("profile", 2)
    read()
    database.command("profile", 0)
    found = database["system.profile"].count_documents({"command.filter.blind": True})
    database["system.profile"].drop()
    return found


def test_what_is_said_later_is_added_and_what_is_withdrawn_is_taken_out(doubled, say):
    kept, draw = IndependentAnswers(doubled.store), random.Random(1)
    assert read_all(doubled, kept.read) == 1
    for number, place in enumerate(FEW):
        say("ann", place, [3])
        assert sum(kept.read().values()) == number
        last = say("bob", place, draw.choice([[3], [4], []]))
        assert sum(kept.read().values()) == number + 1
    doubled.labelling.undo("bob", last.id, key())
    assert read_all(doubled, kept.read) == 0
    assert kept.read() == fresh(doubled)
    assert sum(kept.read().values()) == 5


def test_labels_that_came_with_an_older_time_are_seen_too(doubled, say):
    kept = IndependentAnswers(doubled.store)
    for person in ("ann", "bob"):
        say(person, FEW[0], [3])
    assert sum(kept.read().values()) == 1
    for person in ("ann", "bob"):
        event = say(person, FEW[1], [4])
        labels = doubled.store.labels._collection
        labels.update_one({"key": event.key}, {"$set": {"at": event.at - timedelta(days=9)}})
    assert read_all(doubled, kept.read) == 1
    assert kept.read() == fresh(doubled)
    assert sum(kept.read().values()) == 2


def test_more_than_are_looked_up_one_by_one_are_all_read_again(doubled, say):
    kept = IndependentAnswers(doubled.store)
    for person in ("ann", "bob"):
        say(person, FEW[0], [3])
    kept.read()
    for _ in range(MOST_NEW // 2 + 1):
        doubled.labelling.undo("bob", say("bob", FEW[0], [4]).id, key())
    say("bob", FEW[1], [5])
    say("ann", FEW[1], [])
    assert read_all(doubled, kept.read) == 1
    assert kept.read() == fresh(doubled)
    assert sum(kept.read().values()) == 2
