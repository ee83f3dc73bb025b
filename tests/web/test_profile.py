import re

import numpy as np
import pytest

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.web.heatmap import Heatmap
from app.subsystems.dt.web.profile import HEIGHT, lines


def points(path):
    x, y = map(float, re.match(r"M([\d.]+) (\d+)l", path).groups())
    yield x, y
    numbers = re.findall(r"-?[\d.]+", path.split("l", 1)[1].rstrip("z"))
    for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
        x, y = x + float(dx), y + float(dy)
        yield x, y


@pytest.fixture
def drawn():
    """A chamber of 40 hits per cell with a dead block in layer 5, as lines by layer."""
    chamber = Chamber(wheel=0, station=1, sector=1)
    counts = np.where(chamber.read_out, 40, -1)
    counts[4, 20:30] = 0
    heatmap = Heatmap(Occupancy(chamber, counts))
    return heatmap, {line.layer: line for line in lines(heatmap)}


def test_a_line_goes_through_the_counts_of_its_cells(drawn):
    heatmap, by_layer = drawn
    assert sorted(by_layer) == list(range(1, 13))
    for row in heatmap.rows:
        cells = [cell for cell in row.cells if cell.exists]
        wanted = [(c.number - 0.5, round(HEIGHT * (1 - c.count / heatmap.scale.top))) for c in cells]
        assert list(points(by_layer[row.layer].path)) == wanted


def test_a_dead_block_lies_outside_the_band_and_its_neighbours_inside(drawn):
    _, by_layer = drawn
    line, band = list(points(by_layer[5].path)), list(points(by_layer[5].band))
    above, below = dict(band[: len(line)]), dict(band[len(line) :])
    inside = {x + 0.5: above[x] <= y <= below[x] for x, y in line}
    assert {cell for cell, is_inside in inside.items() if not is_inside} == set(range(21, 31))


def test_station_4_has_no_lines_for_superlayer_2():
    chamber = Chamber(wheel=0, station=4, sector=1)
    drawn = lines(Heatmap(Occupancy(chamber, np.where(chamber.read_out, 7, -1))))
    assert {line.superlayer for line in drawn} == {1, 3}
