"""What is wrong with a layer, and where: the reasons shown beside a network's score.

These are simple statistics, independent of the network, so that the two can disagree. A bad layer without findings
rests on the network alone, and a finding on a layer that the network calls good is a second opinion: the page shows
both. Not for the verdict: that is the network's (see `verdict`).

A chamber is its own reference (`expected`): a cell's hits are compared with the smooth profile of its superlayer, a
layer's rate with those of its siblings, a superlayer's with those of the others. Among the possible faults of a layer
(a block, a pattern, scattered dead cells), the one that explains its counts best is reported first and its cells are
excluded; then the rest is searched again (`scan`). A factor is reported if it is as far from 1 as the rule in `defects`
requires for a label of at least one half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np

from app.subsystems.dt.defects import (
    BLOCK_CELLS,
    DEAD_CELL,
    LOW_BLOCK,
    LOW_LAYER,
    NOISY_BLOCK,
    SCATTERED_DEAD,
    SHARED_CELLS,
    SHARED_LAYERS,
    SHARED_WITHIN,
)
from app.subsystems.dt.expected import SHARING, SUPERLAYERS, Superlayers, fit_profiles, levels, superlayers
from app.subsystems.dt.finding import Finding, FindingKind
from app.subsystems.dt.geometry import Chamber, superlayer_of
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.scan import best_windows, dead_cells, windows
from app.subsystems.dt.verdict import LEAST_HITS_EXPECTED

# A factor is reported if the rule's label is at least one half.
LOW_FROM = sum(LOW_BLOCK) / 2  # of the expected hits: a block
DEAD_FROM = LOW_BLOCK[0]  # of the expected hits: the cells of a pattern, or scattered ones
DEAD_CELL_UNTIL = sum(DEAD_CELL) / 2  # of the expected hits: a block that several layers share
NOISY_FROM = sum(NOISY_BLOCK) / 2  # times the expected hits
LOW_RATE_FROM = sum(LOW_LAYER) / 2  # of the siblings' rate
SCATTERED_FROM = sum(SCATTERED_DEAD) / 2  # of the layer's cells
LOW_SUPERLAYER_FROM = 0.45  # of the lowest other superlayer's rate: fewer than 1 in 1,000 good superlayers are below
HOT_FROM = 3.0  # times the expected hits: a single cell below this is not reported

# Significances, in standard deviations after correcting for the number of places searched: tuned on good simulated
# chambers so that at most 3 layers in 1,000 get a finding that would make them bad, from 1.5 hits per cell.
BLOCK_SIGMAS = 3.0
PATTERN_SIGMAS = 3.5
SCATTERED_SIGMAS = 4.0
LOW_RATE_SIGMAS = 3.5
HOT_SIGMAS = 5.0

MOST_SEARCHES = 8  # searches per layer: each excludes one fault, even a single dead cell

_SUSPECT_SIGMAS = 3.3  # a layer is searched if a stretch or class of cells is this far off; 1 in 25 is
_STRETCHES = (6, 12, 24)  # cells: blocks as short as they count, and longer ones that are less deep
_SAME_RATE = 0.87  # layers that differ by no more have a common rate, whose mean is the reference
_LOW_COST = 2.0  # log-likelihood cost of calling a layer low: voltages fail
_HIGH_COST = 8.0  # the same for a high layer: nothing doubles rates
_RATE_SPREAD = 0.3  # typical log(rate of a superlayer over the chamber's)
_CHAMBER_LEVEL = 0.6  # quantile of its layers' levels: insensitive to a dead half of the chamber, and to a noisy third


@dataclass(frozen=True, eq=False)
class _Explained:
    """One fault found in one row, before its expected rate is known."""

    row: int
    kind: FindingKind | None  # None: a dead cell
    cells: np.ndarray  # bool (length,)
    period: int | None
    gain: float  # log(likelihood), corrected for the number of places searched


@dataclass(eq=False)
class _Searched:
    """A batch of superlayers with everything found in its layers; rows are layers, four per superlayer."""

    batch: Superlayers
    shape: np.ndarray  # float64 (s, length)
    use: np.ndarray  # bool (4 s, length): cells without findings
    explained: list[_Explained]
    hits: np.ndarray  # float64 (s, 4): of these cells
    sums: np.ndarray  # float64 (s, 4): of the shape over these cells
    reference: np.ndarray  # float64 (s,): the rate of the siblings, over the shape; 0 where all are empty
    same: np.ndarray  # bool (s, 4): the layers that have it
    own: np.ndarray  # float64 (s,): the same in hits per cell


def findings(occupancies: Sequence[Occupancy]) -> list[tuple[Finding, ...]]:
    """What is wrong in the layers of each chamber: ordered by layer, the most significant first, noisy cells last.

    The rest of the batch has no effect. A chamber with too few hits has few findings or none: what may be a fluctuation
    is not reported.

    >>> from app.subsystems.dt.geometry import Chamber
    >>> chamber = Chamber(wheel=0, station=2, sector=1)
    >>> counts = np.where(chamber.read_out, 20, -1)
    >>> counts[4, 32:48] = 0
    >>> counts[6, 9] = 900
    >>> [(finding.layer, str(finding)) for finding in findings([Occupancy(chamber, counts)])[0]]
    [(5, 'block: cells 33–48 at 0.00 of the expected'), (7, 'noisy cell 10: 45 times the expected')]
    >>> counts[8:12, 20:23] = 0
    >>> str(findings([Occupancy(chamber, counts)])[0][-1])
    'block shared by layers 9–12: cells 21–23 at 0.00 of the expected'
    """
    found: list[list[Finding]] = [[] for _ in occupancies]
    for searched, expected in _searched(occupancies):
        for chamber, finding in _described(searched, expected):
            found[chamber].append(finding)
    return [
        tuple(sorted(_shared(occupancy.chamber, those), key=_importance))
        for occupancy, those in zip(occupancies, found, strict=True)
    ]


def expected_hits(occupancy: Occupancy) -> np.ndarray:
    """The expected hits of each cell of a chamber: see `all_expected`."""
    return all_expected([occupancy])[0]


def all_expected(occupancies: Sequence[Occupancy]) -> list[np.ndarray]:
    """The expected hits of each cell: the superlayer's smooth profile at the rate of the siblings.

    If all four layers of a superlayer are empty or below half of the others' rate, at the others' rate.

    Returns:
        For each chamber float64 (12, columns); 0 where no cell exists.
    """
    result = [np.zeros(occupancy.counts.shape) for occupancy in occupancies]
    for searched, expected in _searched(occupancies):
        batch = searched.batch
        for i, (chamber, number) in enumerate(zip(batch.chambers, batch.numbers, strict=True)):
            rows = slice(SHARING * number, SHARING * (number + 1))
            result[chamber][rows, : batch.length] = np.where(batch.cells[i], expected[i] * searched.shape[i], 0)
    return result


def _searched(occupancies: Sequence[Occupancy]) -> list[tuple[_Searched, np.ndarray]]:
    """Search all layers; with each batch, float64 (s,): the rate expected of each superlayer, over its shape."""
    batches = superlayers(occupancies)
    pooled = np.full((len(occupancies), SUPERLAYERS, SHARING, 3), np.nan)
    for batch in batches:
        pooled[batch.chambers, batch.numbers] = levels(batch)
    rates = _chamber_rates(pooled.reshape(len(occupancies), SUPERLAYERS * SHARING * 3))
    searched = [_search(batch, rates[batch.chambers]) for batch in batches]
    own = np.full((len(occupancies), SUPERLAYERS), np.nan)
    for one in searched:
        own[one.batch.chambers, one.batch.numbers] = one.own
    return [(one, _expected_rate(one, own)) for one in searched]


def _chamber_rates(pooled: np.ndarray) -> np.ndarray:
    """Hits per cell of each chamber, float64 (n,), from those of its layers, float64 (n, m), NaN for absent layers."""
    ordered = np.sort(pooled, axis=1)  # NaN last
    known = np.isfinite(ordered).sum(axis=1)
    return ordered[np.arange(len(ordered)), (_CHAMBER_LEVEL * (known - 1)).astype(int)]


def _expected_rate(searched: _Searched, own: np.ndarray) -> np.ndarray:
    """The expected rate of a superlayer: its own, or the others' if it is far below the lowest of them."""
    batch = searched.batch
    others = own[batch.chambers].copy()
    others[np.arange(len(others)), batch.numbers] = np.nan
    lowest = np.nan_to_num(np.fmin.reduce(others, axis=1))
    middle = np.nansum(others, axis=1) / np.maximum((~np.isnan(others)).sum(axis=1), 1)
    low = searched.own < LOW_SUPERLAYER_FROM * lowest
    return np.where(low, middle / np.maximum(searched.shape.mean(axis=1), 1e-9), searched.reference)


def _search(batch: Superlayers, rates: np.ndarray) -> _Searched:
    profiles = fit_profiles(batch, rates)
    rows = len(batch.counts) * SHARING
    counts, use = (a.reshape(rows, batch.length) for a in (batch.counts, batch.use.copy()))
    shape = np.repeat(profiles.shape, SHARING, axis=0)
    follows = profiles.follows.reshape(use.shape)
    scale = rates / np.maximum(profiles.shape.mean(axis=1), 1e-9)
    reference, _ = _reference(*_sums(counts, shape, follows), scale)
    explained: list[_Explained] = []
    left = np.flatnonzero(_suspect(counts, shape, use))
    for _ in range(MOST_SEARCHES):
        if not left.size:
            break
        new = _explain(left, counts[left], shape[left], use[left], np.repeat(reference, SHARING)[left])
        for one in new:
            use[one.row] &= ~one.cells
        explained += new
        left = np.array([one.row for one in new], int)
    hits, sums = _sums(counts, shape, use)
    reference, same = _reference(hits, sums, scale)
    own = reference * profiles.shape.mean(axis=1)
    return _Searched(batch, profiles.shape, use, explained, hits, sums, reference, same, own)


def _sums(counts: np.ndarray, shape: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hits, sums = (np.where(use, a, 0).sum(axis=1).reshape(-1, SHARING) for a in (counts, shape))
    return hits, sums


def _reference(hits: np.ndarray, sums: np.ndarray, usual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The common rate of the siblings over the shape, from layers without faults, and which layers have it.

    Each layer's rate is tried, at a cost for layers below it, layers above it, and its distance from the chamber's
    rate, so that neither one noisy layer nor three low ones shift it. The result is the mean of the layers with the
    best rate.

    Args:
        hits, sums: float64 (s, 4): hits of each layer, and the sum of the shape over the same cells.
        usual: float64 (s,): the chamber's rate over the shape.

    Returns:
        float64 (s,), 0 where all are empty; bool (s, 4).
    """
    known = (hits > 0) & (sums > 0)
    rate = hits / np.maximum(sums, 1e-9)
    variance = (hits + 1) / np.maximum(sums, 1e-9) ** 2
    error = 2 * np.sqrt(variance[:, :, None] + variance[:, None, :])
    ratio, tried = rate[:, None, :], rate[:, :, None]  # [superlayer, layer tried, layer compared]
    low = known[:, None, :] & (ratio < _SAME_RATE * tried - error)
    high = known[:, None, :] & (ratio > tried / _SAME_RATE + error)
    with np.errstate(divide="ignore"):
        unusual = (np.log(np.maximum(rate, 1e-9) / np.maximum(usual, 1e-9)[:, None]) / _RATE_SPREAD) ** 2 / 2
    cost = _LOW_COST * low.sum(axis=-1) + _HIGH_COST * high.sum(axis=-1) + unusual
    best = np.where(known, cost, np.inf).argmin(axis=1)
    same = known & ~(low | high)[np.arange(len(best)), best]
    return (hits * same).sum(axis=1) / np.maximum((sums * same).sum(axis=1), 1e-9), same


def _suspect(counts: np.ndarray, shape: np.ndarray, use: np.ndarray) -> np.ndarray:
    """bool (rows,): the layers worth searching."""
    counts, shape = np.where(use, counts, 0), np.where(use, shape, 0)
    hits = counts.sum(axis=1)
    expected = shape * (hits / np.maximum(shape.sum(axis=1), 1e-9))[:, None]
    suspect = np.zeros(len(counts), bool)
    sums, should = (np.pad(a, ((0, 0), (1, 0))).cumsum(axis=1) for a in (counts, expected))
    for length in _STRETCHES:
        far = _far(sums[:, length:] - sums[:, :-length], should[:, length:] - should[:, :-length])
        suspect |= (far > _SUSPECT_SIGMAS).any(axis=1)
    places = np.arange(counts.shape[1])
    classes = np.stack([places % m == phase for m in (2, 4, 8) for phase in range(m)], axis=1).astype(float)
    suspect |= (_far(counts @ classes, expected @ classes) > _SUSPECT_SIGMAS).any(axis=1)
    with np.errstate(over="ignore"):
        dead = np.where(use, 0.85 + 0.15 * np.exp(0.9 * expected - log(10) * counts).clip(max=1e9), 1)
    return (suspect | (np.log(dead).sum(axis=1) > 3)) & (hits > 0)


def _far(hits: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return 2 * abs(np.sqrt(hits + 0.375) - np.sqrt(expected + 0.375))


def _explain(
    rows: np.ndarray, counts: np.ndarray, shape: np.ndarray, use: np.ndarray, reference: np.ndarray
) -> list[_Explained]:
    """The best explanation of each row, for rows that have a sufficient one."""
    length = counts.shape[1]
    looked, places = windows(length), np.arange(length)
    gain, which = best_windows(counts, shape, use, reference, (DEAD_FROM, LOW_FROM, NOISY_FROM))
    mixed, dead = dead_cells(counts, shape, use, reference, DEAD_FROM)
    mixed = np.where(dead.sum(axis=1) >= SCATTERED_FROM * use.sum(axis=1), mixed, 0)
    gain = gain - log(len(looked))
    together = gain > mixed / 2  # adjacent or periodic cells are more informative than many dead ones
    found = []
    for i, row in enumerate(rows.tolist()):
        if mixed[i] > SCATTERED_SIGMAS**2 / 2 and not together[i]:
            found.append(_Explained(row, FindingKind.SCATTERED, dead[i], None, mixed[i]))
            continue
        period, first, last = (int(a[which[i]]) for a in (looked.period, looked.first, looked.last))
        if gain[i] > (BLOCK_SIGMAS if period == 1 else PATTERN_SIGMAS) ** 2 / 2:
            cells = (places >= first) & (places <= last) & ((places - first) % period == 0)
            rates = [counts[i][mask & use[i]].sum() / shape[i][mask & use[i]].sum() for mask in (cells, ~cells)]
            kind = _kind(period, last - first + 1, rates[0] < rates[1])
            found.append(_Explained(row, kind, cells, None if period == 1 else period, gain[i]))
    return found


def _kind(period: int, cells: int, low: bool) -> FindingKind | None:
    """None for a single dead cell, which is excluded but not reported."""
    if period > 1:
        return FindingKind.PATTERN
    if low:
        return FindingKind.BLOCK if cells > 1 else None
    return FindingKind.NOISY_BLOCK if cells >= BLOCK_CELLS else FindingKind.NOISY_CELL


def _described(searched: _Searched, rate: np.ndarray) -> list[tuple[int, Finding]]:
    """Findings with the index of their chamber."""
    batch = searched.batch
    found = [*_levels(searched, rate), *_noisy_cells(searched, rate)]
    for one in searched.explained:
        s, i = divmod(one.row, SHARING)
        cells = one.cells & batch.use[s, i]
        expected = float((searched.shape[s] * cells).sum() * rate[s])
        factor = float((batch.counts[s, i] * cells).sum() / max(expected, 1e-9))
        if one.kind is None or (one.kind is FindingKind.NOISY_CELL and factor < HOT_FROM):
            continue
        numbers = np.flatnonzero(one.cells) + 1
        extent, ends = (int(numbers[0]), int(numbers[-1])), _extent(batch, s, i)
        spread = one.kind in (FindingKind.SCATTERED, FindingKind.PATTERN)
        whole = spread and all(abs(a - b) < (one.period or np.inf) for a, b in zip(extent, ends, strict=True))
        finding = Finding(
            one.kind,
            _layer(batch, s, i),
            *(ends if whole else extent),
            factor=factor,
            significance=sqrt(2 * one.gain),
            expected=expected,
            period=one.period,
            cells=tuple(numbers.tolist()) if spread else (),
            whole=whole,
        )
        found.append((int(batch.chambers[s]), finding))
    return found


def _shared(chamber: Chamber, found: list[Finding]) -> list[Finding]:
    """The same findings, with the layers that share a block of dead cells, if these are enough to be bad."""
    first_cell = {layer.number: layer.first_cell for layer in chamber.layers}
    starts = {}  # first and last position at which the shortest relevant part of a block can start
    for i, one in enumerate(found):
        if one.kind is FindingKind.BLOCK and one.factor < DEAD_CELL_UNTIL:
            place = one.first_cell - first_cell[one.layer]
            after = place + one.last_cell - one.first_cell + 1
            if after - place >= SHARED_CELLS:
                starts[i] = (place, after - SHARED_CELLS)
    result = list(found)
    for i, (begin, end) in starts.items():
        superlayer = superlayer_of(found[i].layer)
        sharing = {
            found[j].layer
            for j, (other, its_end) in starts.items()
            if superlayer_of(found[j].layer) == superlayer
            and other - SHARED_WITHIN <= end
            and begin - SHARED_WITHIN <= its_end
        }
        short = found[i].last_cell - found[i].first_cell + 1 < BLOCK_CELLS  # longer ones are bad by themselves
        if short and len(sharing) >= SHARED_LAYERS:
            result[i] = replace(found[i], shared=tuple(sorted(sharing)))
    return result


def _levels(searched: _Searched, rate: np.ndarray) -> list[tuple[int, Finding]]:
    """Empty layers and low ones."""
    batch = searched.batch
    low_superlayer = (rate > searched.reference)[:, None]
    others = searched.same[:, None, :] & ~np.eye(SHARING, dtype=bool)  # [superlayer, layer, sibling]
    hits, sums = ((a[:, None, :] * others).sum(axis=-1) for a in (searched.hits, searched.sums))
    siblings = np.where(low_superlayer | (sums == 0), rate[:, None], hits / np.maximum(sums, 1e-9))
    expected = searched.sums * siblings
    everything = np.where(batch.use, searched.shape[:, None, :], 0).sum(axis=-1) * rate[:, None]
    total = (batch.counts * batch.use).sum(axis=-1)
    empty = (total == 0) & (everything >= LEAST_HITS_EXPECTED)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = searched.hits / expected
        gain = np.where(searched.hits > 0, searched.hits * np.log(factor), 0) - searched.hits + expected
    gain *= sums / np.maximum(sums + searched.sums, 1e-9)  # the siblings' rate has the uncertainty of their hits
    low = ~empty & (total > 0) & (factor < LOW_RATE_FROM) & (gain > LOW_RATE_SIGMAS**2 / 2)
    found = []
    for s, i in np.argwhere(empty | low).tolist():
        kind = FindingKind.EMPTY if empty[s, i] else FindingKind.LOW_RATE
        hits = float(everything[s, i] if empty[s, i] else expected[s, i])
        value = 0.0 if empty[s, i] else float(factor[s, i])
        sigmas = sqrt(2 * (hits if empty[s, i] else gain[s, i]))
        finding = Finding(
            kind,
            _layer(batch, s, i),
            *_extent(batch, s, i),
            factor=value,
            significance=sigmas,
            expected=hits,
            superlayer=bool(low_superlayer[s, 0]),
            whole=True,
        )
        found.append((int(batch.chambers[s]), finding))
    return found


def _noisy_cells(searched: _Searched, rate: np.ndarray) -> list[tuple[int, Finding]]:
    """Single cells, or two adjacent ones, far above their expectation."""
    batch = searched.batch
    found: list[tuple[int, Finding]] = []
    if not batch.hot.any():
        return found
    for s, i in np.argwhere(batch.hot.any(axis=-1)).tolist():
        numbers = np.flatnonzero(batch.hot[s, i])
        for cells in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1):
            hits, expected = batch.counts[s, i, cells].sum(), searched.shape[s, cells].sum() * rate[s]
            gain = hits * log(hits / max(expected, 1e-9)) - hits + expected if hits > expected else 0
            if hits < HOT_FROM * expected or gain < HOT_SIGMAS**2 / 2:
                continue
            finding = Finding(
                FindingKind.NOISY_CELL,
                _layer(batch, s, i),
                int(cells[0]) + 1,
                int(cells[-1]) + 1,
                factor=float(hits / max(expected, 1e-9)),
                significance=sqrt(2 * gain),
                expected=float(expected),
            )
            found.append((int(batch.chambers[s]), finding))
    return found


def _layer(batch: Superlayers, s: int, i: int) -> int:
    return SHARING * int(batch.numbers[s]) + i + 1


def _extent(batch: Superlayers, s: int, i: int) -> tuple[int, int]:
    """First and last cell of a layer."""
    numbers = np.flatnonzero(batch.cells[s, i]) + 1
    return int(numbers[0]), int(numbers[-1])


def _importance(finding: Finding) -> tuple[int, bool, float]:
    return finding.layer, not finding.makes_bad, -finding.significance
