"""The arithmetic of `residuals`, compiled: loops over the layers and cells of one chamber after the other.

Compiled at the first use on a machine, which takes seconds, and kept beside this file. The loops hold no interpreter's
lock, so that two threads are twice as fast. Importing this imports Numba, which no page needs. Not for what the numbers
mean: see `residuals`.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from app.subsystems.dt.residuals import STEPS

_TOLERATED = 0.12  # relative spread of a good cell that is no Poisson fluctuation; limits what many hits can prove
_SCATTERED = 0.18  # share of dead cells in the likelihood for scattered ones
_FITS = 3  # of the shape, each with new weights
_RIDGE = (1e-3, 0.3, 1.0, 3.0, 6.0)  # how much each degree of the shape is held back


def _compiled(function: Callable) -> Callable:
    reordered_sums = {"reassoc", "contract", "nsz"}  # several cells in one step; the same bits each time
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=reordered_sums)(function)


@_compiled
def residuals_of(counts, layout, only, rates, at, out):
    """Fill in what the network takes of chambers with the same cells.

    Args:
        counts: float32 (k, 12, W), hits; what stands where no cell is does not matter.
        layout: a `residuals.Layout`.
        only: int (k,), 0 to 11 for this layer alone, which leaves out what it is told of the profiles of other
            superlayers; −1 for all.
        rates: float32 (k, 12), hits a cell of the layers, robustly; filled in likewise.
        at: int (k,), where in `out` each chamber belongs.
        out: float32 (n, 12, 49, 15), zeros.
    """
    x = np.zeros(counts.shape[1:], np.float32)
    by_siblings, by_shape = np.zeros_like(x), np.zeros_like(x)
    for chamber in range(counts.shape[0]):
        first, end, wanted, after = 0, 12, 0, 12  # layers that matter; of these, those to fill in
        if only[chamber] >= 0:
            first, wanted = only[chamber] // 4 * 4, only[chamber]
            end, after = first + 4, wanted + 1
        rate_of = rates[chamber].reshape((12, 1))
        for layer in range(first, end):
            for cell in range(x.shape[1]):
                if layout.cells[layer, cell]:
                    x[layer, cell] = counts[chamber, layer, cell]
        capped = _capped(x, layout, first, end)
        shape = _shape(capped, layout, first, end)
        for layer in range(first, end):
            total = 0.0
            for cell in range(x.shape[1]):
                curve = shape[layer, cell]
                capped[layer, cell] = min(capped[layer, cell], curve + 4 * np.sqrt(curve + 1))
                total += capped[layer, cell]
            rate_of[layer, 0] = total / layout.lengths[layer]
        siblings = _median_of_others(_smoothed(capped, layout, 0, first, end))
        for layer in range(first, end):
            for cell in range(x.shape[1]):
                if layout.cells[layer, cell]:
                    by_shape[layer, cell] = _deviation(x[layer, cell], shape[layer, cell])
                else:
                    siblings[layer, cell] = 0
        for layer in range(wanted, after):
            for cell in range(x.shape[1]):
                if layout.cells[layer, cell]:
                    by_siblings[layer, cell] = _deviation(x[layer, cell], siblings[layer, cell])
        own, sibling_rates = _smoothed(capped, layout, 1, wanted, after), _median_of_others(rate_of)
        rate, into = _chamber_rate(rate_of, layout), out[at[chamber]]
        _fill_curves(by_shape, layout, first, end, into)
        _fill_bins(x, siblings, shape, own, by_siblings, by_shape, rate_of, rate, layout, wanted, after, into)
        if after - wanted == 12:
            _fill_partners(rate, layout, into)
        facts = (x, siblings, shape, by_shape, rate_of, sibling_rates, rate, layout)
        _fill_facts(*facts, first, end, wanted, after, into)


@_compiled
def _deviation(x, expected):
    """Standard deviations from what is expected, of Poisson counts with some tolerated spread; at most 12.

    Variance-stabilised as Anscombe (1948) does: 2√(x + 3/8) has a variance near 1 whatever is expected.
    """
    above = 2 * (np.sqrt(x + 0.375) - np.sqrt(expected + 0.375))
    return min(above / np.sqrt(1 + _TOLERATED**2 * expected), 12.0)


@_compiled
def _linear(x, expected):
    """The same without a root: sums over cells are then the sufficient statistic of few hits; −8 to 8."""
    spread = np.sqrt(expected + 0.5 + (_TOLERATED * expected) ** 2)
    return min(max((x - expected) / spread, -8.0), 8.0)


@_compiled
def _log_ratio(x, expected, least):
    return min(max(np.log((x + least) / (expected + least)), -3.0), 3.0)


@_compiled
def _middle(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@_compiled
def _median_of_others(values):
    """float32 (12, n): the median over the three other layers of the superlayer."""
    result = np.empty_like(values)
    for first in (0, 4, 8):
        for i in range(values.shape[1]):
            a, b, c, d = values[first, i], values[first + 1, i], values[first + 2, i], values[first + 3, i]
            result[first, i] = _middle(b, c, d)
            result[first + 1, i] = _middle(a, c, d)
            result[first + 2, i] = _middle(a, b, d)
            result[first + 3, i] = _middle(a, b, c)
    return result


@_compiled
def _ranked(values, rank):
    """The value that sorting would put at a rank, from 0; the values are left in another order (Hoare 1961)."""
    first, last = 0, values.size - 1
    while first < last:
        pivot, i, j = values[(first + last) // 2], first, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            last = j
        elif rank >= i:
            first = i
        else:
            break
    return values[rank]


@_compiled
def _capped(x, layout, first, end):
    """Counts with what stands far above the layer's upper quartile cut down."""
    result = np.zeros_like(x)
    existing = np.empty(x.shape[1], np.float32)
    for layer in range(first, end):
        if not layout.exists[layer]:
            continue
        number = 0
        for cell in range(x.shape[1]):
            if layout.cells[layer, cell]:
                existing[number] = x[layer, cell]
                number += 1
        quartile = _ranked(existing[:number], int(0.75 * number))
        limit = 3 * quartile + 5 * np.sqrt(quartile + 1)
        for cell in range(x.shape[1]):
            result[layer, cell] = min(x[layer, cell], limit)
    return result


@_compiled
def _smoothed(x, layout, which, first, end):
    """Means along the layer under a Gaussian, over existing cells."""
    width = x.shape[1]
    result = np.zeros_like(x)
    for layer in range(first, end):
        kernel = layout.smoothing[which, layer // 4]
        for other in range(width):
            value = x[layer, other]
            if value:
                for cell in range(width):
                    result[layer, cell] += value * kernel[other, cell]
        for cell in range(width):
            result[layer, cell] /= layout.reach[which, layer, cell]
    return result


@_compiled
def _chamber_rate(rates, layout):
    """The mean rate of the layers that have at least half of what the best but one has."""
    first, best = 0.0, 0.0
    for layer in range(12):
        if layout.exists[layer] and rates[layer, 0] > best:
            first, best = max(first, rates[layer, 0]), min(max(first, best), rates[layer, 0])
    total, alive = 0.0, 0
    for layer in range(12):
        if layout.exists[layer] and rates[layer, 0] >= best / 2:
            total += min(rates[layer, 0], 2 * best)
            alive += 1
    return total / max(alive, 1)


@_compiled
def _shape(x, layout, first, end):
    """Hits a cell that a smooth curve through the four layers of a superlayer expects; float32 (12, W).

    A polynomial in √hits, fitted to the parts of the layers by reweighted least squares (Holland and Welsch 1977):
    what lies off the curve loses its weight.
    """
    width, parts = x.shape[1], layout.part_cells.shape[1]
    points, terms = 4 * parts, layout.basis.shape[0]
    result = np.zeros_like(x)
    y, cells, weight, curve = np.empty(points), np.empty(points), np.empty(points), np.empty(points)
    ordered = np.empty(points)
    for superlayer in range(first // 4, end // 4):
        for layer in range(4):
            row, at = 4 * superlayer + layer, layer * parts
            y[at : at + parts] = 0
            for cell in range(width):
                y[at + layout.part[row, cell]] += x[row, cell]
            for part in range(parts):
                cells[at + part] = max(layout.part_cells[row, part], 1.0)
                weight[at + part] = layout.part_cells[row, part]
        for i in range(points):
            y[i] = np.sqrt((y[i] + 0.25) / cells[i])
            ordered[i] = y[i]
        top = _ranked(ordered, int(0.7 * points))
        for i in range(points):
            weight[i] *= 0.05 if y[i] < 0.6 * top else 1.0
        fitted = _fitted(y, weight, layout.basis)
        for _ in range(_FITS - 1):
            curve[:] = 0
            for term in range(terms):
                for i in range(points):
                    curve[i] += fitted[term] * layout.basis[term, i]
            for i in range(points):
                limit = 6.25 * (0.25 / cells[i] + (0.05 * curve[i]) ** 2)  # squared
                weight[i] = 1 / (1 + (y[i] - curve[i]) ** 2 / limit) ** 2
            for layer in range(4):
                for part in range(parts):
                    weight[layer * parts + part] *= layout.part_cells[4 * superlayer + layer, part]
            fitted = _fitted(y, weight, layout.basis)
        for cell in range(width):
            value = 0.0
            for term in range(terms):
                value += fitted[term] * layout.at_cells[superlayer, term, cell]
            value = max(value, 0.35 * top) ** 2
            for row in range(4 * superlayer, 4 * superlayer + 4):
                if layout.cells[row, cell]:
                    result[row, cell] = value
    return result


@_compiled
def _fitted(y, weight, basis):
    """The coefficients of weighted least squares with a ridge, by Cholesky's decomposition."""
    terms = basis.shape[0]
    left, right, weighted = np.zeros((terms, terms)), np.zeros(terms), np.empty(y.size)
    for a in range(terms):
        total = 0.0
        for i in range(y.size):
            weighted[i] = weight[i] * basis[a, i]
            total += weighted[i] * y[i]
        right[a] = total
        for b in range(a + 1):
            total = 0.0
            for i in range(y.size):
                total += weighted[i] * basis[b, i]
            left[a, b] = total
        left[a, a] += _RIDGE[a]
    for a in range(terms):
        for b in range(a + 1):
            value = left[a, b]
            for c in range(b):
                value -= left[a, c] * left[b, c]
            left[a, b] = np.sqrt(value) if a == b else value / left[b, b]
    for a in range(terms):
        for c in range(a):
            right[a] -= left[a, c] * right[c]
        right[a] /= left[a, a]
    for a in range(terms - 1, -1, -1):
        for c in range(a + 1, terms):
            right[a] -= left[c, a] * right[c]
        right[a] /= left[a, a]
    return right


@_compiled
def _fill_curves(by_shape, layout, first, end, out):
    """The channel of each bin that the layer's siblings are told of too: the mean deviation from the curve."""
    for layer in range(first, end):
        if layout.exists[layer]:
            for b in range(layout.bins.shape[1]):
                number, total = 0, 0.0
                for cell in range(layout.bins[layer, b, 0], layout.bins[layer, b, 1]):
                    if layout.cells[layer, cell]:
                        number += 1
                        total += by_shape[layer, cell]
                out[layer, b, 1] = total / number


@_compiled
def _fill_bins(x, siblings, shape, own, by_siblings, by_shape, rates, chamber_rate, layout, first, end, out):
    """The other channels of each bin: means over its cells, least and greatest of them, sums over 7 cells around it."""
    bins, width = layout.bins.shape[1], x.shape[1]
    level = np.log(chamber_rate + 0.3)
    linear, straight, most = np.empty(width), np.empty(width), np.empty(width)
    for layer in range(first, end):
        if not layout.exists[layer]:
            continue
        rate = np.log1p(rates[layer, 0]) / 4
        for cell in range(width):
            count, others, curve = x[layer, cell], siblings[layer, cell], shape[layer, cell]
            linear[cell], straight[cell] = _linear(count, others), _linear(count, curve)
            most[cell] = min(count, 8 * max(others, curve) + 8)
        for b in range(bins):
            begin, after, window_begin, window_after = layout.bins[layer, b]
            number, mean, third, fourth, smooth, curve = 0, 0.0, 0.0, 0.0, 0.0, 0.0
            least, greatest, least_curve, greatest_curve = np.inf, -np.inf, np.inf, -np.inf
            for cell in range(begin, after):
                if not layout.cells[layer, cell]:
                    continue
                number += 1
                mean += by_siblings[layer, cell]
                third += linear[cell]
                fourth += straight[cell]
                smooth += own[layer, cell]
                curve += shape[layer, cell]
                least, greatest = min(least, by_siblings[layer, cell]), max(greatest, by_siblings[layer, cell])
                least_curve = min(least_curve, by_shape[layer, cell])
                greatest_curve = max(greatest_curve, by_shape[layer, cell])
            found, by_others, by_curve = 0.0, 0.0, 0.0
            for cell in range(window_begin, window_after):
                found += most[cell]
                by_others += siblings[layer, cell]
                by_curve += shape[layer, cell]
            into = out[layer, b]
            into[0], into[2], into[3] = mean / number, third / number, fourth / number
            into[4], into[5] = _log_ratio(found, by_others, 0.5), _log_ratio(found, by_curve, 0.5)
            into[6], into[7] = np.log(smooth / number + 0.3) - level, np.log(curve / number + 0.3) - level
            into[8], into[9], into[10], into[11] = least, greatest, least_curve, greatest_curve
            into[14] = rate
    for layer in range(first, end):
        if layout.exists[layer]:
            four = layer // 4 * 4
            for b in range(bins):
                others = out[four, b, 1] + out[four + 1, b, 1] + out[four + 2, b, 1] + out[four + 3, b, 1]
                out[layer, b, 12] = (others - out[layer, b, 1]) / 3


@_compiled
def _fill_partners(chamber_rate, layout, out):
    """The profile of the superlayer that a layer's own is compared with."""
    bins = layout.bins.shape[1]
    absent = np.log(0.3) - np.log(chamber_rate + 0.3)  # the profile where no superlayer is
    profiles = np.full((3, bins), absent)
    for layer in range(12):
        if layout.exists[layer]:
            for b in range(bins):
                profiles[layer // 4, b] += (out[layer, b, 6] - absent) / 4
    for layer in range(12):
        if layout.exists[layer]:
            for b in range(bins):
                out[layer, b, 13] = _partner(profiles[0, b], profiles[1, b], profiles[2, b], layer // 4)


@_compiled
def _partner(first, theta, third, superlayer):
    """What a superlayer is compared with: phi with the other phi, theta with both."""
    return third if superlayer == 0 else first if superlayer == 2 else (first + third) / 2


@_compiled
def _fill_facts(
    x, siblings, shape, by_shape, rates, sibling_rates, chamber_rate, layout, first, end, wanted, after, out
):
    """The 30 facts about each layer as a whole, in the rows after the bins.

    13 that stand for themselves, 8 of the layer against its own superlayer's curve, and the means of these (and of its
    rate) over the three other layers of the superlayer.
    """
    found, own = np.zeros((12, 13)), np.zeros((12, 9))
    superlayers = np.zeros(3)  # the mean of the two in the middle
    for superlayer in range(3):
        least, greatest, total = np.inf, 0.0, 0.0
        for layer in range(4 * superlayer, 4 * superlayer + 4):
            least, greatest = min(least, rates[layer, 0]), max(greatest, rates[layer, 0])
            total += rates[layer, 0]
        superlayers[superlayer] = (total - least - greatest) / 2
    for layer in range(first, end):
        superlayer = layer // 4
        if layout.exists[layer]:
            length, rate = layout.lengths[layer], rates[layer, 0]
            ours, level = superlayers[superlayer], sibling_rates[layer, 0]
            partner = _partner(superlayers[0], superlayers[1], superlayers[2], superlayer)
            found[layer, 0] = np.log(level + 0.1) / 4
            found[layer, 1] = own[layer, 0] = _log_ratio(rate, level, 0.1)
            found[layer, 2] = _deviation(rate * length, level * length)
            found[layer, 3] = _log_ratio(ours, partner, 0.1)
            found[layer, 4] = _log_ratio(ours, chamber_rate, 0.1)
            if wanted <= layer < after:
                found[layer, 5] = _together(by_shape, layer) / length / 3
            found[layer, 6] = length / 96
            found[layer, 7] = superlayer == 1
            _dead_cells(x[layer], shape[layer], layout.cells[layer], length, own[layer])
            _patterns(x[layer], shape[layer], own[layer], found[layer])
            _six_adjacent(x[layer], siblings[layer], shape[layer], own[layer], found[layer])
    for layer in range(wanted, after):
        if not layout.exists[layer]:
            continue
        four, row = layer // 4 * 4, out.shape[1] - 2
        for i in range(13):
            out[layer, row, i] = found[layer, i]
        for i in range(9):
            others = own[four, i] + own[four + 1, i] + own[four + 2, i] + own[four + 3, i] - own[layer, i]
            out[layer, row + 1, 6 + i] = others / 3
            if i:
                at = 12 + i
                out[layer, row + at // 15, at % 15] = own[layer, i]


@_compiled
def _together(by_shape, layer):
    """How much a layer's deviations go with those of its siblings, as tracks make it."""
    total, first = 0.0, layer // 4 * 4
    for cell in range(by_shape.shape[1]):
        ours, others = 0.0, 0.0
        for other in range(first, first + 4):
            value = min(max(by_shape[other, cell], -3.0), 3.0)
            if other == layer:
                ours = value
            else:
                others += value
        total += ours * others
    return total


@_compiled
def _dead_cells(x, shape, cells, length, own):
    """Cells without hits, cells with few, and the log of the likelihood that a share is dead over that of none."""
    dead, alone, gain, low = 0, 0.0, length * np.log(1 - _SCATTERED), 0
    for cell in range(x.size):
        if cells[cell]:
            empty = np.exp(-min(shape[cell], 8.0))  # P(no hits) of a cell that lives
            alone += empty
            low += x[cell] < 0.4 * shape[cell]
            if x[cell] == 0:
                dead += 1
                gain += np.log1p(_SCATTERED / (1 - _SCATTERED) / max(empty, 1e-4))
    own[1] = (dead - alone) / length * 3
    own[2] = np.arcsinh(gain) / 2
    own[3] = low / length * 3


@_compiled
def _patterns(x, shape, own, found):
    """The lowest of the sums over every 2nd, 4th, 8th cell, against the superlayer's curve."""
    for i, step in enumerate(STEPS):
        lowest, ratio = np.inf, np.inf
        for phase in range(step):
            seen, wanted = 0.0, 0.0
            for cell in range(phase, x.size, step):
                seen += min(x[cell], 3 * shape[cell] + 3)
                wanted += shape[cell]
            lowest, ratio = min(lowest, _deviation(seen, wanted)), min(ratio, _log_ratio(seen, wanted, 0.5))
        own[4 + i], found[8 + i] = lowest, ratio


@_compiled
def _six_adjacent(x, siblings, shape, own, found):
    """The lowest and the highest of the sums over 6 adjacent cells, against curve and siblings."""
    own[7] = found[11] = np.inf
    own[8] = found[12] = -np.inf
    seen, by_curve, by_others = 0.0, 0.0, 0.0
    for last in range(x.size):
        seen += min(x[last], 6 * max(shape[last], siblings[last]) + 6)
        by_curve += shape[last]
        by_others += siblings[last]
        if last >= 6:
            gone = last - 6
            seen -= min(x[gone], 6 * max(shape[gone], siblings[gone]) + 6)
            by_curve -= shape[gone]
            by_others -= siblings[gone]
        if last >= 5:
            curve = _deviation(max(seen, 0.0), max(by_curve, 0.0))
            others = _deviation(max(seen, 0.0), max(by_others, 0.0))
            own[7], own[8] = min(own[7], curve), max(own[8], curve)
            found[11], found[12] = min(found[11], others), max(found[12], others)
