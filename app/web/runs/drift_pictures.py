"""Plots of values over runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from app.pictures import DASHES, INKS, Scheme, colours, figure

MANY_RUNS, TICKS = 60, 9  # number of runs from which points are drawn small; run numbers on the axis


def over_runs(
    title: str,
    label: str,
    runs: Sequence[int],
    series: Mapping[str, Sequence[float | None]],
    changes: Mapping[int, str],
    levels: Sequence[float] = (),
    scheme: Scheme = Scheme.PAPER,
) -> bytes:
    """Plot values of consecutive runs, with a line wherever something changed.

    Args:
        label: meaning of the values.
        series: name → one value per run; None leaves a gap.
        changes: index of a run → what is new from that run on.
        levels: values at which a thin line is drawn.
    """
    at, inks = range(len(runs)), INKS[scheme]
    with figure(title, 9.6, 3.4, scheme) as (drawn, written):
        axes = drawn.add_subplot()
        for (name, values), colour, dashes, marker in zip(
            series.items(), cycle(colours(scheme)), cycle(DASHES), cycle("osD^v"), strict=False
        ):
            known = [float("nan") if value is None else value for value in values]
            size = 4 if len(runs) <= MANY_RUNS else 1.5
            axes.plot(at, known, dashes, color=colour, linewidth=1.2, marker=marker, ms=size, label=name)
        for level in levels:
            axes.axhline(level, color=inks.soft, linewidth=0.8)
        for index, words in changes.items():
            axes.axvline(index - 0.5, color=inks.text, linewidth=1, linestyle=(0, (1, 2)))
            where: dict[str, Any] = {
                "xycoords": axes.get_xaxis_transform(),
                "xytext": (3, -10),
                "textcoords": "offset points",
            }
            axes.annotate(words, (index - 0.5, 1), fontsize=8.5, **where)
        shown = sorted({round(i * (len(runs) - 1) / (TICKS - 1)) for i in range(TICKS)}) if runs else []
        axes.set_xticks(shown, [str(runs[i]) for i in shown])
        axes.tick_params(axis="x", which="minor", length=0)
        axes.set(xlim=(-0.7, max(len(runs) - 0.3, 0.7)), xlabel="run", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.set_title(title, fontsize=10, loc="left")
        if len(series) > 1:
            drawn.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    return written.getvalue()
