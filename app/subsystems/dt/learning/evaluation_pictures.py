"""An evaluation as SVG pictures. Not for the figures: see `evaluation`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any

from app.ml.curves import LEAST_FALSE_ALARMS
from app.pictures import COLOURS, DASHES, HATCHES, Scheme, figure
from app.subsystems.dt.learning.evaluation_figures import ALL_KINDS, FROM_6, Comparison, Evaluation, Method, in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from app.subsystems.dt.learning.simulate_labelling import Outcome
LEAST_LAYERS = 10  # of a kind, for a bar to be meaningful
LEAST_IN_BIN = 5  # layers in a tenth of the score, for a point to be meaningful
FIRST_LABELS = 5  # position of "none yet" on a logarithmic axis
BARS = 5  # methods in the picture by kind: the networks, then the best of the others


def pictures(evaluation: Evaluation) -> dict[str, bytes]:
    """SVG by name: "roc", "reliability", "found-by-kind", "roc-real", as far as there are figures."""
    simulated, real = evaluation.simulated, evaluation.real
    drawn = {}
    if any(method.roc for method in simulated.methods):
        drawn["roc"] = roc(simulated, "simulated chambers")
    if any(method.reliability for method in simulated.methods):
        drawn["reliability"] = reliability(simulated)
    if any(method.layers(ALL_KINDS, FROM_6) >= LEAST_LAYERS for method in simulated.methods):
        drawn["found-by-kind"] = found_by_kind(simulated)
    if real and any(method.roc for method in real.methods):
        drawn["roc-real"] = roc(real, "real chambers")
    return drawn


def roc(compared: Comparison, of: str) -> bytes:
    """All methods: bad layers found against good layers flagged, on a logarithmic axis that begins at 0.01 %."""
    title = f"Bad layers found, {of}"
    with _figure(title, 7.2, 4.6) as (drawn, axes, written):
        names = [method.name for method in compared.methods]  # so that a method looks the same in every picture
        styles = dict(zip(names, zip(cycle(COLOURS), cycle(_styles()), strict=False), strict=False))
        for method in _by_area(compared.methods):
            colour, dashes = styles[method.name]
            _, y = zip(*method.roc, strict=True)
            # What is found without any false alarm is drawn from the left edge on.
            x = [max(false, LEAST_FALSE_ALARMS / 10) for false, _ in method.roc]
            label = f"{method.name}  {method.area.value:.4f}"
            width = 1.8 if method.network else 1.1
            axes.plot(x, y, dashes, color=colour, linewidth=width, drawstyle="steps-post", label=label)
            if method.band:
                rates, low, high = zip(*((b.false_alarms, b.found.low, b.found.high) for b in method.band), strict=True)
                axes.fill_between(rates, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xscale="log", xlim=(LEAST_FALSE_ALARMS, 1), ylim=(0, 1.02))
        axes.set(xlabel="share of good layers flagged", ylabel="share of bad layers found")
        axes.set_title(title, fontsize=10, loc="left")
        _legend(drawn, axes, f"area under the curve,\n{compared.bad:,} bad and {compared.good:,} good layers")
    return written.getvalue()


def reliability(compared: Comparison, of: str = "ordinary simulated chambers") -> bytes:
    """The networks: the share of bad layers at each score. On the diagonal, scores are probabilities.

    Tenths of the score with few layers are left out, as they would show only noise.
    """
    title = "What a score means"
    with _figure(title, 7.2, 4.6) as (drawn, axes, written):
        axes.plot((0, 1), (0, 1), color="#888888", linewidth=0.8, label="a probability")
        networks = [method for method in compared.methods if method.reliability]
        for method, colour, dashes, marker in zip(
            networks, cycle(COLOURS), cycle(DASHES), cycle("osD^v"), strict=False
        ):
            bins = [one for one in method.reliability if one.layers >= LEAST_IN_BIN]
            shares = [one.bad for one in bins]
            errors = [(one.bad * (1 - one.bad) / one.layers) ** 0.5 for one in bins]
            label = f"{method.name}  {100 * method.calibration_error:.2f} %"
            means = [one.mean_score for one in bins]
            axes.errorbar(
                means, shares, errors, color=colour, linestyle=dashes, linewidth=1.2, marker=marker, ms=4, label=label
            )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        tenths = f"of tenths with {LEAST_IN_BIN} layers or more"
        axes.set(xlabel=f"mean score, {tenths}", ylabel="share of the layers that is bad")
        axes.set_title(f"{title}: {of}", fontsize=10, loc="left")
        _legend(drawn, axes, "calibration error")
    return written.getvalue()


def found_by_kind(compared: Comparison) -> bytes:
    """Shares found by the networks and the best others at 1 % false alarms, from 6 hits per cell, by kind of defect."""
    found = {method.name: method.share(ALL_KINDS, FROM_6) or 0.0 for method in compared.methods}
    shown = sorted(_by_area(compared.methods), key=lambda method: (not method.network, -found[method.name]))[:BARS]
    kinds = [kind for kind in (*compared.kinds, ALL_KINDS) if shown[0].layers(kind, FROM_6) >= LEAST_LAYERS]
    title = "Bad layers found at 1 % false alarms, from 6 hits per cell up"
    with _figure(title, 7.2, 1.0 + len(kinds) * (0.1 + 0.08 * len(shown))) as (drawn, axes, written):
        height = 0.8 / len(shown)
        for i, (method, colour, hatch) in enumerate(zip(shown, cycle(COLOURS), cycle(HATCHES), strict=False)):
            at = [row + (i - (len(shown) - 1) / 2) * height for row in range(len(kinds))]
            shares = [method.share(kind, FROM_6) for kind in kinds]
            axes.barh(
                at, shares, height, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4, label=method.name
            )
        axes.set_yticks(range(len(kinds)), [in_words(kind) for kind in kinds])
        axes.tick_params(axis="y", which="both", length=0)
        axes.set(xlim=(0, 1), ylim=(len(kinds) - 0.5, -0.5), xlabel="share found")
        axes.set_title(title, fontsize=10, loc="left")
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    return written.getvalue()


def labels_needed(outcome: Outcome) -> bytes:
    """Share found against number of labels, for each strategy: one line per seed; no labels are drawn as the first."""
    setup = outcome.setup
    title = "What the labels of each strategy are worth"
    with _figure(title, 7.2, 4.6) as (figure, axes, written):
        axes.axhline(setup.rate, color="#888888", linewidth=0.8, linestyle=":")
        strategies = list(dict.fromkeys(curve.strategy for curve in outcome.curves))
        for strategy, colour, dashes in zip(strategies, COLOURS, DASHES, strict=False):
            needed = outcome.labels(strategy)
            label = f"{strategy}: {needed.value:,.0f} labels ({needed.low:,.0f}–{needed.high:,.0f})"
            for curve in (one for one in outcome.curves if one.strategy is strategy):
                labels, found = zip(*curve.points, strict=True)
                x = [max(number, FIRST_LABELS) for number in labels]
                axes.plot(x, found, dashes, color=colour, linewidth=1.2, alpha=0.8, label=label)
                label = None
        axes.set(xscale="log", xlabel=f"labelled chambers ({FIRST_LABELS}: none yet)", ylim=(None, 1))
        axes.set_ylabel("share of bad layers found at 1 % false alarms")
        axes.set_title(title, fontsize=10, loc="left")
        _legend(figure, axes, f"labels until {100 * setup.rate:g} % are found")
    return written.getvalue()


def _legend(drawn: Any, axes: Any, title: str) -> None:
    """Beside the axes, its title in smaller letters."""
    drawn.legend(
        *axes.get_legend_handles_labels(),
        loc="outside right upper",
        alignment="left",
        title=title,
        title_fontsize=8.5,
    )


def _by_area(methods: Sequence[Method]) -> list[Method]:
    """Best first; those without an area are left out."""
    return sorted((method for method in methods if method.area), key=lambda method: -method.area.value)


def _styles() -> Iterator[str]:
    """A dash for each round through the colours and for each neighbour in it."""
    for i in range(len(COLOURS) * len(DASHES)):
        yield DASHES[(i + i // len(COLOURS)) % len(DASHES)]


@contextmanager
def _figure(
    title: str, width: float, height: float, scheme: Scheme = Scheme.PAPER
) -> Iterator[tuple[Figure, Axes, io.BytesIO]]:
    """A figure with axes to draw in, in inches; written when the block ends."""
    with figure(title, width, height, scheme) as (made, written):
        yield made, made.add_subplot(), written
