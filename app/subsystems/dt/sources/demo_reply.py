"""Replies like those of the DQM server's `jsonfairy`, written in the same way: by formatting, without escaping.

Sources: the public part of the server's code, and a real reply. Not for serving: see `demo`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.subsystems.dt.geometry import LAYERS, Chamber
from app.subsystems.dt.sources.dqm import SIMULATED, UNSUPPORTED, histogram_name

DATASET = "/Global/Online/ALL"
ABSENT = f'{{"hist": "{UNSUPPORTED}"}}'

_EMPTY_IN_A_ROW = 7  # cells: CMS's own test counts the layers with such a gap
_FIRST_IN_G = 1_000_000  # from here on, only six significant digits are written

# "SL3:L2" is written without a space there, too.
_LABELS = ", ".join(
    f'{{"center": {4 * (sl - 1) + layer - 0.5:g}, "value": "SL{sl}:{"" if (sl, layer) == (3, 2) else " "}L{layer}"}}'
    for sl in (1, 2, 3)
    for layer in (1, 2, 3, 4)
)


def histogram_json(chamber: Chamber, rows: Sequence[Sequence[float | str]], simulated: bool = False) -> str:
    """The reply for one chamber.

    Args:
        chamber: the chamber of the histogram.
        rows: the content, usually 12 rows of `chamber.columns` counts; strings are written verbatim and count as 0, to
            corrupt a reply.
        simulated: mark the histogram as simulated, which the real server never does.

    >>> chamber = Chamber(wheel=0, station=4, sector=9)
    >>> reply = histogram_json(chamber, [[1_234_567] * chamber.columns] * 12)
    >>> reply.count("1.23457e+06") > 500, reply.count("1234567")
    (True, 0)
    """
    counts = np.array([[0 if isinstance(value, str) else value for value in row] for row in rows], dtype=np.float64)
    y_bins, x_bins = counts.shape
    total = counts.sum()
    # Means are weighted with the content, the −1 of "no cell" included; x runs from 1, y from 0.
    x_mean, x_rms = _mean_and_rms(counts.sum(axis=0), np.arange(x_bins) + 1.5, total)
    y_mean, y_rms = _mean_and_rms(counts.sum(axis=1), np.arange(y_bins) + 0.5, total)
    name = histogram_name(chamber)
    fills = float(np.abs(counts).sum())
    content = ", ".join(f"[{', '.join(map(_number, row))}]" for row in rows)
    return (
        f'{{"hist": {{"type": "TH2", "title": "{name}", "stats": {{"name": "{name}", "entries": {fills:f}, '
        f'"mean": {{"X": {{"value": {x_mean:g}, "error": 0}}, "Y": {{"value": {y_mean:g}, "error": 0}}}}, '
        f'"rms": {{"X": {{"value": {x_rms:g}, "error": 0}}, "Y": {{"value": {y_rms:g}, "error": 0}}}}, '
        f'"underflow": 0, "overflow": 0}}, '
        f'"xaxis": {{"first": {{"id": 1, "value": 1}}, "last": {{"id": {x_bins}, "value": {x_bins + 1}}}}}, '
        f'"yaxis": {{"first": {{"id": 1, "value": 0}}, "last": {{"id": {LAYERS}, "value": {LAYERS}}}, '
        f'"labels": [{_LABELS}]}}, '
        f'"values": {{"min": {_number(counts.min())}, "max": {_number(counts.max())}}}, '
        f'"bins": {{"integral": [[0, {-_layers_with_a_gap(counts)}, 0], [0, {_number(total)}, 0], [0, 0, 0]], '
        f'"content": [{content}]}}}}' + (f', "{SIMULATED}": true}}' if simulated else "}")
    )


def samples_json(runs: Sequence[int]) -> str:
    """The list of runs. The server returns several groups of one type; a run is a string."""
    entry = f'{{"type": "online_data", "run": "%s", "importversion": 1, "version": "", "dataset": "{DATASET}"}}'
    groups = (", ".join(entry % run for run in group) for group in (runs[::2], runs[1::2]))
    return '{"samples": [' + ", ".join(f'{{"type": "online_data", "items": [{items}]}}' for items in groups) + "]}"


def _layers_with_a_gap(counts: np.ndarray) -> int:
    """Layers in which seven or more adjacent cells are empty."""
    if counts.shape[1] < _EMPTY_IN_A_ROW:
        return 0
    windows = np.lib.stride_tricks.sliding_window_view(counts == 0, _EMPTY_IN_A_ROW, axis=1)
    return int(np.any(np.all(windows, axis=2), axis=1).sum())


def _mean_and_rms(weights: np.ndarray, at: np.ndarray, total: float) -> tuple[float, float]:
    if total == 0:
        return 0.0, 0.0
    mean = (weights * at).sum() / total
    return mean, abs((weights * at**2).sum() / total - mean**2) ** 0.5


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) and abs(value) < _FIRST_IN_G else f"{value:g}"
