"""The layers of a chamber as lines: counts per cell, with their expectation. Paths for an SVG.

x is in cells, from 0 to the chamber's columns, as in the heat map above it; y runs from 0 (the scale's top) to 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from app.subsystems.dt.findings import expected_hits
from app.subsystems.dt.web.heatmap import Heatmap

HEIGHT = 100
SIGMAS = 2  # half-width of the band, in √expected: contains about 95 % of good cells


@dataclass(frozen=True)
class Line:
    """One layer.

    Attributes:
        path: through the counts of its cells.
        band: around the expectation by the smooth profile and the rate of its superlayer; closed.
    """

    layer: int
    superlayer: int
    path: str
    band: str


def lines(heatmap: Heatmap) -> list[Line]:
    """All existing layers, from layer 12 down, on the scale of the heat map."""
    occupancy = heatmap.occupancy
    expected = expected_hits(occupancy)
    drawn = []
    for row in heatmap.rows:
        cells = [cell for cell in row.cells if cell.exists]
        if not cells:
            continue
        places = [cell.number - 0.5 for cell in cells]
        hits = expected[row.layer - 1, [cell.number - 1 for cell in cells]]
        spread = SIGMAS * np.sqrt(hits)
        above, below = _heights(heatmap, hits + spread), _heights(heatmap, np.maximum(hits - spread, 0))
        drawn.append(
            Line(
                row.layer,
                row.superlayer,
                _path(places, _heights(heatmap, [cell.count for cell in cells])),
                _path([*places, *places[::-1]], [*above, *below[::-1]]) + "z",
            )
        )
    return drawn


def _heights(heatmap: Heatmap, counts: Iterable[float]) -> list[int]:
    return [round(HEIGHT * (1 - min(heatmap.scale.fraction(float(count)), 1))) for count in counts]


def _path(places: Sequence[float], heights: Sequence[int]) -> str:
    """A path through these points, with relative steps, which are shorter."""
    steps = (f"{b - a:g} {d - c}" for (a, c), (b, d) in pairwise(zip(places, heights, strict=True)))
    return f"M{places[0]:g} {heights[0]}l" + " ".join(steps).replace(" -", "-")
