import re

import numpy as np

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.web.heatmap import Heatmap
from app.subsystems.dt.web.thumbnails import thumbnail

RUN = re.compile(r"M(\d+) ([\d.]+)h(\d+)v")


def test_every_cell_is_drawn_once_and_nothing_else_layer_1_at_the_bottom():
    chamber = Chamber(wheel=-1, station=4, sector=9)
    counts = np.where(chamber.read_out, 1 + np.arange(chamber.columns) % 7, -1)
    rows = {}
    for x, y, length in RUN.findall(thumbnail(Heatmap(Occupancy(chamber, counts)))):
        rows.setdefault(float(y), []).extend(range(int(x) + 1, int(x) + 1 + int(length)))
    expected = [list(range(layer.first_cell, layer.last_cell + 1)) for layer in reversed(chamber.layers)]
    assert [sorted(rows[y]) for y in sorted(rows)] == expected
