"""Draws defects: kind, severity, position, extent, layers, and accompanying defects.

Every function takes the generator that it draws from. For what a defect is, and when it is bad, see `defects`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import exp, log

import numpy as np

from app.subsystems.dt.defects import (
    BLOCK_CELLS,
    DEAD_CELL,
    SHARED_CELLS,
    SHARED_LAYERS,
    Defect,
    DefectKind,
    factors,
)
from app.subsystems.dt.geometry import LAYERS, Chamber, Layer

READ_OUT_GROUP = 16  # cells of a layer per read-out unit: dead blocks often end at its borders
SEEN_DEAD_CELLS = 0.0026  # share of the cells: isolated dead cells of good chambers, station 1, run 302635
MOST_DEAD_CELLS = 0.02  # share of the cells: isolated dead cells that are good

_HOTTEST = 1_000.0  # times the expected hits; up to 70 were seen
_SHARED = (
    0.55,
    0.70,
    0.94,
)  # of the defects in one layer; in that or in 2–3 layers; in that or in one superlayer


def any_faults(
    chamber: Chamber, share: float, rng: np.random.Generator, without: Collection[DefectKind] = ()
) -> tuple[Defect, ...]:
    """The defects of a training chamber: one to three faults in a share of them, otherwise dead and hot cells.

    Args:
        without: kinds left out.
    """
    drawn: list[Defect] = []
    if rng.random() < 0.6:
        drawn += dead_cells(chamber, MOST_DEAD_CELLS * rng.random() ** 2, rng)
    for chance in (share, 0.3, 0.2):
        if rng.random() >= chance:
            break
        drawn += one_fault(chamber, rng, without)
    faulty = any(defect.kind is not DefectKind.DEAD_CELLS for defect in drawn)
    if rng.random() < (0.25 if faulty else 0.2):
        for _ in range(1 + int(4 * rng.random() ** 3)):
            drawn += hot_cell(chamber, drawn, rng)
    if rng.random() < 0.03:
        drawn.append(low_statistics(chamber, rng))
    return tuple(defect for defect in drawn if defect.kind not in without)


def one_fault(chamber: Chamber, rng: np.random.Generator, without: Collection[DefectKind] = ()) -> list[Defect]:
    """One random defect, with kinds weighted by difficulty; redrawn if its kind is left out."""
    while True:
        drawn = _KINDS[int(np.searchsorted(_CHANCES, rng.random(), side="right"))](chamber, rng)
        if not any(defect.kind in without for defect in drawn):
            return drawn


def dead_cells(chamber: Chamber, share: float, rng: np.random.Generator) -> list[Defect]:
    """Isolated dead cells, each cell with the same probability: one defect per layer that has any."""
    dead = (rng.random(chamber.read_out.shape) < share) & chamber.read_out
    rows, columns = np.nonzero(dead)
    cells: dict[int, list[int]] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        cells.setdefault(row + 1, []).append(column + 1)
    return [_listed(DefectKind.DEAD_CELLS, (layer,), tuple(found), 0.0) for layer, found in cells.items()]


def hot_cell(chamber: Chamber, others: Sequence[Defect], rng: np.random.Generator) -> list[Defect]:
    """One noisy cell: in the layer of another defect if there is one, often beside it, never inside."""
    besides = [defect for defect in others if defect.kind not in (DefectKind.DEAD_CELLS, DefectKind.HOT_CELL)]
    if besides:
        beside = besides[int(rng.integers(len(besides)))]
        layer = _layer(chamber, beside.layers[int(rng.integers(len(beside.layers)))])
    else:
        beside, layer = None, _any_layer(chamber, rng)
    untouched = factors(chamber, others)[layer.number - 1, layer.first_cell - 1 : layer.last_cell] == 1
    free = np.flatnonzero(untouched) + layer.first_cell
    if not free.size:
        return []
    if beside is not None and rng.random() < 0.5:
        distance = np.minimum(abs(free - beside.first_cell), abs(free - beside.last_cell))
        free = free[distance <= distance.min() + 2]
    cell = int(free[int(rng.integers(free.size))])
    return [Defect(DefectKind.HOT_CELL, (layer.number,), cell, cell, _log_uniform(rng, 3, _HOTTEST))]


def low_statistics(chamber: Chamber, rng: np.random.Generator) -> Defect:
    """A chamber that took data only for a short part of the run."""
    everywhere = tuple(layer.number for layer in chamber.layers)
    return Defect(DefectKind.LOW_STATISTICS, everywhere, 1, chamber.columns, _log_uniform(rng, 0.0005, 0.03))


def _dead_block(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    layers, length = _layers(chamber, rng), 0
    while length < 6:  # a block at a read-out border can come out shorter where the layer ends
        first, last = _extent(_length(chamber, layers), rng)
        length = last - first + 1
    chance = rng.random()
    factor = 0.0 if chance < 0.5 else rng.uniform(0, 0.4) if chance < 0.93 else rng.uniform(0.4, 0.7)
    return [Defect(DefectKind.DEAD_BLOCK, layers, first, last, factor)]


def _dead_half(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    layers = _superlayer(_any_layer(chamber, rng).number)
    length = _length(chamber, layers)
    middle = length // 2 + int(rng.integers(-3, 4))
    first, last = (1, middle) if rng.random() < 0.5 else (middle + 1, length)
    factor = 0.0 if rng.random() < 0.8 else rng.uniform(0, 0.4)
    return [Defect(DefectKind.DEAD_HALF, layers, first, last, factor)]


def _dead_layer(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    """Without hits, or almost; in some a single cell of one layer is alive, and may be noisy."""
    layers = _layers(chamber, rng, most=4)
    factor = 0.0 if rng.random() < 0.8 else rng.uniform(0, 0.1)
    length = _length(chamber, layers)
    if rng.random() < 0.5:
        return [Defect(DefectKind.DEAD_LAYER, layers, 1, length, factor)]
    alive = _layer(chamber, layers[int(rng.integers(len(layers)))])
    cell = alive.first_cell + int(rng.integers(alive.cells))
    cells = tuple(other for other in range(1, length + 1) if other != cell)
    dead = [_listed(DefectKind.DEAD_LAYER, (alive.number,), cells, factor)]
    if len(layers) > 1:
        others = tuple(number for number in layers if number != alive.number)
        dead.append(Defect(DefectKind.DEAD_LAYER, others, 1, length, factor))
    noise = exp(rng.uniform(log(0.2), log(_HOTTEST)))
    return [*dead, Defect(DefectKind.HOT_CELL, (alive.number,), cell, cell, noise)]


def _low_rate(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    layers = _layers(chamber, rng, most=4)
    if len(layers) == 4:  # its siblings are low too: only what exceeds the differences of good superlayers is visible
        factor = rng.uniform(0.05, 0.7)
    else:
        chance = rng.random()
        factor = rng.uniform(0.05, 0.7) if chance < 0.4 else rng.uniform(0.55, 0.7)
        if chance > 0.9:
            factor = rng.uniform(0.7, 0.95)
    return [Defect(DefectKind.LOW_RATE, layers, 1, _length(chamber, layers), factor)]


def _periodic(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    layers, step = _layers(chamber, rng), (2, 4, 8)[int(rng.integers(3))]
    length = _length(chamber, layers)
    first, last = 1, length
    if rng.random() < 0.25:  # only in a part with at least four dead cells and a third of the layer
        extent = min(length, int(rng.integers(max(4 * step, length // 3), length + 1)))
        first = 1 + int(rng.integers(length - extent + 1))
        last = first + extent - 1
    cells = tuple(range(first + int(rng.integers(step)), last + 1, step))
    factor = 0.0 if rng.random() < 0.8 else rng.uniform(0, 0.35)
    return [_listed(DefectKind.PERIODIC, layers, cells, factor)]


def _scattered(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    """Other cells in each layer: mostly 15 % or more, which is bad, sometimes fewer: ambiguous."""
    chance = rng.random()
    share = rng.uniform(0.15, 0.25) if chance < 0.5 else rng.uniform(0.15, 0.5)
    if chance > 0.9:
        share = rng.uniform(0.05, 0.15)
    factor = 0.0 if rng.random() < 0.85 else rng.uniform(0, 0.35)
    drawn = []
    for number in _layers(chamber, rng):
        layer = _layer(chamber, number)
        chosen = rng.permutation(layer.cells)[: int(np.ceil(share * layer.cells))] + layer.first_cell
        drawn.append(_listed(DefectKind.SCATTERED, (number,), tuple(sorted(chosen.tolist())), factor))
    return drawn


def _noisy_block(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    layers, length = _layers(chamber, rng), 0
    while length < 6:
        first, last = _extent(_length(chamber, layers), rng)
        length = last - first + 1
    chance = rng.random()
    factor = rng.uniform(3, 5) if chance < 0.5 else _log_uniform(rng, 3, 40)
    if chance > 0.9:
        factor = rng.uniform(1.5, 3)
    return [Defect(DefectKind.NOISY_BLOCK, layers, first, last, factor)]


def _dead_pair(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    """Fewer cells than a block has, alone or in two layers; two of them in any number of layers."""
    layers, number = _layers(chamber, rng), int(rng.integers(2, 6))
    if len(layers) >= SHARED_LAYERS:
        layers, number = (layers, 2) if rng.random() < 0.6 else (_some(layers[:4], 2, rng), number)
    first = 1 + int(rng.integers(_length(chamber, layers) - number + 1))
    return [Defect(DefectKind.DEAD_PAIR, layers, first, first + number - 1, 0.0)]


def _shared_block(chamber: Chamber, rng: np.random.Generator) -> list[Defect]:
    """Three to five dead cells at the same place, within one, in three or all four layers of a superlayer."""
    layers = _superlayer(_any_layer(chamber, rng).number)
    if rng.random() < 0.4:
        layers = _some(layers, SHARED_LAYERS, rng)
    number = int(rng.integers(SHARED_CELLS, BLOCK_CELLS))
    place = int(rng.integers(_fewest(chamber, layers) - number))  # counted along the existing cells of a layer
    aside = rng.random() < 0.5
    factor = 0.0 if rng.random() < 0.85 else rng.uniform(0, DEAD_CELL[0])
    drawn = []
    for layer in (_layer(chamber, number) for number in layers):
        first = layer.first_cell + place + (int(rng.integers(2)) if aside else 0)
        drawn.append(Defect(DefectKind.SHARED_BLOCK, (layer.number,), first, first + number - 1, factor))
    return drawn


_WEIGHTS: dict[Callable[[Chamber, np.random.Generator], list[Defect]], float] = {
    _dead_block: 0.27,
    _dead_half: 0.05,
    _dead_layer: 0.06,
    _low_rate: 0.17,
    _periodic: 0.10,
    _scattered: 0.11,
    _noisy_block: 0.09,
    _dead_pair: 0.08,
    _shared_block: 0.07,
}
_KINDS = tuple(_WEIGHTS)
_HARMLESS = (DefectKind.DEAD_PAIR, DefectKind.HOT_CELL, DefectKind.DEAD_CELLS, DefectKind.LOW_STATISTICS)
FAULTS = tuple(kind for kind in DefectKind if kind not in _HARMLESS)  # that make a layer bad: some must remain
_CHANCES = np.cumsum(tuple(_WEIGHTS.values()))[:-1]


def _layers(chamber: Chamber, rng: np.random.Generator, most: int = LAYERS) -> tuple[int, ...]:
    """One layer, 2–3 neighbours of one superlayer, a whole one, or (if `most` allows) two or all of them."""
    layer, chance = _any_layer(chamber, rng).number, rng.random()
    one, few, superlayer = _SHARED
    if chance < one:
        return (layer,)
    own = _superlayer(layer)
    if chance < few:
        number = int(rng.integers(2, 4))
        start = int(rng.integers(4 - number + 1))
        return own[start : start + number]
    if chance < superlayer or most <= 4:
        return own
    others = [other.number for other in chamber.layers if other.number not in own]
    left_out = others[4 * int(rng.integers(len(others) // 4)) :][:4] if rng.random() < 0.7 else []
    return tuple(other.number for other in chamber.layers if other.number not in left_out)


def _extent(length: int, rng: np.random.Generator) -> tuple[int, int]:
    """First and last cell of a block, from 6 cells to three quarters of the layer; short ones are more frequent."""
    number = min(int(_log_uniform(rng, 6, 0.75 * length + 1)), length)
    chance = rng.random()
    if chance < 0.3:  # whole read-out groups
        groups = 1 if rng.random() < 0.7 else 2
        first = 1 + READ_OUT_GROUP * int(rng.integers((length - 6) // READ_OUT_GROUP + 1))
        return first, min(first + groups * READ_OUT_GROUP - 1, length)
    if chance < 0.4:  # one end at a border
        border = READ_OUT_GROUP * int(rng.integers(1, (length - 1) // READ_OUT_GROUP + 1))
        return (
            (max(border - number + 1, 1), border) if rng.random() < 0.5 else (border + 1, min(border + number, length))
        )
    if chance < 0.6:  # at an edge of the layer
        return (1, number) if rng.random() < 0.5 else (length - number + 1, length)
    first = 1 + int(rng.integers(length - number + 1))
    return first, first + number - 1


def _listed(kind: DefectKind, layers: tuple[int, ...], cells: tuple[int, ...], factor: float) -> Defect:
    return Defect(kind, layers, cells[0], cells[-1], factor, cells)


def _any_layer(chamber: Chamber, rng: np.random.Generator) -> Layer:
    return chamber.layers[int(rng.integers(len(chamber.layers)))]


def _layer(chamber: Chamber, number: int) -> Layer:
    return next(layer for layer in chamber.layers if layer.number == number)


def _superlayer(layer: int) -> tuple[int, ...]:
    start = (layer - 1) // 4 * 4
    return (start + 1, start + 2, start + 3, start + 4)


def _some(layers: Sequence[int], number: int, rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(sorted(rng.permutation(layers)[:number].tolist()))


def _fewest(chamber: Chamber, layers: Sequence[int]) -> int:
    """The cells that all of these layers have."""
    return min(_layer(chamber, number).cells for number in layers)


def _length(chamber: Chamber, layers: Sequence[int]) -> int:
    """The last cell that each superlayer of these layers has."""
    last: dict[int, int] = {}
    for layer in chamber.layers:
        if layer.number in layers:
            last[layer.superlayer] = max(last.get(layer.superlayer, 0), layer.last_cell)
    return min(last.values())


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return exp(rng.uniform(log(low), log(high)))
