"""Chambers with known bad layers: the fixed simulated test set, and real ones from a file.

The test set is drawn from seeds that training cannot reach. Not for evaluating methods on them: see `evaluation`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InvalidInput, UnusableHistogram
from app.json_file import read_json
from app.subsystems.dt.defects import DefectKind, label
from app.subsystems.dt.geometry import LAYERS, Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.simulate import ORDINARY, RICH, SimulatedChamber, simulate_chambers

WHOLE_SUPERLAYER, BESIDE_HOT_CELL = "whole_superlayer", "with_hot_cell"
LARGEST_SEED = 2**30 - 1
LARGEST_FILE = 50_000_000  # bytes: about 10,000 chambers

# The high word of the seeds here. Training draws from seeds below 2³², so its generators start from the words
# (stream, seed, chamber); ours from (stream, low, high, chamber). They can be alike only for its chamber number
# 1,163,284,045.
_HIGH = 0x45564E4D << 32
_ORDINARY, _RICH, _FITTING = range(3)

NO_KINDS: tuple[frozenset[str], ...] = (frozenset(),) * LAYERS

# The meaning of the labels of real chambers for their layers.
_ALL_GOOD = re.compile(r"good|human labels: \d+ good layers")
_BAD_LAYERS = re.compile(r"\blayers? (\d{1,2})\b(?:\s*[-–]\s*(\d{1,2})\b)?")
_UNKNOWN = re.compile(r"bad|CNN: 0 bad layers")  # without naming layers; what a network said is not a label


@dataclass(frozen=True, eq=False)
class LabelledChamber:
    """One chamber with the truth.

    Attributes:
        occupancy: its histogram.
        bad: float (12,): 0 good, 1 bad; in between ambiguous and NaN absent or unknown, neither of which counts.
        kinds: for each layer, the defects that each alone make it bad; empty for good layers and if unknown.
        ordinary: it is from a set with as few bad layers as usual; only on such a set are scores probabilities.
    """

    occupancy: Occupancy
    bad: np.ndarray
    kinds: tuple[frozenset[str], ...] = NO_KINDS
    ordinary: bool = True


def simulated_test_set(count: int, seed: int) -> list[LabelledChamber]:
    """The simulated test set; chamber i of a seed is the same, however many are drawn.

    Every other one is from a set with as few faults as usual. The rest is from one with many, so that there are enough
    bad layers of each kind.

    Args:
        count: how many.
        seed: 0 to 2³⁰ − 1.
    """
    parts = ((ORDINARY, _ORDINARY, (count + 1) // 2), (RICH, _RICH, count // 2))
    ordinary, rich = (simulate_chambers(n, evaluation_seed(seed, stream), share) for share, stream, n in parts)
    drawn = [one for pair in zip_longest(ordinary, rich) for one in pair if one]
    return [LabelledChamber(one.occupancy, one.bad, kinds(one), ordinary=i % 2 == 0) for i, one in enumerate(drawn)]


def fitting_seed(seed: int) -> int:
    """The seed of the chambers to which yardsticks are fitted, for the test set of `seed`."""
    return evaluation_seed(seed, _FITTING)


def evaluation_seed(seed: int, stream: int) -> int:
    """A seed of the simulation that no training uses.

    Raises:
        InvalidInput: the seed is out of range.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InvalidInput("seed", seed, f"a whole number from 0 to {LARGEST_SEED:,}")
    return _HIGH | 4 * seed + stream


def kinds(simulated: SimulatedChamber) -> tuple[frozenset[str], ...]:
    """The kinds of defect that each alone make a layer bad.

    A layer can have several, or none if only several defects together are bad.
    """
    chamber, bad = simulated.occupancy.chamber, simulated.bad == 1
    named: list[set[str]] = [set() for _ in range(LAYERS)]
    for kind in DefectKind:
        own = [defect for defect in simulated.defects if defect.kind is kind]
        if not own:
            continue
        if kind is DefectKind.HOT_CELL:
            of_kind, name = np.isin(np.arange(1, LAYERS + 1), [defect.layers for defect in own]), BESIDE_HOT_CELL
        else:
            of_kind, name = label(chamber, own) == 1, kind.value
            whole = np.repeat((of_kind & bad).reshape(-1, 4).all(axis=1), 4)
            for row in np.flatnonzero(whole):
                named[row].add(WHOLE_SUPERLAYER)
        for row in np.flatnonzero(of_kind & bad):
            named[row].add(name)
    return tuple(map(frozenset, named))


def read_labelled(path: Path) -> list[LabelledChamber]:
    """Real chambers from a JSON file: {"chambers": [{"wheel", "station", "sector", "matrix", "label"}, …]}.

    `matrix` has 12 rows, the first layer 1, −1 where no cell exists. `label` is the list of bad layers, 1–12, or words
    as in the published plots: "good"; a text with "layer 9" or "layers 5-8", which are bad, and all others good; "bad"
    without naming layers, and verdicts of a network, which leave all layers unknown. Other keys are ignored.

    Raises:
        InvalidInput: the file is missing or not JSON, or a chamber cannot be parsed; says which.
        UnusableHistogram: a matrix does not fit its chamber; says which.
    """
    given = read_json(path, "real", "a readable JSON file", LARGEST_FILE)
    chambers = given.get("chambers") if isinstance(given, dict) else None
    if not isinstance(chambers, list) or not chambers:
        raise InvalidInput("real", str(path), 'a JSON object with a list "chambers" that is not empty')
    return [_labelled(f"chamber {i} of {path.name}", one) for i, one in enumerate(chambers, start=1)]


def _labelled(where: str, given: Any) -> LabelledChamber:
    wanted = ("wheel", "station", "sector", "matrix", "label")
    missing = [key for key in wanted if not isinstance(given, dict) or key not in given]
    if missing:
        raise InvalidInput(where, given, f"an object with {', '.join(wanted)} (no {missing[0]})")
    try:
        chamber = Chamber(wheel=given["wheel"], station=given["station"], sector=given["sector"])
    except InvalidInput as error:
        raise InvalidInput(where, {key: given[key] for key in wanted[:3]}, f"one of the 250 ({error})") from None
    try:
        occupancy = Occupancy.from_rows(chamber, given["matrix"])
    except UnusableHistogram as error:
        raise UnusableHistogram(error.reason, f"{where}: {error.detail}") from None
    bad = _bad_layers(f"label of {where}", given["label"])
    exist = {layer.number for layer in chamber.layers}
    if bad is not None and not exist.issuperset(bad):
        raise InvalidInput(f"label of {where}", given["label"], f"about layers that {chamber} has")
    labels = np.full(LAYERS, np.nan, np.float32)
    if bad is not None:
        for number in exist:
            labels[number - 1] = number in bad
    return LabelledChamber(occupancy, labels)


def _bad_layers(where: str, given: Any) -> Sequence[int] | None:
    """The layers 1–12 that a label calls bad; None if it does not name any."""
    if isinstance(given, list) and all(type(layer) is int for layer in given):
        return given
    if isinstance(given, str):
        ranges = [range(int(first), int(last or first) + 1) for first, last in _BAD_LAYERS.findall(given)]
        if ranges and all(ranges):
            return [layer for layers in ranges for layer in layers]
        if _ALL_GOOD.fullmatch(given):
            return []
        if _UNKNOWN.fullmatch(given):
            return None
    accepted = 'a list of the bad layers, "good", "bad", or words that name them, such as "layer 9" or "layers 5-8"'
    raise InvalidInput(where, given, accepted)
