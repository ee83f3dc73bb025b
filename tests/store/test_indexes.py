"""Reading in pieces."""

import pytest

from app.store.indexes import in_pieces


@pytest.fixture
def collection(driftwatch):
    made = driftwatch.store._database["numbers"]
    made.create_index(["a", "b"], unique=True)
    made.insert_many({"a": n % 3, "b": n, "even": n % 2 == 0, "large": "x" * 1_000} for n in range(20))
    yield made
    made.drop()


def read(collection, **changes):
    return list(in_pieces(collection, **{"filters": {}, "index": ["a", "b"], "piece": 4} | changes))


@pytest.mark.parametrize("piece", [2, 4, 5, 20, 21])
def test_every_document_comes_once_and_in_order(collection, piece):
    found = read(collection, piece=piece, without=["large"])
    assert [(one["a"], one["b"]) for one in found] == sorted((n % 3, n) for n in range(20))
    assert not any("large" in one for one in found)
    assert [one["b"] for one in read(collection, piece=piece, filters={"a": 2, "even": True})] == [2, 8, 14]
    assert read(collection, piece=piece, filters={"a": 7}) == []


def test_what_is_deleted_or_added_meanwhile_does_not_disturb_the_rest(collection):
    found = in_pieces(collection, {}, ["a", "b"], piece=4)
    first = [next(found)["b"] for _ in range(4)]
    assert first == [0, 3, 6, 9]
    collection.delete_many({"b": {"$in": [9, 12]}})
    collection.insert_one({"a": 0, "b": 10})
    assert [one["b"] for one in found] == [10, 15, 18, 1, 4, 7, 10, 13, 16, 19, 2, 5, 8, 11, 14, 17]


def test_no_query_asks_for_more_than_a_piece(collection):
    database = collection.database
    database.command("profile", 2)
    assert len(read(collection)) == 20
    database.command("profile", 0)
    asked = list(database["system.profile"].find({"ns": collection.full_name}))
    database.drop_collection("system.profile")  # so that the next test can have the database
    assert len(asked) > 5
    assert all(one["op"] == "query" and one["keysExamined"] <= 5 and one["docsExamined"] <= 4 for one in asked)
