"""What counts how much, where simulated and labelled layers are learnt from together."""

import labelled_chambers
import numpy as np
import pytest

from app.subsystems.dt.learning import samples
from app.subsystems.dt.learning.labelled_items import Choice, labelled_items
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.samples import (
    BAD_SHARE,
    MOST_BAD_WEIGHT,
    Sample,
    balanced,
    labelled_sample,
    mixed,
    sample,
    varied,
    varied_sample,
)
from app.subsystems.dt.learning.training import calibrated


def layers(bad, weights=None):
    bad = np.array(bad, np.float32)
    inputs = np.arange(len(bad), dtype=np.float32)[:, None]
    weights = None if weights is None else np.array(weights, np.float32)
    return Sample(inputs, bad, np.ones(len(bad), bool), np.ones(len(bad)), weights)


def test_bad_layers_are_weighted_up_to_a_fifth_and_ten_times_at_the_most():
    few, factor = balanced(layers([1] * 5 + [0] * 95))
    assert few.weights[few.bad == 1].sum() / few.weights.sum() == pytest.approx(BAD_SHARE)
    assert factor == pytest.approx(4.75)
    assert balanced(layers([1] + [0] * 999))[1] == MOST_BAD_WEIGHT
    assert balanced(layers([1] * 60 + [0] * 40))[1] == 1
    soft, factor = balanced(layers([0.5, 1, *[0] * 60]))
    assert soft.weights[0] == pytest.approx((1 + factor) / 2)


def test_all_simulated_layers_count_as_many_times_all_labelled_ones_as_was_said():
    simulated, labelled = layers([0] * 300 + [1] * 100), layers([0, 0, 1], [1, 1, 4])
    both = mixed(simulated, labelled, 3.0)
    assert both.weights[:400].sum() / both.weights[400:].sum() == pytest.approx(3, rel=1e-5)
    assert both.weights.mean() == pytest.approx(1, rel=1e-5)
    assert both.weights[402] / both.weights[400] == pytest.approx(4, rel=1e-5)
    assert both.bad.tolist() == [*simulated.bad, *labelled.bad]
    assert len(both.inputs) == len(both.visible) == len(both.hits) == 403


def test_a_labelled_sample_has_the_layers_that_a_network_judges_with_what_people_said(driftwatch):
    run = labelled_chambers.RUNS[0]
    labelled_chambers.label_all(driftwatch, range(run, run + 1))
    items = labelled_items(driftwatch.store, Choice()).items
    some = labelled_sample(architecture("row-cnn"), items)
    is_open = np.stack([one.open for one in items])
    assert np.array_equal(some.bad, np.stack([one.targets for one in items])[is_open])
    assert np.allclose(some.weights, np.repeat([one.weight for one in items], is_open.sum(axis=1)))
    assert some.visible.all()
    chambers = [labelled_chambers.simulated()[run][one.place] for one in items]
    assert np.array_equal(some.inputs, sample(architecture("row-cnn"), chambers).inputs)


def test_in_calibration_a_layer_of_weight_two_is_two_layers():
    rng = np.random.default_rng(5)
    odds = rng.normal(-1, 2, 500)
    bad = (rng.random(odds.size) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    weights = rng.integers(1, 4, odds.size)
    repeated = calibrated(np.repeat(bad, weights), np.repeat(odds, weights))
    weighted = calibrated(bad, odds, weights)
    assert (weighted.temperature, weighted.shift) == pytest.approx((repeated.temperature, repeated.shift))


def test_a_labelled_chamber_is_learnt_from_in_four_ways_that_mean_the_same_and_are_the_same_each_time(driftwatch):
    run = labelled_chambers.RUNS[0]
    labelled_chambers.label_all(driftwatch, range(run, run + 1))
    items = labelled_items(driftwatch.store, Choice()).items
    found = varied(items, 5)
    assert len(found) == 4 * len(items)
    for i, one in enumerate(items):
        ways = found[4 * i : 4 * i + 4]
        as_it_is, opposite, some, some_opposite = (way.occupancy for way in ways)
        assert np.array_equal(as_it_is.counts, one.occupancy.counts)
        for row, cells in enumerate(one.occupancy.cells):
            assert np.array_equal(opposite.counts[row, cells], one.occupancy.counts[row, cells][::-1])
        for way, before in ((some, as_it_is), (some_opposite, opposite)):
            assert (way.counts <= before.counts).all()
            assert 0.25 < way.hits / before.hits < 0.95
        assert all(way.bad == one.bad and way.part is one.part and way.weight == one.weight for way in ways)
        assert np.array_equal(ways[1].open, one.open)
    again = varied(items, 5)
    assert all(np.array_equal(a.occupancy.counts, b.occupancy.counts) for a, b in zip(found, again, strict=True))


def test_what_is_varied_is_the_same_however_many_are_varied_at_once(driftwatch, monkeypatch):
    run = labelled_chambers.RUNS[0]
    labelled_chambers.label_all(driftwatch, range(run, run + 1))
    items, kind = labelled_items(driftwatch.store, Choice()).items, architecture("row-cnn")
    whole = labelled_sample(kind, varied(items, 5))
    monkeypatch.setattr(samples, "AT_ONCE", 12)
    in_parts = varied_sample(kind, items, 5)
    for name in ("inputs", "bad", "visible", "hits", "weights"):
        assert np.array_equal(getattr(whole, name), getattr(in_parts, name))
