"""Scores that others took the place of are kept, come back, and go with their run."""

import pytest

from app.domain.items import ItemState
from app.domain.judgement import Judgement, Verdict
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.simulate import simulate_chamber

PLACES = [Chamber(wheel=wheel, station=1, sector=4) for wheel in (-2, 0, 1)]


@pytest.fixture
def items(driftwatch):
    driftwatch.store.items.store(1, [(place, simulate_chamber(302635, place).occupancy) for place in PLACES], "test")
    return driftwatch.store.items


def scored(score, embedding=None):
    verdict, reason = (Verdict.BAD, f"score {score:.2f} ≥ 0.5") if score >= 0.5 else (Verdict.GOOD, "")
    return Judgement((score,) * 12, (verdict,) * 12, (reason,) * 12, abs(0.5 - score), embedding, 0.5)


def keep(items, model, scores, run=1):
    given = [
        (place, scored(score, model.encode()), [{"layer": 1}]) for place, score in zip(PLACES, scores, strict=False)
    ]
    items.keep_scores(run, given, model)


def document(items, place=PLACES[0]):
    found = items._collection.find_one({"run": 1, "wheel": place.wheel})
    return {name: value for name, value in found.items() if name not in ("fetched_at",)}


def test_scores_are_kept_when_another_model_replaces_them(items, driftwatch):
    keep(items, "a", (0.1, 0.2, 0.9))
    assert driftwatch.store.past_scores.of_item(1, PLACES[0]) == []
    before = items.get(1, PLACES[0])
    keep(items, "b", (0.6, 0.7, 0.8))
    (past,) = driftwatch.store.past_scores.of_item(1, PLACES[0])
    assert (past.model, past.judgement, past.scored_at) == ("a", before.judgement, before.scored_at)
    assert driftwatch.store.past_scores.count_by_model(1) == {"a": 3}


def test_scores_come_back_as_they_were_and_those_they_replace_are_kept_too(items, driftwatch):
    keep(items, "a", (0.1, 0.2, 0.9))
    before = document(items)
    keep(items, "b", (0.6, 0.7, 0.8))
    items.restore_scores(1, "a", 0.5)
    assert document(items) == before
    assert driftwatch.store.past_scores.count_by_model(1) == {"a": 3, "b": 3}
    items.restore_scores(1, "b", 0.5)
    assert items.get(1, PLACES[0]).judgement.worst == 0.6


def test_what_is_put_back_twice_or_is_not_kept_changes_nothing(items):
    keep(items, "a", (0.1, 0.2, 0.9))
    before = document(items)
    items.restore_scores(1, "a", 0.5)
    items.restore_scores(1, "none-such", 0.5)
    assert document(items) == before


def test_what_comes_back_has_the_verdicts_of_the_threshold_that_stands_now(items):
    keep(items, "a", (0.1, 0.2, 0.9))
    keep(items, "b", (0.6, 0.7, 0.8))
    items.restore_scores(1, "a", 0.15)
    assert [item.judgement.bad for item in items.of_run(1)] == [0, 12, 12]
    assert items.get(1, PLACES[1]).judgement.reasons[0] == "score 0.20 ≥ 0.15"


def test_scores_of_another_histogram_are_not_put_back(items):
    keep(items, "a", (0.1, 0.2, 0.9))
    keep(items, "b", (0.6, 0.7, 0.8))
    items.store(1, [(PLACES[0], simulate_chamber(302636, PLACES[0]).occupancy)], "test")
    items.restore_scores(1, "a", 0.5)
    assert [(item.state, item.model) for item in items.of_run(1)] == [
        (ItemState.UNSCORED, ""),
        (ItemState.JUDGED, "a"),
        (ItemState.JUDGED, "a"),
    ]


def test_labels_stay_and_disagree_with_the_scores_that_came_back(items):
    keep(items, "a", (0.1, 0.2, 0.9))
    keep(items, "b", (0.6, 0.7, 0.8))
    said = {"labelled": True, "evaluation": {"bad": [1], "state": "labelled"}, "model": "b"}
    items._collection.update_one({"wheel": -2}, {"$set": said})
    items.restore_scores(1, "a", 0.5)
    found = items.get(1, PLACES[0])
    assert (found.evaluation, found.contamination, found.contaminated) == (said["evaluation"], 0.9, 1)
    assert items._collection.find_one({"wheel": -2})["recheck"]


def test_scores_that_came_without_an_embedding_leave_none_of_another_model(items):
    items.keep_scores(1, [(PLACES[0], scored(0.1), [])], "a")
    keep(items, "b", (0.6,))
    items.restore_scores(1, "a", 0.5)
    assert "embedding" not in document(items)


def test_what_was_copied_before_the_program_was_killed_is_kept_once(items, driftwatch):
    keep(items, "a", (0.1, 0.2, 0.9))
    driftwatch.store.past_scores.copy(items._collection, 1, "b")  # and then it was killed
    keep(items, "b", (0.6, 0.7, 0.8))
    assert driftwatch.store.past_scores.count_by_model(1) == {"a": 3}
    assert len(driftwatch.store.past_scores.of_item(1, PLACES[2])) == 1


def test_past_scores_go_with_their_run(items, driftwatch):
    for run in (1, 2):
        items.store(run, [(PLACES[0], simulate_chamber(302635, PLACES[0]).occupancy)], "test")
        keep(items, "a", (0.1,), run)
        keep(items, "b", (0.6,), run)
    assert driftwatch.store.past_scores.remove_run(1) == 1
    assert driftwatch.store.past_scores.runs() == [2]
    driftwatch.reconcile()  # neither run was asked for
    assert driftwatch.store.past_scores.runs() == []
