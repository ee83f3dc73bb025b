"""The compiled arithmetic of `residuals`: loops over the layers and cells of one chamber after another.

For their compilation see `compiled`; for the meaning of the numbers, `residuals`; for likelihood ratios, `scan_loops`.
"""

from __future__ import annotations

import numpy as np

from app.subsystems.dt.compiled import compiled

_F = np.float32  # sixteen numbers per step instead of eight; a Python constant would widen everything to float64
_TOLERATED = _F(
    0.12**2
)  # squared relative spread of good cells on top of Poisson's; limits the significance of many hits
_SCATTERED = 0.18  # share of dead cells in the likelihood for scattered ones
_FITS = 3  # of the shape, each with new weights
_RIDGE = (1e-3, 0.3, 1.0, 3.0, 6.0)  # penalty of each degree of the shape

# Bounds of layers: for plain numbers, functions that take them would be compiled separately, and again for all others.
_NONE, _ALL = np.int64(0), np.int64(12)


@compiled
def residuals_of(counts, layout, rates, at, out, ratios, shapes):
    """Fill in the network's inputs for chambers with the same cells, except those filled in by `finish`.

    Args:
        counts: float32 (k, 12, W), hits; values where no cell exists are ignored.
        layout: a `residuals.Layout`.
        rates: float32 (k, 12), filled in: robust hits per cell of the layers.
        at: int (k,), the index in `out` of each chamber.
        out: float32 (n, 12, 51, 15), zeros.
        ratios: float32 (k, 12, 47, 4), ones; filled in with the arguments of the logarithms for `finish`.
        shapes: float32 (k, 12, W), filled in: hits expected by the superlayer's curve, 0 where no cell exists.
    """
    x = np.zeros(counts.shape[1:], np.float32)
    capped = np.zeros_like(x)
    for chamber in range(counts.shape[0]):
        for layer in range(12):
            for cell in range(x.shape[1]):
                x[layer, cell] = counts[chamber, layer, cell] if layout.cells[layer, cell] else _F(0)
        _cap(x, layout, _NONE, _ALL, capped)
        rate_of = rates[chamber].reshape((12, 1))
        _fill_layers(
            x, capped, layout, _NONE, _ALL, _NONE, _ALL, rate_of, out[at[chamber]], ratios[chamber], shapes[chamber]
        )


@compiled
def finish(logs, layout, rates, at, out):
    """Fill in the logarithms, and the profiles of other superlayers derived from them.

    Args:
        logs: float32 (k, 12, 47, 4), of the `ratios` from `residuals_of`; the others as there.
    """
    for chamber in range(logs.shape[0]):
        into = out[at[chamber]]
        for layer in range(12):
            if layout.exists[layer]:
                for b in range(logs.shape[2]):
                    for i in range(4):
                        into[layer, b, 4 + i] = logs[chamber, layer, b, i]
        _fill_partners(_chamber_rate(rates[chamber].reshape((12, 1)), layout), layout, into)


@compiled
def altered_residuals_of(counts, rows, lines, layout, rates, out, ratios, shapes):
    """Fill in the network's inputs for single layers of one chamber with modified counts, except the logarithms and
    the profiles of other superlayers.

    Args:
        counts: float32 (12, W), hits of the chamber.
        rows: int (k,), 0 to 11, the modified layer; lines: float32 (k, W), its counts.
        rates: float32 (12,), as filled in by `residuals_of` for the chamber.
        out: float32 (k, 51, 15); ratios: float32 (k, 47, 4), the arguments of the logarithms.
        shapes: float32 (k, W), filled in: hits expected by the superlayer's curve, 0 where no cell exists.
    """
    as_is = np.zeros(counts.shape, np.float32)
    for layer in range(12):
        for cell in range(counts.shape[1]):
            as_is[layer, cell] = counts[layer, cell] if layout.cells[layer, cell] else _F(0)
    capped_as_is = np.zeros_like(as_is)
    _cap(as_is, layout, _NONE, _ALL, capped_as_is)
    x, capped, rate_of = as_is.copy(), np.zeros_like(as_is), np.zeros((12, 1), np.float32)
    into, ratios_into = np.zeros((12, *out.shape[1:]), np.float32), np.zeros((12, *ratios.shape[1:]), np.float32)
    shapes_into = np.zeros_like(as_is)
    for i in range(rows.size):
        row = rows[i]
        first = row // 4 * 4
        for cell in range(x.shape[1]):
            x[row, cell] = lines[i, cell] if layout.cells[row, cell] else _F(0)
        _copy(capped_as_is[first : first + 4], capped[first : first + 4])
        _cap(x, layout, row, row + 1, capped)
        _copy(rates.reshape((12, 1)), rate_of)
        _fill_layers(x, capped, layout, first, first + 4, row, row + 1, rate_of, into, ratios_into, shapes_into)
        _copy(into[row], out[i])
        _copy(ratios_into[row], ratios[i])
        _copy(shapes_into[row : row + 1], shapes[i : i + 1])
        _copy(as_is[row : row + 1], x[row : row + 1])


@compiled
def _copy(values, into):
    """Numpy's own function takes seconds to compile, because of an error message."""
    for row in range(values.shape[0]):
        for i in range(values.shape[1]):
            into[row, i] = values[row, i]


@compiled
def _fill_layers(x, capped, layout, first, end, wanted, after, rate_of, out, ratios, shapes):
    """Fill in the layers from `wanted` to `after` of one chamber, which depend on those from `first` to `end`.

    Args:
        x: float32 (12, W), counts, 0 where no cell exists; capped: the same from `_cap`, which is cut further.
        rate_of: float32 (12, 1), filled in for the layers involved.
        out: float32 (12, 51, 15), zeros; ratios: float32 (12, 47, 4), ones; shapes: float32 (12, W), the curve.
    """
    by_siblings, by_shape = np.zeros_like(x), np.zeros_like(x)
    shape = _shape(capped, layout, first, end)
    _copy(shape[wanted:after], shapes[wanted:after])
    for layer in range(first, end):
        rate_of[layer, 0] = _limited_to(shape[layer], capped[layer]) / layout.lengths[layer]
    siblings = _median_of_others(_smoothed(capped, layout, 0, first, end))
    for layer in range(first, end):
        _fill_deviations(x[layer], shape[layer], by_shape[layer])  # 0 where no cell is
        _empty_where_no_cell_is(layout.cells[layer], siblings[layer])
    for layer in range(wanted, after):
        _fill_deviations(x[layer], siblings[layer], by_siblings[layer])
    own, sibling_rates = _smoothed(capped, layout, 1, wanted, after), _median_of_others(rate_of)
    rate = _chamber_rate(rate_of, layout)
    _fill_curves(by_shape, layout, first, end, out)
    bins = (x, siblings, shape, own, by_siblings, by_shape, rate_of, rate, layout)
    _fill_bins(*bins, wanted, after, out, ratios)
    facts = (x, siblings, shape, by_shape, rate_of, sibling_rates, rate, layout)
    _fill_facts(*facts, first, end, wanted, after, out)


@compiled
def _limited_to(curve, values):
    """Cut counts far above the curve; returns the sum of the rest."""
    total = _F(0)
    for cell in range(values.size):
        values[cell] = min(values[cell], curve[cell] + _F(4) * np.sqrt(curve[cell] + _F(1)))
        total += values[cell]
    return total


@compiled
def _empty_where_no_cell_is(cells, values):
    for cell in range(values.size):
        values[cell] = values[cell] if cells[cell] else _F(0)


@compiled
def _fill_deviations(x, expected, into):
    for cell in range(x.size):
        into[cell] = _deviation(x[cell], expected[cell])


@compiled
def _deviation(x, expected):
    """Standard deviations of Poisson counts, with some tolerated spread, from their expectation; at most 12.

    Variance-stabilised following Anscombe (1948): 2√(x + 3/8) has a variance near 1 for any expectation.
    """
    above = _F(2) * (np.sqrt(x + _F(0.375)) - np.sqrt(expected + _F(0.375)))
    return min(above / np.sqrt(_F(1) + _TOLERATED * expected), _F(12))


@compiled
def _linear(x, expected):
    """The same without a root: sums over cells are then the sufficient statistic of few hits; −8 to 8."""
    spread = np.sqrt(expected + _F(0.5) + _TOLERATED * expected * expected)
    return min(max((x - expected) / spread, _F(-8)), _F(8))


@compiled
def _limited(ratio):
    """With a logarithm of −3 to 3."""
    return min(max(ratio, np.exp(-3)), np.exp(3))


@compiled
def _log_ratio(x, expected, least):
    return np.log(_limited((x + least) / (expected + least)))


@compiled
def _middle(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@compiled
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


@compiled
def _ranked(values, rank):
    """The value that sorting would put at a rank, from 0; reorders the values (Hoare 1961)."""
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


@compiled
def _cap(x, layout, first, end, into):
    """Fill in counts, capped where they are far above the layer's upper quartile."""
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
            into[layer, cell] = min(x[layer, cell], limit)


@compiled
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


@compiled
def _chamber_rate(rates, layout):
    """The mean rate of the layers with at least half the rate of the second best."""
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


@compiled
def _shape(x, layout, first, end):
    """Hits per cell expected by a smooth curve through the four layers of a superlayer; float32 (12, W).

    A polynomial in √hits, fitted to the parts of the layers by iteratively reweighted least squares (Holland and Welsch
    1977): outliers lose their weight.
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


@compiled
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


@compiled
def _fill_curves(by_shape, layout, first, end, out):
    """The channel of each bin that the siblings also receive: the mean deviation from the curve."""
    for layer in range(first, end):
        if layout.exists[layer]:
            for b in range(layout.bins.shape[1]):
                number, total = 0, _F(0)
                for cell in range(layout.bins[layer, b, 0], layout.bins[layer, b, 1]):
                    if layout.cells[layer, cell]:
                        number += 1
                        total += by_shape[layer, cell]
                out[layer, b, 1] = total / number


@compiled
def _fill_bins(x, siblings, shape, own, by_siblings, by_shape, rates, chamber_rate, layout, first, end, out, ratios):
    """The other channels of each bin: means over its cells, their minimum and maximum, sums over 7 cells around it."""
    bins, width = layout.bins.shape[1], x.shape[1]
    level = chamber_rate + _F(0.3)
    linear, straight, most = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    upto = np.zeros((3, width + 1))  # cumulative sums over the cells: counts, siblings, shape
    for layer in range(first, end):
        if not layout.exists[layer]:
            continue
        rate = np.log1p(rates[layer, 0]) / _F(4)
        for cell in range(width):
            count, others, curve = x[layer, cell], siblings[layer, cell], shape[layer, cell]
            linear[cell], straight[cell] = _linear(count, others), _linear(count, curve)
            most[cell] = min(count, _F(8) * max(others, curve) + _F(8))
        for cell in range(width):
            upto[0, cell + 1] = upto[0, cell] + most[cell]
            upto[1, cell + 1] = upto[1, cell] + siblings[layer, cell]
            upto[2, cell + 1] = upto[2, cell] + shape[layer, cell]
        for b in range(bins):
            number = mean = third = fourth = smooth = curve = _F(0)
            least, greatest, least_curve, greatest_curve = _F(np.inf), _F(-np.inf), _F(np.inf), _F(-np.inf)
            for cell in range(layout.bins[layer, b, 0], layout.bins[layer, b, 1]):
                if layout.cells[layer, cell]:
                    off, off_curve = by_siblings[layer, cell], by_shape[layer, cell]
                    number += _F(1)
                    mean += off
                    third += linear[cell]
                    fourth += straight[cell]
                    smooth += own[layer, cell]
                    curve += shape[layer, cell]
                    least, greatest = min(least, off), max(greatest, off)
                    least_curve, greatest_curve = min(least_curve, off_curve), max(greatest_curve, off_curve)
            begin, after = layout.bins[layer, b, 2], layout.bins[layer, b, 3]
            found = upto[0, after] - upto[0, begin] + 0.5
            into, ratio = out[layer, b], ratios[layer, b]
            into[0], into[2], into[3] = mean / number, third / number, fourth / number
            into[8], into[9], into[10], into[11] = least, greatest, least_curve, greatest_curve
            into[14] = rate
            ratio[0] = _limited(found / (upto[1, after] - upto[1, begin] + 0.5))
            ratio[1] = _limited(found / (upto[2, after] - upto[2, begin] + 0.5))
            ratio[2], ratio[3] = (smooth / number + _F(0.3)) / level, (curve / number + _F(0.3)) / level
    for layer in range(first, end):
        if layout.exists[layer]:
            four = layer // 4 * 4
            for b in range(bins):
                others = out[four, b, 1] + out[four + 1, b, 1] + out[four + 2, b, 1] + out[four + 3, b, 1]
                out[layer, b, 12] = (others - out[layer, b, 1]) / _F(3)


@compiled
def _fill_partners(chamber_rate, layout, out):
    """The profile of the superlayer with which a layer's own is compared."""
    bins = layout.bins.shape[1]
    absent = np.log(0.3) - np.log(chamber_rate + 0.3)  # the profile of an absent superlayer
    profiles = np.full((3, bins), absent)
    for layer in range(12):
        if layout.exists[layer]:
            for b in range(bins):
                profiles[layer // 4, b] += (out[layer, b, 6] - absent) / 4
    for layer in range(12):
        if layout.exists[layer]:
            for b in range(bins):
                out[layer, b, 13] = _partner(profiles[0, b], profiles[1, b], profiles[2, b], layer // 4)


@compiled
def _partner(first, theta, third, superlayer):
    """The superlayers with which one is compared: phi with the other phi, theta with both."""
    return third if superlayer == 0 else first if superlayer == 2 else (first + third) / 2


@compiled
def _fill_facts(
    x, siblings, shape, by_shape, rates, sibling_rates, chamber_rate, layout, first, end, wanted, after, out
):
    """The 30 facts about each layer as a whole, in the rows after the bins.

    13 independent ones, 8 of the layer against its own superlayer's curve, and the means of these (and of its rate)
    over the three other layers of the superlayer.
    """
    found, own = np.zeros((12, 13)), np.zeros((12, 9))
    superlayers = np.zeros(3)  # the mean of the two in the middle
    for superlayer in range(3):
        least, greatest, total = np.inf, 0.0, 0.0
        for layer in range(4 * superlayer, 4 * superlayer + 4):
            least, greatest = min(least, rates[layer, 0]), max(greatest, rates[layer, 0])
            total += rates[layer, 0]
        superlayers[superlayer] = (total - least - greatest) / 2
    empty = np.empty(x.shape[1])
    for layer in range(first, end):
        superlayer = layer // 4
        if layer % 4 == 0:
            _empty_alive(shape, layer, empty)
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
            _dead_cells(x[layer], shape[layer], empty, layout.cells[layer], length, own[layer])
            _patterns(x[layer], shape[layer], own[layer], found[layer])
            _six_adjacent(x[layer], siblings[layer], shape[layer], own[layer], found[layer])
    for layer in range(wanted, after):
        if not layout.exists[layer]:
            continue
        four, row = layer // 4 * 4, layout.bins.shape[1]
        for i in range(13):
            out[layer, row, i] = found[layer, i]
        for i in range(9):
            others = own[four, i] + own[four + 1, i] + own[four + 2, i] + own[four + 3, i] - own[layer, i]
            out[layer, row + 1, 6 + i] = others / 3
            if i:
                at = 12 + i
                out[layer, row + at // 15, at % 15] = own[layer, i]


@compiled
def _together(by_shape, layer):
    """The correlation of a layer's deviations with those of its siblings, as caused by tracks."""
    total, first = _F(0), layer // 4 * 4
    for cell in range(by_shape.shape[1]):
        ours = _within_3(by_shape[layer, cell])
        every = (
            _within_3(by_shape[first, cell])
            + _within_3(by_shape[first + 1, cell])
            + _within_3(by_shape[first + 2, cell])
            + _within_3(by_shape[first + 3, cell])
        )
        total += ours * (every - ours)
    return total


@compiled
def _within_3(value):
    return min(max(value, _F(-3)), _F(3))


@compiled
def _empty_alive(shape, four, into):
    """Fill in float64 (W,): P(no hits) of a live cell, from the curve shared by the layers of a superlayer."""
    for cell in range(shape.shape[1]):
        curve = max(shape[four, cell], shape[four + 1, cell], shape[four + 2, cell], shape[four + 3, cell])
        into[cell] = np.exp(-min(curve, 8.0))


@compiled
def _dead_cells(x, shape, empty, cells, length, own):
    """Cells without hits, cells with few, and the log-likelihood ratio of a share of dead cells against none."""
    dead, alone, gain, low = 0, 0.0, length * np.log(1 - _SCATTERED), 0
    for cell in range(x.size):
        if cells[cell]:
            alone += empty[cell]
            low += x[cell] < 0.4 * shape[cell]
            if x[cell] == 0:
                dead += 1
                gain += np.log1p(_SCATTERED / (1 - _SCATTERED) / max(empty[cell], 1e-4))
    own[1] = (dead - alone) / length * 3
    own[2] = np.arcsinh(gain) / 2
    own[3] = low / length * 3


@compiled
def _patterns(x, shape, own, found):
    """The lowest of the sums over every 2nd, 4th, 8th cell, against the superlayer's curve."""
    seen, wanted = np.zeros(8, np.float32), np.zeros(8, np.float32)
    for first in range(0, x.size, 8):
        for phase in range(min(8, x.size - first)):
            seen[phase] += min(x[first + phase], _F(3) * shape[first + phase] + _F(3))
            wanted[phase] += shape[first + phase]
    for i, step in enumerate((8, 4, 2)):
        lowest, ratio = _F(np.inf), _F(np.inf)
        for phase in range(step):
            lowest = min(lowest, _deviation(seen[phase], wanted[phase]))
            ratio = min(ratio, (seen[phase] + _F(0.5)) / (wanted[phase] + _F(0.5)))
        own[6 - i], found[10 - i] = lowest, np.log(_limited(ratio))
        for phase in range(step // 2):
            seen[phase] += seen[phase + step // 2]
            wanted[phase] += wanted[phase + step // 2]


@compiled
def _six_adjacent(x, siblings, shape, own, found):
    """The lowest and the highest of the sums over 6 adjacent cells, against curve and siblings."""
    most = np.empty(x.size, np.float32)  # counts, hot cells capped
    for cell in range(x.size):
        most[cell] = min(x[cell], _F(6) * max(shape[cell], siblings[cell]) + _F(6))
    seen, by_curve, by_others = _sums_of_6(most), _sums_of_6(shape), _sums_of_6(siblings)
    _fill_deviations(seen, by_curve, by_curve)
    _fill_deviations(seen, by_others, by_others)
    own[7], own[8] = _ends(by_curve)
    found[11], found[12] = _ends(by_others)


@compiled
def _sums_of_6(values):
    result = np.empty(values.size - 5, np.float32)
    for i in range(result.size):
        three, others = values[i] + values[i + 1] + values[i + 2], values[i + 3] + values[i + 4] + values[i + 5]
        result[i] = three + others
    return result


@compiled
def _ends(values):
    """Minimum and maximum."""
    least = greatest = values[0]
    for value in values:
        least, greatest = min(least, value), max(greatest, value)
    return least, greatest
