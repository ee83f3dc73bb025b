"""Training samples: the layers of chambers for a network to judge, with their targets.

Simulated and labelled chambers are brought into the same form and mixed here. Not for fitting: see `training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.subsystems.dt.defects import HARMLESS, label
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.histogram_file import InMemory
from app.subsystems.dt.learning.labelled_items import LabelledItem
from app.subsystems.dt.learning.networks import Architecture
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import DefectKind, SimulatedChamber
from app.subsystems.dt.verdict import judge_before

COUNTED = 0.3  # share that faulty chambers count for: with as few as in ordinary data, 0.05, they are learnt worse
AT_ONCE = 2_000  # chambers whose inputs are worked out together: 70 MB
BAD_SHARE = 0.2  # of the labelled layers to learn from that bad ones count for, where they are rarer
WAYS = 4  # in which a labelled chamber is shown
SOME_HITS, HITS_TO_SEE = (0.3, 0.9), 6.0  # share that is left of the hits; a cell, below which few faults are seen
MOST_BAD_WEIGHT = 10.0  # of a bad layer, a good one counting 1: a few must not be learnt by heart


@dataclass(frozen=True, eq=False)
class Sample:
    """The layers of some chambers for a network to judge.

    Attributes:
        inputs: float32 (layers, …), the inputs of the architecture.
        bad: float32 (layers,), P(bad) by the simulator's rule, or by labels.
        visible: bool (layers,): the architecture can see what makes the layer bad; always true for good layers, and for
            labelled ones, since labels do not say what makes a layer bad.
        hits: float (layers,): hits per cell of its chamber.
        weights: float32 (layers,), the weight of each; None if all are equal.
    """

    inputs: np.ndarray
    bad: np.ndarray
    visible: np.ndarray
    hits: np.ndarray
    weights: np.ndarray | None = None

    @property
    def seen(self) -> Sample:
        """The layers whose fault the architecture can see; the same object if these are all."""
        return self if self.visible.all() else self.of(self.visible)

    def of(self, which: np.ndarray) -> Sample:
        weights = None if self.weights is None else self.weights[which]
        return Sample(self.inputs[which], self.bad[which], self.visible[which], self.hits[which], weights)


def sample(kind: Architecture, chambers: list[SimulatedChamber]) -> Sample:
    """The layers of these chambers that such a network would judge: neither empty nor unjudged."""
    return joined([_simulated(kind, chambers[i : i + AT_ONCE]) for i in range(0, len(chambers), AT_ONCE)])


def nearer_ordinary(kind: Architecture, chambers: list[SimulatedChamber], faulty: float) -> Sample:
    """The same for chambers drawn with this share of faulty ones, which get lower weights; mean weight about 1.

    Faults are rare in ordinary data. Possible fluctuations must then be called good more often, but layers that are
    doubtful by definition must not; calibrating the scores afterwards cannot distinguish the two.
    """
    parts = []
    for i in range(0, len(chambers), AT_ONCE):
        some = chambers[i : i + AT_ONCE]
        weights = np.where([is_faulty(one) for one in some], COUNTED / faulty, (1 - COUNTED) / (1 - faulty))
        parts.append(_simulated(kind, some, weights.astype(np.float32)))
    return joined(parts)


def labelled_sample(kind: Architecture, items: Sequence[LabelledItem]) -> Sample:
    """The same for labelled items, each layer with the propensity weight of its item."""
    parts = []
    for i in range(0, len(items), AT_ONCE):
        some = items[i : i + AT_ONCE]
        bad, weights = np.stack([one.targets for one in some]), np.array([one.weight for one in some], np.float32)
        parts.append(_judged(kind, [one.occupancy for one in some], bad, np.ones(bad.shape, bool), weights))
    return joined(parts)


def varied_sample(kind: Architecture, items: Sequence[LabelledItem], seed: int) -> Sample:
    """The sample of what `varied` makes of labelled items, of so many at once that memory is no matter."""
    rng, at_once = np.random.default_rng(seed), AT_ONCE // WAYS
    parts = (varied(items[i : i + at_once], rng) for i in range(0, len(items), at_once))
    return joined([labelled_sample(kind, part) for part in parts])


def varied(items: Sequence[LabelledItem], seed: int | np.random.Generator) -> list[LabelledItem]:
    """Labelled items for training: each as it is, and in three variants that would get the same label.

    Labels are few, and the look of a fault must not be tied to its position and statistics: with the cells of each
    layer reversed, with a part of the hits, and with both.
    """
    rng = np.random.default_rng(seed)
    occupancies = []
    for one in items:
        occupancy = one.occupancy
        opposite = _opposite(occupancy)
        some = (_with_some_hits(each, rng) for each in (occupancy, opposite))
        occupancies += [occupancy, opposite, *some]
    is_open = judge_before(occupancies, layer_bins(occupancies)).open if items else ()
    each = [one for one in items for _ in range(WAYS)]
    ways = zip(each, occupancies, is_open, strict=True)
    return [replace(one, histogram=InMemory(occupancy), open=layers) for one, occupancy, layers in ways]


def balanced(some: Sample) -> tuple[Sample, float]:
    """A training sample: good layers weigh 1, bad ones more, to make up a fifth, but at most ten.

    Propensity weights are not used here: selection does not change what an item teaches, and doubtful ones teach most.

    Returns:
        the sample and the weight of a bad layer.
    """
    bad = float(some.bad.sum())
    good = len(some.bad) - bad
    factor = float(np.clip(BAD_SHARE / (1 - BAD_SHARE) * good / max(bad, 1), 1, MOST_BAD_WEIGHT))
    return replace(some, weights=(1 + (factor - 1) * some.bad).astype(np.float32)), factor


def mixed(simulated: Sample, labelled: Sample, simulated_weight: float) -> Sample:
    """Both, with all simulated layers together weighing `simulated_weight` times all labelled ones; mean weight 1."""
    mine = labelled.weights / labelled.weights.sum() / (1 + simulated_weight)
    theirs = np.ones(len(simulated.bad), np.float32) if simulated.weights is None else simulated.weights
    theirs = theirs / theirs.sum() * simulated_weight / (1 + simulated_weight)
    weights = (len(theirs) + len(mine)) * np.concatenate((theirs, mine))
    both = joined([replace(simulated, weights=theirs), labelled])
    return replace(both, weights=weights.astype(np.float32))


def is_faulty(chamber: SimulatedChamber) -> bool:
    """Whether a fault was drawn for it: something other than dead cells, hot cells and few hits."""
    return any(defect.kind not in HARMLESS for defect in chamber.defects)


def _opposite(occupancy: Occupancy) -> Occupancy:
    counts = occupancy.counts.copy()
    for row, cells in enumerate(occupancy.cells):
        counts[row, cells] = counts[row, cells][::-1]
    return Occupancy(occupancy.chamber, counts)


def _with_some_hits(occupancy: Occupancy, rng: np.random.Generator) -> Occupancy:
    """With 30 to 90 % of the hits, like a shorter run, but not so few that faults become invisible."""
    counts, cells = occupancy.counts.copy(), occupancy.cells
    least, most = SOME_HITS
    enough = HITS_TO_SEE / max(counts[cells].mean(), 1)
    counts[cells] = rng.binomial(counts[cells], rng.uniform(np.clip(enough, least, most), most))
    return Occupancy(occupancy.chamber, counts)


def _simulated(kind: Architecture, chambers: list[SimulatedChamber], weights: np.ndarray | None = None) -> Sample:
    bad = np.stack([chamber.bad for chamber in chambers])
    visible = np.stack([chamber.bad == _without_rate(chamber) for chamber in chambers]) | kind.sees_rate
    return _judged(kind, [chamber.occupancy for chamber in chambers], bad, visible, weights)


def _judged(
    kind: Architecture, occupancies: list[Occupancy], bad: np.ndarray, visible: np.ndarray, weights: np.ndarray | None
) -> Sample:
    """The layers to be judged, with the weights of their chambers, float32 (n,)."""
    bins = layer_bins(occupancies)
    before = judge_before(occupancies, bins)
    hits = np.broadcast_to(before.rates[:, None], bad.shape)
    inputs = kind.inputs(occupancies, bins)
    whole = Sample(*(values[before.open] for values in (inputs, bad, visible, hits)))
    if weights is None:
        return whole
    return replace(whole, weights=np.broadcast_to(weights[:, None], bad.shape)[before.open])


def joined(parts: Sequence[Sample]) -> Sample:
    """All layers of some samples; weighted, if all of these are."""
    of_each = zip(*((part.inputs, part.bad, part.visible, part.hits) for part in parts), strict=True)
    inputs, bad, visible, hits = (np.concatenate(column) for column in of_each)
    weighted = all(part.weights is not None for part in parts)
    weights = np.concatenate([part.weights for part in parts]) if weighted else None
    return Sample(inputs, bad, visible, hits, weights)


def _without_rate(chamber: SimulatedChamber) -> np.ndarray:
    """float32 (12,): P(bad) without layers with a wrong voltage."""
    others = [defect for defect in chamber.defects if defect.kind is not DefectKind.LOW_RATE]
    return label(chamber.occupancy.chamber, others)
