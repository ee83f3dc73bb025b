"""Are saliency maps faithful? Measured on simulated defects whose cells are known.

The pointing game (J. Zhang et al., ECCV 2016), deletion and insertion (V. Petsiuk et al., RISE, BMVC 2018) and the
completeness of integrated gradients, for every method, compared with a random order and the method of 2018. Not for the
maps: see `saliency`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.influence import Influence, Method
from app.subsystems.dt.defects import HARMLESS, DefectKind, factors, label
from app.subsystems.dt.findings import all_expected
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.known_chambers import evaluation_seed
from app.subsystems.dt.learning.saliency import COMPLETE, Explainer
from app.subsystems.dt.simulate import RICH, SimulatedChamber, simulate_chambers

BLOCKS = frozenset({DefectKind.DEAD_BLOCK, DefectKind.DEAD_HALF, DefectKind.NOISY_BLOCK})
DELETED = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96)  # cells replaced by their expectation; 96 is all there are
MOST_DELETED_FROM = 100  # blocks: each takes about a hundred scorings
_STREAM = 3  # of `labelled.evaluation_seed`; 0 to 2 are the test set and what yardsticks are fitted to
RANDOM = "random order"


@dataclass(frozen=True)
class Truth:
    """The faithfulness of one method.

    Attributes:
        blocks: layers with a block that the network found, on which this was measured.
        pointed: share of layers whose strongest cell lies in the block.
        half_inside: share of layers with half of the positive influence on cells in the block.
        deletion: the mean score while cells are replaced by their expectation, the most influential first; lower is
            better. insertion: the same while they are put back into the expected layer; higher is better.
        cells_to_good: median number of cells to replace before the score is below 0.5.
        incomplete: share of all layers where cells and surroundings do not sum to the difference of the logits within
            a per cent; None for methods without this property.
        seconds: per chamber.
    """

    method: str
    blocks: int
    pointed: float | None
    half_inside: float | None
    deletion: float
    insertion: float
    cells_to_good: float
    incomplete: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class _Block:
    """A layer with a block, in a chamber of the sample; `inside` is bool (columns,)."""

    chamber: int
    row: int
    inside: np.ndarray


def measure(
    explainer: Explainer,
    chambers: int,
    seed: int,
    methods: Sequence[Method] = tuple(Method),
    report: Callable[[str], None] = lambda line: None,
) -> list[Truth]:
    """Measure methods on one model.

    Args:
        chambers: number of simulated ones; about one in six has a block that counts.
        seed: 0 to 2³⁰ − 1; no training uses these chambers.
        report: called with a line when a method starts.

    Returns:
        One entry for each method and for a random order, the most faithful (by pointing, then by deletion) first.
    """
    drawn = simulate_chambers(chambers, evaluation_seed(seed, _STREAM), RICH)
    drawn = [one for one in drawn if _blocks_of(0, one)]
    blocks = [block for i, one in enumerate(drawn) for block in _blocks_of(i, one)]
    occupancies = [one.occupancy for one in drawn]
    scores = explainer.logits_of(occupancies)
    found = [block for block in blocks if scores[block.chamber, block.row] > 0]
    expected = all_expected(occupancies)
    result = []
    explainer.explain(occupancies[:2])  # traced now, not while timing
    for method in methods:
        report(method)
        begin = time.perf_counter()
        influences = explainer.explain(occupancies, method)
        seconds = (time.perf_counter() - begin) / max(len(occupancies), 1)
        orders = [np.argsort(-influences[block.chamber].cells[block.row], kind="stable") for block in found]
        result.append(
            Truth(
                method,
                len(found),
                _share(_points(influences, block) for block in found),
                _share(_half_inside(influences, block) for block in found),
                *_replaced(explainer, occupancies, expected, found, orders),
                incomplete=_incomplete(influences) if method is Method.INTEGRATED_GRADIENTS else None,
                seconds=seconds,
            )
        )
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(block.inside.size) for block in found]
    result.append(Truth(RANDOM, len(found), None, None, *_replaced(explainer, occupancies, expected, found, orders)))
    return sorted(result, key=lambda truth: (truth.pointed is None, -(truth.pointed or 0), truth.deletion))


def table(truths: Sequence[Truth]) -> list[list[str]]:
    """The same as rows of text, the first of them headings."""
    head = ["method", "strongest cell inside", "half of it inside", "deletion", "insertion", "cells to good"]
    rows = [[*head, "sum off by > 1 %", "ms a chamber"]]
    for t in truths:
        shares = ["–" if value is None else f"{value:.1%}".replace("%", " %") for value in (t.pointed, t.half_inside)]
        rest = ["–" if t.incomplete is None else f"{t.incomplete:.2%}".replace("%", " %")]
        rest.append("–" if t.seconds is None else f"{1000 * t.seconds:.0f}")
        rows.append([t.method, *shares, f"{t.deletion:.3f}", f"{t.insertion:.3f}", f"{t.cells_to_good:g}", *rest])
    return rows


def _blocks_of(number: int, one: SimulatedChamber) -> list[_Block]:
    """The layers that a block alone makes bad, without other faults except single cells."""
    chamber = one.occupancy.chamber
    blocks = [defect for defect in one.defects if defect.kind in BLOCKS]
    others = {layer for defect in one.defects if defect.kind not in BLOCKS | HARMLESS for layer in defect.layers}
    alone, cells = label(chamber, blocks) == 1, factors(chamber, blocks) != 1
    rows = [int(row) for row in np.flatnonzero(alone & (one.bad == 1)) if row + 1 not in others]
    return [_Block(number, row, cells[row]) for row in rows]


def _points(influences: Sequence[Influence], block: _Block) -> bool:
    return bool(block.inside[influences[block.chamber].cells[block.row].argmax()])


def _half_inside(influences: Sequence[Influence], block: _Block) -> bool:
    positive = np.maximum(influences[block.chamber].cells[block.row], 0)
    return bool(positive.sum() > 0 and positive[block.inside].sum() >= positive.sum() / 2)


def _share(values: Iterator[bool]) -> float | None:
    held = list(values)
    return sum(held) / len(held) if held else None


def _incomplete(influences: Sequence[Influence]) -> float:
    logit, expected = (np.array([getattr(one, name) for one in influences]) for name in ("logit", "expected"))
    total = np.array([one.cells.sum(axis=1) + one.around for one in influences])
    exists = ~np.isnan(logit)
    difference = (logit - expected)[exists]
    off = np.abs(total[exists] - difference)
    return float((off > COMPLETE * np.maximum(np.abs(difference), 0.5)).mean()) if exists.any() else 0.0


def _replaced(
    explainer: Explainer,
    occupancies: Sequence[Occupancy],
    expected: Sequence[np.ndarray],
    blocks: Sequence[_Block],
    orders: Sequence[np.ndarray],
) -> tuple[float, float, float]:
    """Areas of deletion and insertion, and the cells to replace before the score is below 0.5."""
    deletions, insertions, fewest = [], [], []
    for block, order in list(zip(blocks, orders, strict=True))[:MOST_DELETED_FROM]:
        occupancy, row = occupancies[block.chamber], block.row
        order = order[occupancy.cells[row][order]]
        changed = []
        for begin, end in ((occupancy.counts, expected[block.chamber]), (expected[block.chamber], occupancy.counts)):
            for number in DELETED:
                counts = occupancy.counts.astype(float)
                counts[row, order] = begin[row, order]
                counts[row, order[:number]] = end[row, order[:number]]
                changed.append(Occupancy(occupancy.chamber, counts))
        scores = 1 / (1 + np.exp(-explainer.logits_of(changed)[:, row].astype(float)))
        deleted, inserted = scores[: len(DELETED)], scores[len(DELETED) :]
        share = np.minimum(DELETED, order.size) / order.size
        deletions.append(float(np.trapezoid(deleted, share)))
        insertions.append(float(np.trapezoid(inserted, share)))
        good = np.flatnonzero(deleted < 0.5)
        fewest.append(min(DELETED[good[0]], order.size) if good.size else np.inf)
    if not deletions:
        return float("nan"), float("nan"), float("nan")
    return float(np.mean(deletions)), float(np.mean(insertions)), float(np.median(fewest))
