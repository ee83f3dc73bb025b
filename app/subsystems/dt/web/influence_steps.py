"""The computation of the influence on one layer's score, step by step, as strips: from the row as served to the cells
of the picture. The steps show the actual inputs and outputs of the network; nothing is explained here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from app.domain.influence import Method
from app.domain.words import signed
from app.store.influences import Explained
from app.subsystems.dt.findings import expected_hits
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.learning.saliency import STRIDE, WINDOW
from app.subsystems.dt.preprocess import BINS, layer_bins, row_scaled
from app.subsystems.dt.residuals import layer_residuals
from app.subsystems.dt.web.influence_map import InfluenceScale, logits
from app.web.shared.colours import colour, influence_colour

SIGMAS = 6  # range of deviations in both directions; larger ones are clipped
_SIBLINGS, _SHAPE = 0, 1  # of the channels in `layer_residuals`: a bin's mean deviation from either expectation


@dataclass(frozen=True)
class Step:
    """One strip.

    Attributes:
        title, text: description of the step.
        unit: "cell" or "bin", which each square stands for.
        numbers: numbers of the squares, from 1.
        squares: (formatted value, colour); no colour if there is no cell.
        range: the meaning of the colours at both ends, in words.
    """

    title: str
    text: str
    unit: str
    numbers: Sequence[int]
    squares: Sequence[tuple[str, str]]
    range: str

    @property
    def svg(self) -> Markup:
        """The strip, with a text for each square."""
        return Markup(
            "".join(
                f'<rect x="{x}" width="1" height="1" data-says="{self.unit} {number}: {written}" '
                + (f'fill="{fill}"/>' if fill else 'class="none"/>')
                for x, (number, (written, fill)) in enumerate(zip(self.numbers, self.squares, strict=True))
            )
        )


def steps_of(occupancy: Occupancy, explained: Explained, layer: int, architecture: str) -> list[Step]:
    """The steps for one layer of a chamber.

    Args:
        architecture: of the model, by its name in `app.subsystems.dt.learning.networks`.
    """
    row = layer - 1
    cells = np.flatnonzero(occupancy.cells[row])
    steps = [_served(occupancy, row), _kept(occupancy, row, cells)]
    if architecture == "row-cnn":
        steps += _scaled(occupancy, row)
    else:
        steps += _compared(occupancy, row)
    if explained.method is Method.OCCLUSION:
        steps.append(_expected(occupancy, row, cells))
    else:
        steps.append(_in_bins(explained, row))
    return [*steps, _on_cells(explained, row, cells, architecture)]


def _served(occupancy: Occupancy, row: int) -> Step:
    counts = occupancy.counts[row]
    text = f"The layer's row of the histogram, {counts.size} bins. {signed(NO_CELL)} where there is no cell."
    return _of_counts("Row as served", text, np.arange(counts.size), counts, exists=occupancy.cells[row])


def _kept(occupancy: Occupancy, row: int, cells: np.ndarray) -> Step:
    text = f"The {cells.size} cells that are read out; the other bins are dropped."
    return _of_counts("Cells", text, cells, occupancy.counts[row, cells])


def _scaled(occupancy: Occupancy, row: int) -> list[Step]:
    bins = layer_bins([occupancy])[0, row]
    scaled = row_scaled(bins)
    greatest = f"{bins.max():.4g}"
    resized = f"Resized to {BINS} bins: each is the weighted mean of the two cells it lies between."
    divided = f"Divided by the highest bin, {greatest}. The network sees nothing else of the layer."
    return [
        Step(f"{BINS} bins", resized, "bin", _counted(), _paint(bins, bins.max(), ".4g"), f"0 to {greatest} hits"),
        Step("Scaled", divided, "bin", _counted(), _paint(scaled, 1, ".3f"), "0 to 1"),
    ]


def _compared(occupancy: Occupancy, row: int) -> list[Step]:
    taken = layer_residuals([occupancy])[0, row, :BINS]
    siblings = "Deviation from the median of the superlayer's other three layers, in standard deviations"
    shape = "Deviation from the smooth curve through all four layers of the superlayer"
    rest = "The network takes 13 more numbers per bin, and 30 for the layer as a whole"
    return [
        _of_deviations(f"Against its siblings, in {BINS} bins", f"{siblings}.", taken, _SIBLINGS),
        _of_deviations(f"Against its superlayer's shape, in {BINS} bins", f"{shape}. {rest}.", taken, _SHAPE),
    ]


def _expected(occupancy: Occupancy, row: int, cells: np.ndarray) -> Step:
    text = (
        f"These replace the hits of a window of {WINDOW} neighbouring cells, starting at every {STRIDE}rd cell, and "
        "the layer is scored again by all the steps above. Then the reverse: the window keeps its hits, and all other "
        "cells of the layer get the expected ones."
    )
    return _of_counts("Expected hits per cell", text, cells, expected_hits(occupancy)[row, cells], ".1f")


def _in_bins(explained: Explained, row: int) -> Step:
    text = f"How far each of the {BINS} input bins pushed the score."
    return _of_influence(f"Influence in {BINS} bins", text, "bin", _counted(), explained.influence.bins[row])


def _on_cells(explained: Explained, row: int, cells: np.ndarray, architecture: str) -> Step:
    if explained.method is Method.OCCLUSION:
        text = (
            "The mean of two changes of the logit of bad: its fall in the first case, and its rise in the second "
            "beyond that of the layer's median window. It is shared among the cells of the window."
        )
    elif architecture == "row-cnn":
        text = "Each bin's influence, shared by weight between the two cells it lies between; the sum is preserved."
    else:
        text = (
            "The influence of each bin and of the numbers for the whole layer, shared among the cells they were "
            "computed from. Influence through sibling layers belongs to the cells of those; over all layers, the sum "
            "is preserved."
        )
    text += " The map shows this."
    return _of_influence("Back on the cells", text, "cell", cells + 1, explained.influence.cells[row, cells])


def _of_counts(
    title: str, text: str, columns: np.ndarray, counts: np.ndarray, form: str = ",", exists: np.ndarray | None = None
) -> Step:
    most = float(np.percentile(counts, 99)) if counts.size else 0  # one noisy cell must not darken all others
    squares = _paint(counts, max(1.0, 1.5 * most), form, exists)
    top = f"0 to {min(max(1.0, 1.5 * most), max(1.0, float(counts.max(initial=0)))):,.0f} hits or more"
    return Step(title, text, "cell", (columns + 1).tolist(), squares, top)


def _of_deviations(title: str, text: str, taken: np.ndarray, channel: int) -> Step:
    values = taken[:, channel]
    squares = [(logits(value), colour((value / SIGMAS + 1) / 2)) for value in values.tolist()]
    ends = f"{signed(-SIGMAS)} to +{SIGMAS} standard deviations or more"
    return Step(title, text, "bin", _counted(), squares, ends)


def _of_influence(title: str, text: str, unit: str, numbers: Iterable[int], values: np.ndarray) -> Step:
    scale = InfluenceScale(max(float(np.abs(values).max(initial=0)), 1e-6))
    squares = [(logits(value), influence_colour(scale.fraction(value))) for value in values.tolist()]
    ends = f"{logits(-scale.top)} to {logits(scale.top)} logits"
    return Step(title, text, unit, list(map(int, numbers)), squares, ends)


def _paint(values: np.ndarray, top: float, form: str, exists: np.ndarray | None = None) -> list[tuple[str, str]]:
    there = np.ones(len(values), bool) if exists is None else exists
    return [
        (format(value, form).replace("-", "−"), colour(value / top if top else 0) if is_there else "")
        for value, is_there in zip(values.tolist(), there.tolist(), strict=True)
    ]


def _counted() -> range:
    return range(1, BINS + 1)
