"""An evaluation as aligned text, for a terminal. Not for the figures: see `evaluation`."""

from __future__ import annotations

from collections.abc import Sequence

from app.ml.curves import Interval
from app.subsystems.dt.learning.evaluation_figures import (
    ALL,
    ALL_KINDS,
    FALSE_ALARMS,
    FROM_6,
    Comparison,
    Evaluation,
    Method,
    in_words,
)


def tables(evaluation: Evaluation) -> str:
    """All of it as aligned text, for a terminal."""
    parts = [of_comparison("Simulated chambers", evaluation.simulated)]
    if evaluation.real:
        parts.append(of_comparison("Real chambers", evaluation.real))
    return "\n\n".join(parts)


def of_comparison(title: str, found: Comparison) -> str:
    """All methods on one set of chambers."""
    head = (
        f"{title}: {found.chambers:,}; {found.good:,} good and {found.bad:,} bad layers. Left out: {found.ambiguous:,} "
        f"ambiguous or unknown, {found.unjudged:,} with too few hits."
    )
    networks = [method for method in found.methods if method.network]
    parts = [head, *(_called_bad(method, found) for method in networks if method.shipped and found.bad)]
    parts += [_beside(found, networks)] if found.statistics and found.statistics.beside else []
    parts.append(_ranked(found))
    if any(method.groups for method in found.methods):
        kinds, levels = found.kinds_and_all, found.levels_with_layers
        if found.kinds:
            parts.append(_by("kind", found.methods, [(kind, ALL) for kind in kinds], kinds))
        parts.append(_by("hits per cell", found.methods, [(ALL_KINDS, level) for level in levels], levels))
        for method in networks if found.kinds else ():
            rows = [[in_words(kind), *(_percent(method.share(kind, level)) for level in levels)] for kind in kinds]
            parts.append(aligned([f"found at 1 %: {method.name}", *levels], rows))
    parts.append(_thresholds_table(found))
    parts += [_reliability_table(method) for method in networks if method.reliability]
    return "\n\n".join(parts)


def _called_bad(method: Method, found: Comparison) -> str:
    """What a shifter sees: the verdict at the shipped threshold, by kind and statistics."""
    at, levels = method.shipped, found.levels_with_layers
    rows = [
        [in_words(kind), *(_percent(at.called_bad(kind, level)) for level in levels)] for kind in found.kinds_and_all
    ]
    rows.append(["good layers", *(_percent(at.good_called_bad(level), 2) for level in levels)])
    return aligned([f"called bad: {method.name} from {at.score:g}", *levels], rows)


def _beside(found: Comparison, networks: Sequence[Method]) -> str:
    """Networks and the simple statistics at the false-alarm rate of the latter, from 6 hits per cell."""
    methods = (found.statistics, *networks)
    rows = [
        [in_words(kind), *(_percent(method.beside_statistics(kind)) for method in methods)]
        for kind in found.kinds_and_all
    ]
    false_alarms = found.statistics.shipped.good_called_bad(FROM_6)
    title = f"found at {_percent(false_alarms, 3)} false alarms, {FROM_6}"
    return aligned([title, *(method.name for method in methods)], rows)


def _ranked(found: Comparison) -> str:
    header = ["method", "area", "95 % interval", *(f"found at {100 * rate:g} %" for rate in FALSE_ALARMS)]
    rows = []
    for method in found.methods:
        area = ["–", "–"] if method.area is None else [f"{method.area.value:.4f}", _interval(method.area, "{:.4f}", 1)]
        shares = [f"{_percent(f.found.value)} ({_interval(f.found, '{:.1f}', 100)})" for f in method.found]
        rows.append([method.name, *area, *(shares or ["–"] * len(FALSE_ALARMS))])
    return aligned(header, rows)


def _by(what: str, methods: Sequence[Method], groups: Sequence[tuple[str, str]], names: Sequence[str]) -> str:
    rows = [[method.name, *(_percent(method.share(*group)) for group in groups)] for method in methods]
    rows.append(["bad layers", *(f"{methods[0].layers(*group):,}" for group in groups)])
    return aligned([f"found at 1 %, by {what}", *map(in_words, names)], rows)


def _thresholds_table(found: Comparison) -> str:
    levels = found.levels_with_layers
    header = ["at the threshold", "found", "missed", "false alarms", "passed", *levels]
    rows = []
    for method in found.methods:
        for at in method.thresholds:
            shares = {rate.statistics: rate.share for rate in at.by_statistics}
            matrix = [f"{count:,}" for count in (at.found, at.missed, at.false_alarms, at.passed)]
            false = [_percent(shares.get(level), 2) for level in levels]
            rows.append([f"{method.name}: {at.use} {at.score:g}", *matrix, *false])
    return aligned(header, rows)


def _reliability_table(method: Method) -> str:
    rows = [
        [f"{one.low:.1f}–{one.high:.1f}", f"{one.layers:,}", _percent(one.mean_score), _percent(one.bad)]
        for one in method.reliability
    ]
    header = [f"scores of {method.name}, ordinary chambers", "layers", "mean score", "bad"]
    return f"{aligned(header, rows)}\nexpected calibration error {_percent(method.calibration_error, 2)}"


def _interval(figure: Interval, form: str, scale: float) -> str:
    return f"{form.format(scale * figure.low)}–{form.format(scale * figure.high)}"


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal: its columns aligned, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, ["─" * width for width in widths], *rows):
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((first, *others)).rstrip())
    return "\n".join(lines)
