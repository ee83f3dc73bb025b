"""The curve for choosing a threshold: bad layers found against good layers flagged, with a score at each point.

Positions of the points on the picture, for its template and its script. For their meaning see
`app.subsystems.dt.learning.evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import floor, log10

from app.ml.curves import LEAST_FALSE_ALARMS
from app.subsystems.dt.learning.evaluation_figures import CurvePoint

WIDTH, HEIGHT = 640, 320  # of the plot area, in units of the picture
LOWEST = (0.9, 0.8, 0.5, 0.0)  # possible lower ends of the vertical axis
STEPS = 5
MOST_DIGITS = 12


class ThresholdCurve:
    """The points of one network, by descending score; at least one."""

    def __init__(self, points: Sequence[CurvePoint]) -> None:
        self._points = points

    width, height = WIDTH, HEIGHT

    @cached_property
    def lowest(self) -> float:
        """The share found at the bottom of the picture."""
        least = min(point.found for point in self._points if point.false_alarms >= LEAST_FALSE_ALARMS)
        return next(low for low in LOWEST if low <= least)

    @cached_property
    def path(self) -> str:
        """The curve as an SVG path."""
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in map(self.at, self._points))

    @property
    def across(self) -> list[tuple[float, str]]:
        """Ticks of false alarms: (x, words)."""
        return [
            (self._x(10.0**power), f"{10.0 ** (power + 2):g} %") for power in range(round(log10(LEAST_FALSE_ALARMS)), 1)
        ]

    @property
    def up(self) -> list[tuple[float, str]]:
        """Ticks of the share found: (y, words)."""
        shares = [self.lowest + (1 - self.lowest) * i / STEPS for i in range(STEPS + 1)]
        return [(self._y(share), f"{100 * share:g} %") for share in shares]

    def at(self, point: CurvePoint) -> tuple[float, float]:
        """The position of a point."""
        return self._x(point.false_alarms), self._y(point.found)

    def document(self) -> list[dict[str, object]]:
        """The points for a script; `text` is the score for display, which flags the same layers."""
        places = map(self.at, self._points)
        return [
            {**point.model_dump(), "text": threshold(point), "x": round(x, 1), "y": round(y, 1)}
            for (x, y), point in zip(places, self._points, strict=True)
        ]

    def _x(self, false_alarms: float) -> float:
        return WIDTH * (1 - log10(max(false_alarms, LEAST_FALSE_ALARMS)) / log10(LEAST_FALSE_ALARMS))

    def _y(self, found: float) -> float:
        return HEIGHT * (1 - max(found - self.lowest, 0) / (1 - self.lowest))


def threshold(point: CurvePoint) -> str:
    """The score of a point for display: with as few digits as distinguish it from the next lower one, at least two, and
    rounded down, so that it flags the same layers.

    >>> point = CurvePoint(score=0.98765, down_to=0.9871, false_alarms=0.1, found=1, by_statistics=())
    >>> threshold(point), threshold(point.model_copy(update={"score": 0.000012345, "down_to": -1.0}))
    ('0.9876', '0.00001')
    """
    for digits in range(2, MOST_DIGITS + 1):
        rounded = floor(point.score * 10**digits) / 10**digits
        if rounded > max(point.down_to, 0):
            return f"{rounded:.{digits}f}".rstrip("0").rstrip(".")
    return f"{point.score:.{MOST_DIGITS}f}"
