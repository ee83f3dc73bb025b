"""What is kept of the answers of several people is what their labels say."""

import random
from collections import Counter

import pytest
from items import PLACES, judgement, key, load

from app.domain.agreement import is_like, way_of
from app.domain.labels import Seen

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


def from_labels(driftwatch):
    """The same, made from every label."""
    said = driftwatch.store.labels.of_run(1).items()
    ways = (way_of(events, driftwatch.store.subsystem.parts(place)) for place, events in said)
    return Counter(way for way in ways if len(way[1]) > 1)


def test_what_is_said_is_added_and_what_is_withdrawn_is_taken_out(doubled, say):
    ways, draw = doubled.store.answers.ways, random.Random(1)
    assert ways() == {}
    for number, place in enumerate(FEW, 1):
        say("ann", place, [3])
        assert ways() == from_labels(doubled)
        last = say("bob", place, draw.choice([[3], [4], [4, 12], []]))
        assert sum(ways().values()) == number
        assert ways() == from_labels(doubled)
    doubled.labelling.undo("bob", last.id, key())
    assert sum(ways().values()) == 5
    assert ways() == from_labels(doubled)


def test_what_is_made_of_older_events_does_not_take_the_place_of_newer(doubled, say):
    answers = doubled.store.answers
    say("ann", FEW[0], [3])
    last = say("bob", FEW[0], [4])
    there = answers.ways()
    answers.keep(1, FEW[0], last.seq - 1, way_of([], [1, 2]))
    assert answers.ways() == there
    answers.keep(1, FEW[0], last.seq + 1, way_of([], [1, 2]))
    assert answers.ways() == {}


def test_a_database_of_an_earlier_version_gets_them_once(doubled, say, make_driftwatch):
    for person, bad in {"ann": [3], "bob": [3, 4]}.items():
        say(person, FEW[0], bad)
    database = doubled.store.labels._collection.database
    database.drop_collection("answers")
    database["upgrades"].delete_one({"_id": "answers"})
    later = make_driftwatch(mongodb_uri=doubled.settings.mongodb_uri)
    later.reconcile()
    assert later.store.answers.ways() == from_labels(doubled) != {}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["run", "sector"])
def test_the_items_of_some_ways_are_found_in_order(doubled, say, sort, descending):
    load(doubled, 2, {place: judgement({3: 0.6}) for place in FEW[:2]})
    for place in FEW:
        say("ann", place, [3])
        say("bob", place, [3] if place == FEW[2] else [4])
    answers = doubled.store.answers
    differ = [way for way in answers.ways() if is_like(way, alike=False)]
    found = answers.find(differ, sort, descending, 0, 10)
    assert {place for _, place, _ in found} == set(FEW) - {FEW[2]}
    assert all(is_like(way, ["ann", "bob"], 3, alike=False) for _, _, way in found)
    values = [run if sort == "run" else place.sector for run, place, _ in found]
    assert values == sorted(values, reverse=descending)
    assert answers.find(differ, sort, descending, 2, 2) == found[2:4]


def test_they_are_counted_in_an_index(doubled, say):
    for person in ("ann", "bob"):
        say(person, FEW[0], [3])
    database = doubled.store.labels._collection.database
    database.command("profile", 2)
    assert doubled.store.answers.ways()
    database.command("profile", 0)
    (read,) = database["system.profile"].find({"ns": f"{database.name}.answers"})
    database.drop_collection("system.profile")  # so that the next test can have the database
    assert (read["keysExamined"], read["docsExamined"]) == (1, 0)
