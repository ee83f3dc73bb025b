import numpy as np
import pytest

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.preprocess import BINS
from app.subsystems.dt.residuals import CHANNELS, ROWS, layer_residuals
from app.subsystems.dt.simulate import RICH, simulate_chambers, simulate_run

BY_SIBLINGS, BY_SHAPE, LEAST_BY_SIBLINGS, MOST_BY_SIBLINGS, LEAST_BY_SHAPE = 0, 1, 8, 9, 10
LONG = Chamber(wheel=0, station=4, sector=1)  # layers of 95 and 96 cells: two in a bin
SHORT = Chamber(wheel=-1, station=1, sector=3)


def even(chamber, hits=40):
    return np.where(chamber.read_out, hits, NO_CELL).astype(np.int32)


def bins_of(chamber, counts, layer):
    return layer_residuals([Occupancy(chamber, counts)])[0, layer - 1, :BINS]


@pytest.fixture(scope="module")
def simulated():
    return [one.occupancy for one in simulate_chambers(300, seed=8, faulty=RICH)]


def test_all_is_finite_and_limited_whatever_the_rate_and_the_defects(simulated):
    given = layer_residuals(simulated)
    assert given.shape == (300, 12, ROWS, CHANNELS)
    assert given.dtype == np.float32
    assert np.isfinite(given).all()
    assert abs(given).max() < 30


def test_the_greatest_counts_and_none_at_all_stay_finite():
    for hits in (0, 1, 2**31 - 1):
        assert np.isfinite(layer_residuals([Occupancy(SHORT, even(SHORT, hits))])).all()


def test_what_else_is_in_the_batch_changes_nothing(simulated):
    together = layer_residuals(simulated)
    for i in range(0, 300, 23):
        assert np.array_equal(layer_residuals([simulated[i]])[0], together[i])


def test_layers_that_do_not_exist_are_zero():
    given = layer_residuals([Occupancy(LONG, even(LONG))])
    assert not given[0, 4:8].any()
    assert given[0, 0].any()


def test_an_even_chamber_deviates_nowhere():
    for layer in (1, 4, 6, 12):
        assert abs(bins_of(SHORT, even(SHORT), layer)[:, :4]).max() < 0.1


def test_every_second_cell_of_96_is_not_lost_in_47_bins():
    counts = even(LONG)
    counts[9, ::2] = np.where(LONG.read_out[9, ::2], 0, NO_CELL)
    bins = bins_of(LONG, counts, 10)
    assert (bins[:, LEAST_BY_SIBLINGS] < -5).all()
    assert (bins[:, MOST_BY_SIBLINGS] > -0.5).all()


def test_a_block_that_four_layers_share_is_seen_against_their_shape():
    counts = even(SHORT)
    counts[:4, 16:24] = 0
    block = bins_of(SHORT, counts, 2)[16:23]
    assert (block[:, LEAST_BY_SHAPE] < -5).all()
    assert (block[:, LEAST_BY_SIBLINGS] > bins_of(SHORT, counts, 2)[17, LEAST_BY_SHAPE]).all()


def test_a_hot_cell_hides_nothing_beside_it():
    counts = even(SHORT)
    counts[1, 16:24] = 0
    alone = bins_of(SHORT, counts, 2)
    counts[1, 25] = 40_000
    beside = bins_of(SHORT, counts, 2)
    assert beside[16:23, LEAST_BY_SIBLINGS] == pytest.approx(alone[16:23, LEAST_BY_SIBLINGS], abs=0.3)


def test_a_stray_hit_outside_the_read_out_map_changes_nothing():
    counts = even(SHORT)
    stray = counts.copy()
    stray[0, -1] = 7
    first, second = (layer_residuals([Occupancy(SHORT, given)]) for given in (counts, stray))
    assert np.array_equal(first, second)


def test_a_whole_run_has_residuals_near_those_of_poisson_counts():
    run = [one.occupancy for one in simulate_run(302_635).values()]
    given = layer_residuals(run)
    exists = np.stack([occupancy.chamber.read_out.any(axis=1) for occupancy in run])
    spread = given[exists][:, :BINS, BY_SIBLINGS]
    assert np.median(abs(spread)) == pytest.approx(0.6745, abs=0.2)  # of a normal distribution
