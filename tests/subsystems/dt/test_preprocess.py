import json

import numpy as np
import pytest
from skimage.transform import resize

from app.subsystems.dt.geometry import LAYERS, Chamber, all_chambers
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.preprocess import BINS, layer_bins, row_scaled
from app.subsystems.dt.simulate import simulate_run


@pytest.fixture(scope="module")
def run():
    return [simulated.occupancy for simulated in simulate_run(302_635).values()]


def without_cells(occupancy, layer, columns):
    counts = occupancy.counts.copy()
    counts[layer - 1, columns] = NO_CELL
    return Occupancy(occupancy.chamber, counts)


def one_row(row):
    if not row.size:
        return np.full(BINS, np.nan, np.float32)
    return resize(row[None], (1, BINS), order=1, mode="edge", preserve_range=True, anti_aliasing=False)[0].astype(
        np.float32
    )


def test_a_whole_run_at_once_is_bit_identical_to_scikit_image_one_row_at_a_time(run):
    bins = layer_bins(run)
    assert bins.shape == (250, LAYERS, BINS)
    assert bins.dtype == np.float32
    for occupancy, rows in zip(run, bins, strict=True):
        alone = np.stack([one_row(occupancy.row(layer)) for layer in range(1, LAYERS + 1)])
        assert rows.tobytes() == alone.tobytes(), occupancy.chamber


def test_what_else_is_in_the_batch_changes_no_bit(run):
    together = layer_bins(run)
    for i in range(0, 250, 31):
        assert layer_bins([run[i]]).tobytes() == together[i].tobytes()
    assert layer_bins(run[::-1])[::-1].tobytes() == together.tobytes()


def test_a_layer_of_47_cells_comes_out_as_it_is(run):
    chimney = next(o for o in run if o.chamber == Chamber(wheel=-1, station=1, sector=3))
    bins = layer_bins([chimney])[0]
    assert [layer.number for layer in chimney.chamber.layers if layer.cells == BINS] == [5, 8]
    for layer in (5, 8):
        assert np.array_equal(bins[layer - 1], chimney.row(layer))


def test_a_layer_that_does_not_exist_is_nan_and_no_other_is(run):
    missing = np.isnan(layer_bins(run)).all(axis=-1)
    expected = [[row not in {layer.number - 1 for layer in o.chamber.layers} for row in range(LAYERS)] for o in run]
    assert np.array_equal(missing, expected)
    assert np.isnan(layer_bins(run)).sum() == (250 * LAYERS - 2_720) * BINS


@pytest.mark.parametrize("chamber", all_chambers()[::9], ids=str)
def test_the_ends_of_an_even_layer_are_not_darkened(chamber):
    bins = layer_bins([Occupancy(chamber, np.where(chamber.read_out, 7, NO_CELL))])
    assert np.array_equal(bins[~np.isnan(bins)], np.full(len(chamber.layers) * BINS, 7, np.float32))


@pytest.mark.parametrize("columns", [slice(0, 1), slice(10, 20), slice(3, None)], ids=["first", "inner", "all but two"])
def test_cells_that_the_histogram_lacks_are_dropped_before_resizing(run, columns):
    occupancy = without_cells(run[0], layer=2, columns=columns)
    bins = layer_bins([run[1], occupancy, run[0]])
    assert np.array_equal(bins[1, 1], one_row(occupancy.row(2)))
    others = np.arange(LAYERS) != 1
    assert np.array_equal(bins[1, others], bins[2, others], equal_nan=True)


def test_a_stray_hit_outside_the_read_out_map_changes_nothing(run):
    counts = run[0].counts.copy()
    assert counts[3, 0] == NO_CELL  # the fourth layer begins at cell 2
    counts[3, 0] = 1_000
    assert np.array_equal(layer_bins([Occupancy(run[0].chamber, counts)]), layer_bins([run[0]]), equal_nan=True)


def test_the_greatest_count_that_can_be_stored_stays_finite():
    chamber = Chamber(wheel=0, station=4, sector=1)
    bins = layer_bins([Occupancy(chamber, np.where(chamber.read_out, 2**31 - 1, NO_CELL))])
    assert np.nanmax(bins) == np.float32(2**31 - 1)
    assert np.nanmax(row_scaled(bins)) == 1


def test_no_chambers_give_no_bins():
    assert layer_bins([]).shape == (0, LAYERS, BINS)
    assert row_scaled(layer_bins([])).shape == (0, LAYERS, BINS)


def test_scaling_puts_the_greatest_of_each_row_at_one_and_leaves_zeros_and_nan(run):
    bins = layer_bins(run).copy()
    bins[0, 0] = 0
    scaled = row_scaled(bins)
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled[0, 0], np.zeros(BINS))
    assert np.array_equal(np.isnan(scaled), np.isnan(bins))
    greatest = scaled.max(axis=-1)
    assert set(greatest[~np.isnan(greatest)].tolist()) == {0.0, 1.0}
    assert (scaled[~np.isnan(scaled)] >= 0).all()


def test_a_row_scaled_does_not_depend_on_its_statistics(run):
    bins = layer_bins(run)
    assert np.array_equal(row_scaled(bins * 4), row_scaled(bins), equal_nan=True)


def test_a_real_chamber_keeps_its_mean(shared_data):
    for real in json.loads((shared_data / "dt" / "chambers.json").read_text())["chambers"][::12]:
        chamber = Chamber(wheel=real["wheel"], station=real["station"], sector=real["sector"])
        occupancy = Occupancy.from_rows(chamber, real["matrix"])
        bins = layer_bins([occupancy])[0]
        for layer in chamber.layers:
            row = occupancy.row(layer.number)
            if row.max() < 4 * np.median(row):  # one hot cell weighs more or less, where bins are sparser than cells
                assert bins[layer.number - 1].mean() == pytest.approx(row.mean(), rel=0.06)
