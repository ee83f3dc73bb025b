"""What is counted over all runs is counted in an index: with 10,000 runs their documents would take too long."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pymongo import IndexModel
from pymongo.collection import Collection

from app.store.indexes import make_indexes
from app.store.items import SCORED, ItemQuery, Items, ItemState
from app.store.labels import LabelQuery
from app.store.runs import Runs, RunState

RUNS = 40


@pytest.fixture
def runs(driftwatch) -> Runs:
    """Of 40 runs half are scored by "a", half by "b", ten of which keep what "a" said; one has no chambers yet."""
    runs = driftwatch.store.runs
    for number in range(1, RUNS + 1):
        runs.request(number, "tests", 250)
        model = "a" if number % 2 else "b"
        changes = {"state": RunState.FINISHED, "done": 250, "model": model, "summary": {"bad_items": number}}
        if number % 4 == 0:
            changes["kept"] = ["a"]
        if number <= 20:
            changes["drift"] = {"model": model}
        runs.update(number, **changes)
    runs.request(RUNS + 1, "tests", 250)
    return runs


@pytest.mark.parametrize(
    ("count", "expected", "most_keys"),
    [
        (lambda runs: runs.count_by_model(), {"a": 20, "b": 20}, RUNS),
        (lambda runs: runs.count_scored(), 40, RUNS),
        (lambda runs: runs.count_scored(model="a"), 20, RUNS),
        (lambda runs: runs.count_kept("a"), 10, 10),
        (lambda runs: runs.count_kept("b"), 0, 0),
        (lambda runs: runs.count_to_measure("a"), 10, 10),
        (lambda runs: runs.count_with_drift(1, 15), 15, 20),
        (lambda runs: runs.count(RunState.FINISHED), 40, RUNS),
    ],
)
def test_runs_are_counted_without_reading_them(runs, count, expected, most_keys):
    documents, keys = examined(runs._collection, lambda: count(runs), expected)
    assert documents == 0
    assert keys <= most_keys + 2


@pytest.fixture
def items(driftwatch) -> Items:
    """Of 30 runs two chambers each: one labelled, one waiting."""
    begin = {"subsystem": "dt", "wheel": 0, "station": 1, "state": "judged", "model": "a", "known": False}
    driftwatch.store.items._collection.insert_many(
        begin
        | {"run": run, "sector": 1 + labelled, "rank": run / 100, "worst": 0.5 + run / 100, "labelled": labelled}
        | {"waiting": not labelled, "recheck": False}
        | ({"contamination": 0.5, "evaluation": {"state": "disputed"}} if labelled else {})
        for run in range(30)
        for labelled in (False, True)
    )
    return driftwatch.store.items


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ItemQuery("a", SCORED), 60),
        (ItemQuery("a", frozenset(ItemState), least=0.65, place={"wheel": 0}), 30),
        (ItemQuery("a", uncertain=0.1), 20),
        (ItemQuery("a", SCORED, labelled=False), 30),
        (ItemQuery("a", labelled=True, waiting=False, sort="contamination"), 30),
        (ItemQuery(None, SCORED, disputed=True, sort="run"), 30),
    ],
)
def test_the_rows_of_a_list_are_counted_without_reading_them(items, query, expected):
    documents, _ = examined(items._collection, lambda: items.count(query), expected)
    assert documents == 0


@pytest.mark.parametrize("query", [LabelQuery(), LabelQuery(by="ann"), LabelQuery(place={"wheel": 0})])
def test_labels_are_counted_without_reading_them(driftwatch, query):
    labels = driftwatch.store.labels
    labels._collection.insert_many(
        {"subsystem": "dt", "run": run, "wheel": 0, "station": 1, "sector": 1, "seq": 1, "key": f"{run}", "by": "ann"}
        for run in range(30)
    )
    documents, _ = examined(labels._collection, lambda: labels.count(query), 30)
    assert documents == 0


def test_an_index_that_has_other_fields_now_is_made_anew(driftwatch):
    collection = driftwatch.store.items._collection
    collection.create_index(["run", "sector"], name="before")
    make_indexes(collection, [IndexModel(["run", "station"], name="before")], gone=["draw_1"])
    assert collection.index_information()["before"]["key"] == [("run", 1), ("station", 1)]
    make_indexes(collection, [IndexModel("hits")], gone=["before", "never_was"])
    assert "before" not in collection.index_information()


def examined(collection: Collection, count: Callable[[], object], expected: object) -> tuple[int, int]:
    """How many documents and how many keys the database reads to count so many."""
    database = collection.database
    database.command("profile", 2)
    assert count() == expected
    database.command("profile", 0)
    read = database["system.profile"].find_one({"ns": collection.full_name, "op": "command"}, sort=[("ts", -1)])
    return read["docsExamined"], read["keysExamined"]
