"""Drift: indexes by hand, distances of what was seen and of what was not, and a reference of a real model."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning import drift
from app.subsystems.dt.learning.drift import (
    Bins,
    Measured,
    Reference,
    make_reference,
    measure,
    of_document,
    to_document,
)
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import simulate_run
from config import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scorer():
    return Scorer(ROOT / "models" / "chamber-scan-1")


@pytest.fixture(scope="module")
def reference(scorer):
    """Of fewer chambers than usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "SEEN", 500)
        patch.setattr(drift, "HELD_OUT", 500)
        return make_reference(scorer, stop=lambda: False)


def chambers(scorer, occupancies):
    judged = scorer.judge(occupancies)
    pairs = zip(occupancies, judged, strict=True)
    return [Measured(o.hits / int(o.chamber.read_out.sum()), j.scores, j.embedding) for o, j in pairs]


@pytest.fixture(scope="module")
def run(scorer):
    return chambers(scorer, [one.occupancy for one in simulate_run(302635).values()])


def test_the_index_is_the_sum_over_the_bins():
    bins = Bins(edges=(1.0, 2.0), shares=(0.5, 0.3, 0.2))
    values = np.array([0.5] * 2 + [1.5] * 3 + [2.5] * 5)
    expected = (0.2 - 0.5) * np.log(0.2 / 0.5) + 0 + (0.5 - 0.2) * np.log(0.5 / 0.2)
    assert bins.stability_index(values) == pytest.approx(expected)


def test_a_bin_without_values_counts_as_half_of_one_and_no_values_have_no_index():
    bins = Bins(edges=(1.0,), shares=(0.5, 0.5))
    assert bins.stability_index(np.zeros(10)) == pytest.approx(0.5 * np.log(2) + (0.05 - 0.5) * np.log(0.1))
    assert bins.stability_index(np.array([])) is None


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_an_index_is_never_negative_and_nothing_for_the_reference_itself(values, seed):
    values = np.array(values)
    bins = Bins.of(values)
    assert sum(bins.shares) == pytest.approx(1)
    assert bins.stability_index(values) == pytest.approx(0, abs=1e-9)
    assert bins.stability_index(np.random.default_rng(seed).normal(size=20)) >= 0


def test_a_population_that_moved_has_a_greater_index_the_farther_it_moved():
    rng = np.random.default_rng(1)
    bins = Bins.of(rng.normal(size=5_000))
    found = [bins.stability_index(rng.normal(shift, size=5_000)) for shift in (0, 0.3, 0.6, 1.2)]
    assert found[0] < 0.01
    assert found == sorted(found)
    assert found[3] > 0.25


def test_many_values_that_are_alike_still_make_bins():
    bins = Bins.of(np.array([0.0] * 95 + [1.0] * 5))
    assert bins.stability_index(np.array([0.0] * 19 + [1.0])) == pytest.approx(0)


def test_a_chamber_is_as_unlike_as_it_is_far_from_the_nearest_that_was_seen():
    seen = np.log1p(np.float32([[0, 0], [3, 0]]))
    bins = Bins((0.0,), (0.5, 0.5))
    made = Reference(2, 2, np.float32([1, 1]), seen, 0.5, bins, bins, bins)
    near, far = (np.float16(values).tobytes() for values in ((3, 0), (0, 6)))
    assert made.unlike([near, None, far]) == [
        pytest.approx(0, abs=1e-3),
        None,
        pytest.approx(np.log(7) / 0.5, rel=1e-3),
    ]
    assert made.unlike([None]) == [None]


def test_what_the_simulator_draws_is_seldom_unlike_and_what_it_never_draws_mostly_is(reference, scorer, run):
    ordinary, _ = measure(reference, run)
    assert ordinary.chambers > 200
    assert ordinary.unlike < 0.05
    rng = np.random.default_rng(2)
    striped = []
    for one in simulate_run(302635).values():
        factor = np.ones(one.expected.shape)
        factor[:, ::2] = 0.3  # every other cell of every layer: no fault is like this
        counts = rng.poisson(one.expected * factor * 4)
        striped.append(Occupancy(one.occupancy.chamber, np.where(one.occupancy.counts < 0, -1, counts)))
    strange, unlike = measure(reference, chambers(scorer, striped))
    assert strange.unlike > 0.5
    assert strange.distances > ordinary.distances
    assert strange.unlike == pytest.approx(np.mean([one > 1 for one in unlike if one is not None]))


def test_scores_that_are_higher_than_usual_are_another_population(reference, run):
    usual, _ = measure(reference, run)
    raised = [replace(one, scores=[s if s is None else min(1, s + 0.3) for s in one.scores]) for one in run]
    assert measure(reference, raised)[0].scores > max(0.25, usual.scores)


def test_a_run_of_which_nothing_is_judged_has_no_drift(reference):
    found, unlike = measure(reference, [Measured(0.1, (None,) * 12, None)] * 3)
    assert (found.chambers, found.unlike, found.scores, found.hits, found.distances) == (0, None, None, None, None)
    assert unlike == [None] * 3


def test_making_a_reference_can_be_stopped(scorer):
    assert make_reference(scorer, stop=lambda: True) is None


def test_a_reference_comes_back_from_the_database_as_it_was(reference, driftwatch, run):
    store = driftwatch.store.references
    assert store.get("m") is None
    assert not store.has("m")
    store.keep("m", to_document(reference))
    assert store.has("m")
    assert measure(of_document(store.get("m")), run) == measure(reference, run)
