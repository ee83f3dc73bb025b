"""What is counted, or passed over, is so in an index: with 10,000 runs the documents would take too long."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import IndexModel, MongoClient
from pymongo.collection import Collection
from waiting import wait_until

from app.domain.items import SCORED, ItemQuery, ItemState
from app.domain.runs import RunState
from app.store.embedded import EmbeddedMongo
from app.store.indexes import make_indexes
from app.store.item_lists import ItemLists
from app.store.labels import LabelQuery, Labels
from app.store.runs import Runs
from app.subsystems.dt import DT
from app.web.labels.label_lists import EVENT_SORTS

RUNS = 40
START, MINUTE = datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=1)


@pytest.fixture
def runs(driftwatch) -> Runs:
    """Of 40 runs half are scored by "a", half by "b", ten of which keep what "a" said; one has no chambers yet."""
    runs = driftwatch.store.runs
    for number in range(1, RUNS + 1):
        runs.request(number, "tests", 250)
        model = "a" if number % 2 else "b"
        changes = {"state": RunState.FINISHED, "done": 250, "model": model, "summary": {"bad_items": number}}
        changes["threshold"] = 0.5 if number <= 30 else 0.4
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
        (lambda runs: runs.count_scored(model="a", threshold=0.4), 5, 5),
        (lambda runs: runs.count_to_score("a", 0.5), (20, 5), 25 + 2),  # and two counts end where no more can come
        (lambda runs: runs.count_to_score("c", 0.5), (40, 0), RUNS),
        (lambda runs: runs.count_kept("a"), 10, 10),
        (lambda runs: runs.count_kept("b"), 0, 0),
        (lambda runs: runs.count_to_measure("a"), 10, 10),
        (lambda runs: runs.count_with_drift(1, 15), 15, 20),
        (lambda runs: runs.count(RunState.FINISHED), 40, RUNS),
        (lambda runs: runs.count(), 41, RUNS + 1),
    ],
)
def test_runs_are_counted_without_reading_them(runs, count, expected, most_keys):
    documents, keys = examined(runs._collection, lambda: count(runs), expected)
    assert documents == 0
    assert keys <= most_keys + 2


@pytest.mark.parametrize("sort", Runs.SORTS)
@pytest.mark.parametrize("state", [None, RunState.FINISHED])
def test_a_page_of_runs_far_on_reads_only_its_own(runs, sort, state):
    found, read = profiled(runs._collection, lambda: runs.find(state, sort, skip=30, limit=5))
    assert len(found) == read["docsExamined"] == 5


def test_a_page_of_measured_runs_far_on_reads_only_its_own(runs):
    found, read = profiled(runs._collection, lambda: runs.with_drift(1, 18, skip=10, limit=5))
    assert [run.number for run in found] == [8, 7, 6, 5, 4]
    assert read["docsExamined"] == 5


@pytest.fixture
def lists(driftwatch) -> ItemLists:
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
    return driftwatch.store.lists


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
def test_the_rows_of_a_list_are_counted_without_reading_them(lists, query, expected):
    documents, _ = examined(lists._collection, lambda: lists.count(query), expected)
    assert documents == 0


@pytest.mark.parametrize(
    "query",
    [
        ItemQuery("a", SCORED),
        ItemQuery("a", SCORED, sort="score", descending=True, place={"wheel": 0}),
        ItemQuery("a", SCORED, place={"wheel": 0, "station": 1}),
        ItemQuery("a", SCORED, least=0.51, sort="sector"),
        ItemQuery("a", SCORED, labelled=False, sort="station"),
        ItemQuery("a", labelled=True, waiting=False, sort="contamination"),
        ItemQuery("a", labelled=True, waiting=False, sort="wheel", least=0.51),
    ],
)
def test_a_page_far_on_reads_only_its_own_rows_and_from_one_index(lists, query):
    found, read = profiled(lists._collection, lambda: lists.find(query, 20, 5))
    assert len(found) == 5
    assert read["docsExamined"] == 5
    assert "fromMultiPlanner" not in read


def test_a_calibration_reads_an_index_alone(lists):
    said = {"scores": [0.5], "bad": [1]}
    lists._collection.update_many({"labelled": True, "run": {"$gte": 10}}, {"$set": {"scored_and_said": said}})
    found, read = profiled(lists._collection, lambda: lists.labelled_scores("a", {"wheel": 0}, 15))
    assert found == [([0.5], [1])] * 15
    assert (read["docsExamined"], read["keysExamined"]) == (0, 15)


@pytest.fixture
def wheels(lists) -> ItemLists:
    """Those and, in wheel 1, 200 with higher scores and as many with lower ones."""
    begin = {"subsystem": "dt", "wheel": 1, "station": 1, "state": "judged", "model": "a", "labelled": False}
    lists._collection.insert_many(
        begin | {"run": run, "sector": 1 + bad, "rank": 0.5, "worst": (0.1, 0.99)[bad]}
        for run in range(200)
        for bad in (False, True)
    )
    return lists


@pytest.mark.parametrize(
    "query",
    [
        ItemQuery("a", SCORED, sort="score", descending=True, place={"wheel": 0}),
        ItemQuery("a", SCORED, sort="score", least=0.6, place={"wheel": 0}),
        ItemQuery("a", SCORED, place={"wheel": 1, "station": 1, "sector": 1}),
        ItemQuery("a", SCORED, place={"wheel": 1}, sort="wheel"),
        ItemQuery("a", SCORED, place={"station": 1}, uncertain=0.1),
    ],
)
def test_other_places_are_not_passed_over(wheels, query):
    found, read = profiled(wheels._collection, lambda: wheels.find(query, 10, 5))
    assert len(found) == 5
    assert read["keysExamined"] <= 30


@pytest.mark.parametrize("skip", range(180, 210, 3))
def test_a_page_across_where_the_high_scores_end_is_like_any_other(wheels, skip):
    query = ItemQuery("a", SCORED, sort="score", descending=True, place={"wheel": 1})
    in_order = [(run, 1 + bad) for bad in (True, False) for run in reversed(range(200))]
    found = wheels.find(query, skip, 10)
    assert [(item.run, item.place.sector) for item in found] == in_order[skip : skip + 10]


@pytest.fixture
def labels(driftwatch) -> Labels:
    """30 events of two people."""
    common = {"subsystem": "dt", "wheel": 0, "station": 1, "sector": 1, "seq": 1, "kind": "label", "reason": ""}
    driftwatch.store.labels._collection.insert_many(
        common | {"run": run, "key": f"{run}", "by": ("ann", "bob")[run % 2], "at": START + run * MINUTE, "bad": []}
        for run in range(30)
    )
    return driftwatch.store.labels


@pytest.mark.parametrize(
    ("query", "expected"), [(LabelQuery(), 30), (LabelQuery(by="ann"), 15), (LabelQuery(place={"wheel": 0}), 30)]
)
def test_labels_are_counted_without_reading_them(labels, query, expected):
    documents, _ = examined(labels._collection, lambda: labels.count(query), expected)
    assert documents == 0


@pytest.mark.parametrize("sort", sorted(EVENT_SORTS))
@pytest.mark.parametrize("by", [None, "bob"])
def test_a_page_of_labels_far_on_reads_only_its_own_rows(labels, sort, by):
    found, read = profiled(labels._collection, lambda: labels.find(LabelQuery(by=by, sort=sort), 10, 5))
    assert len(found) == 5
    assert read["docsExamined"] == 5
    assert "fromMultiPlanner" not in read


def test_a_page_of_disputes_reads_the_events_of_its_own_items_alone(driftwatch):
    labels, (first, second, *_) = driftwatch.store.labels, DT.places()
    common = {"subsystem": "dt", "kind": "label", "reason": "", "by": "ann", "at": START, "bad": []}
    labels._collection.insert_many(
        common | DT.identity(run, place) | {"seq": seq, "key": f"{run}-{place}-{seq}"}
        for run in (1, 2)
        for place in DT.places()
        for seq in (2, 1)
    )
    wanted = [(1, first), (2, second)]
    found, read = profiled(labels._collection, lambda: labels.of_items(wanted))
    assert {where: [event.seq for event in said] for where, said in found.items()} == {key: [1, 2] for key in wanted}
    assert read["docsExamined"] == 4
    assert labels.of_items([(3, first)]) == {(3, first): []}
    assert labels.of_items([]) == {}


def test_after_mongod_was_killed_what_is_paged_through_and_decided_by_is_counted(make_app, tmp_path):
    server = EmbeddedMongo(tmp_path)
    uri = server.join()
    store = make_app(mongodb_uri=uri).extensions["driftwatch"].store
    store.runs.any()  # the indexes are made
    with MongoClient(uri) as client:
        client.admin.command("fsync")  # what MongoDB knows without counting is as of now, when there is nothing
    for run in range(1, 31):
        store.runs.request(run, "tests", 250)
    common = {"subsystem": "dt", "wheel": 0, "station": 1, "sector": 1, "seq": 1, "kind": "label", "reason": ""}
    store.labels._collection.insert_many(
        common | {"run": run, "key": f"{run}", "by": "ann", "at": START + run * MINUTE, "bad": []} for run in range(30)
    )
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server._answers())
    store.revive()
    server.join()
    assert store.runs._collection.estimated_document_count() < 30, "MongoDB counted; this test tries nothing"
    assert (store.runs.any(), store.runs.count()) == (True, 30)
    assert len(store.labels.find(LabelQuery(), 20, 20)) == store.labels.count(LabelQuery()) - 20 == 10
    assert store.labels.stamp().startswith("30-")
    assert store.runs.stamp().startswith("30-")
    server.leave()


def test_an_index_that_has_other_fields_now_is_made_anew(driftwatch):
    collection = driftwatch.store.items._collection
    collection.create_index(["run", "sector"], name="before")
    make_indexes(collection, [IndexModel(["run", "station"], name="before")], gone=["draw_1"])
    assert collection.index_information()["before"]["key"] == [("run", 1), ("station", 1)]
    make_indexes(collection, [IndexModel("hits")], gone=["before", "never_was"])
    assert "before" not in collection.index_information()


def examined(collection: Collection, count: Callable[[], object], expected: object) -> tuple[int, int]:
    """How many documents and how many keys the database reads to count so many."""
    found, read = profiled(collection, count)
    assert found == expected
    return read["docsExamined"], read["keysExamined"]


def profiled(collection: Collection, do: Callable[[], Any]) -> tuple[Any, Mapping[str, Any]]:
    """What comes of one query, and what the database notes of it."""
    database = collection.database
    database.command("profile", 2)
    found = do()
    database.command("profile", 0)
    noted = {"ns": collection.full_name, "op": {"$in": ["command", "query"]}}
    read = database["system.profile"].find_one(noted, sort=[("ts", -1)])
    database.drop_collection("system.profile")  # so that the next test can have the database
    return found, read
