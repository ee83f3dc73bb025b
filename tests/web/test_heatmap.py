import numpy as np
import pytest

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.web.heatmap import Heatmap, Scale, ScaleKind


def occupancy(chamber, fill=40):
    counts = np.where(chamber.read_out, fill, -1).astype(np.int32)
    return counts, Occupancy(chamber, counts)


def cells(heatmap):
    return {(row.layer, cell.number): cell for row in heatmap.rows for cell in row.cells}


def test_layer_12_is_on_top_and_layer_1_at_the_bottom():
    _, served = occupancy(Chamber(wheel=0, station=1, sector=1))
    assert [row.layer for row in Heatmap(served).rows] == list(range(12, 0, -1))


def test_each_cell_has_the_count_that_was_served():
    chamber = Chamber(wheel=-1, station=2, sector=3)
    counts, served = occupancy(chamber)
    counts[chamber.read_out] = np.arange(chamber.read_out.sum())
    drawn = cells(Heatmap(served))
    assert {place: cell.count for place, cell in drawn.items()} == {
        (layer, number): counts[layer - 1, number - 1]
        for layer in range(1, 13)
        for number in range(1, chamber.columns + 1)
    }
    assert {place for place, cell in drawn.items() if cell.exists} == {
        (row + 1, column + 1) for row, column in np.argwhere(chamber.read_out).tolist()
    }


def test_a_stray_hit_where_no_cell_is_has_no_colour():
    counts, served = occupancy(Chamber(wheel=0, station=1, sector=1))
    counts[11, 0] = 7
    stray = cells(Heatmap(served))[12, 1]
    assert (stray.count, stray.exists, stray.fill) == (7, False, "")


def test_one_hot_cell_does_not_darken_the_others_and_is_marked():
    chamber = Chamber(wheel=0, station=1, sector=1)
    counts, served = occupancy(chamber)
    usual = cells(Heatmap(served))
    assert not any(cell.over for cell in usual.values())
    counts[4, 20] = 100_000
    drawn = cells(Heatmap(served))
    assert [place for place, cell in drawn.items() if cell.over] == [(5, 21)]
    assert Heatmap(served).scale.fraction(40) > 0.5


@pytest.mark.parametrize("kind", ScaleKind)
def test_a_chamber_without_hits_can_be_drawn(kind):
    _, served = occupancy(Chamber(wheel=2, station=4, sector=9), fill=0)
    heatmap = Heatmap(served, kind)
    assert {cell.fill for cell in cells(heatmap).values() if cell.exists} == {heatmap.scale.legend[0]}
    assert heatmap.scale.ticks == [(0, 0), (1, 1)]


@pytest.mark.parametrize("kind", ScaleKind)
@pytest.mark.parametrize("top", [1, 2, 3, 7, 57, 99, 100, 101, 4321, 2**31 - 1])
def test_the_numbers_on_the_scale_rise_from_0_to_its_top(kind, top):
    ticks = Scale(kind, top, top).ticks
    assert ticks[0] == (0, 0)
    assert ticks[-1] == (top, 1)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 12


def test_the_table_has_every_cell_once_and_layer_1_first():
    chamber = Chamber(wheel=1, station=4, sector=14)
    _, served = occupancy(chamber)
    rows = Heatmap(served).csv()
    assert rows[0][:2] == (1, 1)
    assert len(set(rows)) == len(rows) == chamber.read_out.sum()
