"""Plots of a value over runs, thinned to the resolution of the picture. The values come from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log10
from typing import Any

import numpy as np

from app.domain.problems import Problem
from app.pictures import INKS, Inks, Scheme, figure
from app.web.shared.ticks import ticks

COLUMNS = 600  # per picture: about one per pixel of its axes
WIDTH, HEAD, FOOT = 14.0, 0.36, 0.46  # inches
PANEL, FEW_PANELS = 0.95, 1.7  # inches per panel, for many panels and for up to three
LEFT, RIGHT = 0.04, 0.99  # edges of the plot, as fractions of the width; the page's script relies on them
MARKED = 120  # number of points up to which each is marked
MOST_BANDS = 100  # known problems per picture; the page lists all of them


@dataclass(frozen=True, eq=False)
class Thinned:
    """Neighbouring runs drawn as one column: arrays with one entry per non-empty column.

    Attributes:
        first, last: runs of the column.
        runs: number of runs.
        least, middle, greatest: of their values; the middle is the lower median.
        at: the run with the greatest value.
    """

    first: np.ndarray
    last: np.ndarray
    runs: np.ndarray
    least: np.ndarray
    middle: np.ndarray
    greatest: np.ndarray
    at: np.ndarray


@dataclass(frozen=True, eq=False)
class Panel:
    """One curve over runs.

    Attributes:
        words: label of its axis.
        runs: int (n,), ascending.
        values: float (n,); NaN if there is none.
        top: minimum upper end of its axis.
        log: logarithmic axis; values must then be positive.
        problems: bands behind it.
    """

    words: str
    runs: np.ndarray
    values: np.ndarray
    top: float = 1.0
    log: bool = False
    problems: Sequence[Problem] = ()


@dataclass(frozen=True)
class Trend:
    """Curves in stacked panels, from the run `first` to `last`."""

    title: str
    first: int
    last: int
    panels: Sequence[Panel]

    @cached_property
    def thinned(self) -> list[Thinned]:
        return [thin(panel.runs, panel.values, self.first, self.last) for panel in self.panels]

    @property
    def height(self) -> float:
        """Size of the picture, in inches."""
        return HEAD + FOOT + len(self.panels) * (PANEL if len(self.panels) > 3 else FEW_PANELS)

    def columns(self) -> list[dict[str, object]]:
        """The data with which the script on the page describes what is under the pointer."""
        names = ("first", "last", "runs", "least", "middle", "greatest", "at")
        return [
            {"words": panel.words, "columns": list(zip(*(_plain(getattr(drawn, name)) for name in names), strict=True))}
            for panel, drawn in zip(self.panels, self.thinned, strict=True)
        ]

    def svg(self, scheme: Scheme) -> bytes:
        """Draw the picture with one pair of axes in which each curve has height 1: ticks cost more than curves."""
        from matplotlib.ticker import AutoMinorLocator, MaxNLocator, NullLocator

        inks, height, ends = INKS[scheme], self.height, (self.first - 0.5, self.last + 0.5)
        with figure(self.title, WIDTH, height, scheme, layout=None) as (drawn, written):
            drawn.text(LEFT, 1 - 0.2 / height, self.title, ha="left", va="center")
            axes = drawn.add_axes((LEFT, FOOT / height, RIGHT - LEFT, 1 - (FOOT + HEAD) / height))
            axes.set(xlim=ends, ylim=(0, len(self.panels)), xlabel="run")
            ticks: list[tuple[float, str]] = []
            for i, (panel, thinned) in enumerate(zip(self.panels, self.thinned, strict=True)):
                bottom = len(self.panels) - 1 - i
                axes.axhline(bottom, color=inks.text, lw=0.8)
                axes.text(0.006, bottom + 0.88, panel.words, transform=axes.get_yaxis_transform(), va="center", size=9)
                scale = _Scale.of(panel, thinned)
                ticks += [(bottom + scale.at(value), words) for value, words in scale.ticks]
                _draw(axes, panel, thinned, bottom, scale, self, inks)
            axes.set_yticks([y for y, _ in ticks], [words for _, words in ticks])
            axes.yaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
            axes.xaxis.set_minor_locator(AutoMinorLocator(5) if self.last - self.first > 100 else MaxNLocator(7))
            axes.ticklabel_format(axis="x", style="plain", useOffset=False)
        return written.getvalue()


@dataclass(frozen=True)
class _Scale:
    """Convert values to heights in a panel, 0 to 1."""

    low: float
    high: float
    log: bool
    ticks: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, panel: Panel, thinned: Thinned) -> _Scale:
        if panel.log:
            low, high = floor(log10(thinned.least.min())), ceil(log10(thinned.greatest.max()))
            return cls(low, high, True, [(10.0**power, f"{10.0**power:g}") for power in range(low, high + 1)])
        greatest = max(panel.top, float(np.max(thinned.greatest, initial=0)))
        values = ticks(greatest, most=2, steps=(1, 2, 3, 5, 10))
        return cls(0, values[-1], False, [(value, f"{value:g}") for value in values])

    def at(self, values: Any) -> Any:
        """Convert heights, leaving the top of the panel for the words."""
        values = np.log10(values) if self.log else values
        return _CURVES * (values - self.low) / (self.high - self.low)


_CURVES = 0.76  # fraction of a panel's height, below its words


def thin(runs: np.ndarray, values: np.ndarray, first: int, last: int, columns: int = COLUMNS) -> Thinned:
    """Group values into columns of equally many run numbers.

    Args:
        runs: int (n,), ascending, from `first` to `last`.
        values: float (n,); NaN are left out.

    >>> thinned = thin(np.array([1, 2, 3, 9]), np.array([5.0, 7.0, 6.0, 1.0]), 1, 10, columns=2)
    >>> thinned.runs.tolist(), thinned.middle.tolist(), thinned.greatest.tolist(), thinned.at.tolist()
    ([3, 1], [6.0, 1.0], [7.0, 1.0], [2, 9])
    """
    known = ~np.isnan(values)
    runs, values = runs[known], values[known]
    column = (runs - first) * min(columns, last - first + 1) // (last - first + 1)
    order = np.lexsort((values, column))
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    counts = np.diff(starts, append=len(runs))
    greatest = order[starts + counts - 1]
    return Thinned(
        first=runs[starts],
        last=runs[starts + counts - 1],
        runs=counts,
        least=values[order[starts]],
        middle=values[order[starts + (counts - 1) // 2]],
        greatest=values[greatest],
        at=runs[greatest],
    )


def _draw(axes: Any, panel: Panel, thinned: Thinned, bottom: float, scale: _Scale, trend: Trend, inks: Inks) -> None:
    """Draw the bands, the ranges and the curve of a panel whose lower end is at the height `bottom`."""

    def y(values: np.ndarray) -> np.ndarray:
        return bottom + scale.at(values)

    ends = (trend.first - 0.5, trend.last + 0.5)
    for problem in panel.problems[:MOST_BANDS]:
        last = trend.last if problem.until is None else problem.until
        since, until = max(problem.since - 0.5, ends[0]), min(last + 0.5, ends[1])
        if since < until:
            band: dict[str, Any] = {
                "facecolor": "none",
                "edgecolor": inks.warning,
                "hatch": "////",
                "linewidth": 0.6,
                "alpha": 0.5,
            }
            axes.fill_between((since, until), bottom, bottom + _CURVES, **band)
    width = (ends[1] - ends[0]) / COLUMNS
    apart = thinned.greatest > thinned.least
    x, middle = (thinned.first + thinned.last) / 2, y(thinned.middle)
    ranges = _strokes(x[apart], x[apart], y(thinned.least[apart]), y(thinned.greatest[apart]))
    axes.plot(*ranges, color=inks.range, lw=1.7)
    if len(x) <= MARKED:
        axes.plot(x, middle, color=inks.line, lw=0.8, marker="o", ms=3)
    else:
        axes.plot(*_strokes(x - width, x + width, middle, middle), color=inks.line, lw=1.6)


def _strokes(x0: np.ndarray, x1: np.ndarray, y0: np.ndarray, y1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One line with many strokes, which is a single path in the file."""
    gap = np.full(len(x0), np.nan)
    return np.column_stack((x0, x1, gap)).ravel(), np.column_stack((y0, y1, gap)).ravel()


def _plain(values: np.ndarray) -> list[float]:
    return np.round(values, 4).tolist()
