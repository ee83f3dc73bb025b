from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from app.domain.influence import Influence, Method
from app.domain.items import ItemState
from app.store.influences import Explained
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.simulate import simulate_chamber

RUN, MODEL = 302640, "chamber-scan-1"
PLACES = all_chambers()[:3]


@pytest.fixture
def store(driftwatch):
    return driftwatch.store


@pytest.fixture
def influences(store):
    return store.influences


@pytest.fixture
def items(store):
    store.items.store(RUN, [(place, simulate_chamber(RUN, place).occupancy) for place in PLACES], "tests")
    return store.items.of_run(RUN, histograms=True)


def influence_of(item, seed=1):
    rng = np.random.default_rng(seed)
    shapes = {"cells": item.histogram.counts.shape, "around": 12, "bins": (12, 47), "logit": 12, "expected": 12}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["logit"][4:8] = np.nan
    return Influence(**arrays)


def explained(item, bad=(1,), seed=1, method=Method.OCCLUSION, push=None):
    influence = influence_of(item, seed)
    if push is not None:
        influence.cells[:] = -1
        influence.around[:] = -1
        influence.cells[:, 3:5] = push / 2
    return Explained.of(item, MODEL, method, influence, bad)


def test_what_is_kept_comes_back_to_the_last_bit(influences, items):
    kept = explained(items[0], bad=(2, 7))
    influences.keep([kept])
    found = influences.get(items[0], MODEL, Method.OCCLUSION)
    for name in ("cells", "around", "bins", "logit", "expected"):
        before, after = getattr(kept.influence, name), getattr(found.influence, name)
        assert after.shape == before.shape
        assert after.dtype == np.float32
        assert np.array_equal(before, after, equal_nan=True)
    assert (found.run, found.place, found.model, found.method) == (RUN, PLACES[0], MODEL, Method.OCCLUSION)
    assert (found.bad, found.strength) == ((2, 7), pytest.approx(kept.strength))


def test_each_item_model_and_method_has_one_of_its_own_and_a_new_one_replaces_it(influences, items):
    influences.keep([explained(items[0]), explained(items[1]), explained(items[0], method=Method.SMOOTHGRAD)])
    influences.keep([explained(items[0], bad=(3,))])
    assert influences.get(items[0], MODEL, Method.OCCLUSION).bad == (3,)
    assert influences.get(items[1], MODEL, Method.OCCLUSION).bad == (1,)
    assert influences.get(items[0], MODEL, Method.SMOOTHGRAD).bad == (1,)
    assert influences.get(items[0], "row-cnn-1", Method.OCCLUSION) is None
    assert influences.get(items[2], MODEL, Method.OCCLUSION) is None


def test_of_an_item_that_was_scored_or_fetched_anew_there_is_none_any_more(influences, items):
    influences.keep([explained(item) for item in items])
    again = datetime(2026, 11, 22, tzinfo=UTC)
    scored, fetched, same = (replace(items[0], scored_at=again), replace(items[1], fetched_at=again), items[2])
    assert influences.get(scored, MODEL, Method.OCCLUSION) is None
    assert influences.get(fetched, MODEL, Method.OCCLUSION) is None
    assert influences.get(same, MODEL, Method.OCCLUSION) is not None
    missing = influences.missing(RUN, [scored, fetched, same], MODEL, Method.OCCLUSION)
    assert [item.place for item in missing] == [scored.place, fetched.place]


def test_an_item_without_a_histogram_misses_nothing(influences, items):
    gone = replace(items[0], state=ItemState.MISSING, hits=None)
    assert influences.missing(RUN, [gone, items[1]], MODEL, Method.OCCLUSION) == [items[1]]


def test_the_largest_come_first_and_those_without_a_bad_layer_not_at_all(influences, items):
    influences.keep([explained(items[0], push=2), explained(items[1], push=9), explained(items[2], bad=(), push=50)])
    listed = influences.largest(RUN, MODEL, Method.OCCLUSION)
    assert [(one.place, one.strength) for one in listed] == [(PLACES[1], 9), (PLACES[0], 2)]
    assert influences.count(RUN, MODEL, Method.OCCLUSION) == 2
    assert [one.place for one in influences.largest(RUN, MODEL, Method.OCCLUSION, skip=1, limit=1)] == [PLACES[0]]
    assert influences.largest(RUN, MODEL, Method.SMOOTHGRAD) == []
    assert influences.largest(RUN + 1, MODEL, Method.OCCLUSION) == []


def test_what_came_through_the_siblings_counts_for_the_strength_and_what_speaks_for_good_does_not(items):
    influence = influence_of(items[0])
    influence.cells[:], influence.around[:] = -1, 0
    influence.cells[0, :4], influence.around[0], influence.around[1] = 1, 3, -5
    assert Explained.of(items[0], MODEL, Method.OCCLUSION, influence, [1]).strength == 7
    assert Explained.of(items[0], MODEL, Method.OCCLUSION, influence, [2]).strength == 0


def test_lists_are_answered_by_an_index_alone(influences, items):
    influences.keep([explained(item) for item in items])
    order = [("strength", -1), *((key, 1) for key in ("wheel", "station", "sector"))]
    plan = influences._collection.find(influences._ranked(RUN, MODEL, Method.OCCLUSION)).sort(order).explain()
    stages = str(plan["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in stages
    assert "'stage': 'SORT'" not in stages


def test_with_its_run_all_goes(influences, items):
    influences.keep([explained(item) for item in items])
    assert influences.runs() == [RUN]
    assert influences.remove_run(RUN) == 3
    assert influences.runs() == []
