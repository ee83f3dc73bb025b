"""Likelihood ratios of the clearest faults of a layer: compiled loops for the last 30 facts of `residuals`.

The statistics shown beside the network (`findings`) detect some faults better than a network that only gets deviations
cell by cell, because a likelihood ratio uses all hits of a window at once. So the network also gets these ratios: the
lowest and the highest window of each layer and of the four layers of its superlayer together, its level against
siblings of one rate, patterns, scattered dead cells, and blocks of three to five dead cells shared by several layers of
a superlayer. Not for the other facts, see `residual_loops`; not for words, see `findings`.

Source: M. Kulldorff, A spatial scan statistic, Communications in Statistics 26 (1997) 1481.
"""

from __future__ import annotations

import numpy as np

from app.subsystems.dt.compiled import compiled

FACTS = 30

_LENGTHS = (3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40)  # cells of the windows searched
_SHORT = 5  # up to this many cells a window alone does not make a layer bad
_PATTERN = 4  # minimum cells of a pattern, as in `scan`
_LOW_PATTERN = 0.5  # times the rest of the layer
_LOW, _HIGH = 0.62, 1.6  # times the rest of the layer: windows in between are not considered
_SET_ASIDE = (
    12.0  # log-likelihood from which a window is excluded from the layer's level: corrects for the number of places
)
_SAME_RATE = 0.87  # as in `findings`: layers that differ by no more are siblings of one rate
_LOW_COST, _HIGH_COST = 2.0, 8.0  # as there
_DEAD = 0.2  # of the expectation: the most that a dead cell may have
_SHARE, _FACTOR = 0.18, 0.1  # share of scattered dead cells, and of the expectation in them
_SURE = 6.0  # log-likelihood beyond which a cell is definitely dead, or alive
_A_HIT, _A_HIT_SCATTERED, _ALIVE = np.log(_DEAD), np.log(_FACTOR), np.log(1 - _SHARE)  # log-likelihoods
_NOTHING = -8.0  # log(odds) of a cell without evidence for scattered dead ones


@compiled
def scans_of(counts, layout, shapes, at, sums, levels, dead, out):
    """Fill in the last 30 facts of each layer.

    Args:
        counts: float32 (k, 12, W), hits; values where no cell exists are ignored.
        layout: a `residuals.Layout`.
        shapes: float32 (k, 12, W), hits expected by the superlayer's curve; 0 where no cell exists.
        at: int (k,), the index in `out` of each chamber.
        sums: float32 (k, 12, 3, W + 1), filled in: cumulative over the existing cells of a layer, hits (once without
            hot cells, which would hide low ones, once limited) and expectation by the curve.
        levels: float64 (k, 12, 2), filled in: hits of a layer and expectation by the curve, both without windows that
            differ from the rest.
        dead: float32 (k, 12, W), filled in: log-likelihood ratio of dead against alive for the existing cells in order,
            limited; very low beyond the last cell.
        out: float32 (n, 12, 51, 15); its last two rows are filled in.
    """
    facts, pooled = np.zeros((12, FACTS)), np.zeros((3, counts.shape[2] + 1), np.float32)
    for chamber in range(counts.shape[0]):
        for layer in range(12):
            if layout.exists[layer]:
                cells, of_layer = layout.cells[layer], sums[chamber, layer]
                _scan_layer(counts[chamber, layer], shapes[chamber, layer], cells, of_layer, levels[chamber, layer],
                            dead[chamber, layer], facts[layer])  # fmt: skip
        for four in (0, 4, 8):
            if layout.exists[four]:
                low, high = _scan_together(four, layout, sums[chamber], pooled)
                for layer in range(four, four + 4):
                    _against_siblings(layer, layout, sums[chamber], levels[chamber], dead[chamber], facts, low, high)
                    _write(facts[layer], out[at[chamber], layer])


@compiled
def altered_scans_of(rows, lines, layout, shapes, sums, levels, dead, facts, out):
    """Fill in the last 30 facts of single layers of a chamber with modified counts and unmodified siblings.

    Args:
        rows: int (k,), 0 to 11; lines: float32 (k, W), the layer's counts; shapes: float32 (k, W), its curve.
        sums, levels, dead: of the unmodified chamber, from `scans_of`.
        facts: float64 (12, 30), those of the unmodified chamber.
        out: float32 (k, 51, 15); its last two rows are filled in.
    """
    sums, levels, dead, facts = sums.copy(), levels.copy(), dead.copy(), facts.copy()  # a row of each is altered
    as_is = sums.copy(), levels.copy(), dead.copy(), facts.copy()
    pooled = np.zeros((3, sums.shape[2]), np.float32)
    for i in range(rows.size):
        row = rows[i]
        _scan_layer(lines[i], shapes[i], layout.cells[row], sums[row], levels[row], dead[row], facts[row])
        low, high = _scan_together(row // 4 * 4, layout, sums, pooled)
        _against_siblings(row, layout, sums, levels, dead, facts, low, high)
        _write(facts[row], out[i])
        for j in range(3):
            for cell in range(sums.shape[2]):
                sums[row, j, cell] = as_is[0][row, j, cell]
        levels[row, 0], levels[row, 1] = as_is[1][row, 0], as_is[1][row, 1]
        for cell in range(dead.shape[1]):
            dead[row, cell] = as_is[2][row, cell]
        for j in range(FACTS):
            facts[row, j] = as_is[3][row, j]


@compiled
def _write(facts, into):
    rows = into.shape[0] - 2
    for i in range(FACTS):
        into[rows + i // 15, i % 15] = facts[i]


@compiled
def _scan_layer(line, curve, cells, sums, level, dead, facts):
    """From a layer alone: facts 0 to 5, 8 to 10, 20, 26 to 29; its sums and level; the evidence of each cell."""
    width = line.size
    low, high, expected = sums[0], sums[1], sums[2]
    hits, shape = np.empty(width), np.empty(width)
    low[0] = high[0] = expected[0] = 0.0
    n = 0
    for cell in range(width):
        if cells[cell]:
            x, e = float(line[cell]), max(float(curve[cell]), 1e-3)
            hits[n], shape[n] = x, e
            low[n + 1] = low[n] + (x if x <= 2 * e + 4 * np.sqrt(e + 1) else e)  # hot cells carry no information
            high[n + 1] = high[n] + min(x, 4 * e + 4)
            expected[n + 1] = expected[n] + e
            n += 1
    for cell in range(n, width):
        low[cell + 1], high[cell + 1], expected[cell + 1] = low[n], high[n], expected[n]

    gain, ratio, first, last, short = _lowest(low, expected, n)
    facts[0], facts[1], facts[2], facts[3] = _root(gain), ratio, _longer(gain, short), _root(short)
    set_aside = gain > _SET_ASIDE
    noise, noise_ratio, noise_first, noise_last, noise_short = _highest(high, expected, n)
    facts[4], facts[5], facts[20] = _root(noise), noise_ratio, _longer(noise, noise_short)
    noisy = noise > _SET_ASIDE

    total, should = low[n], expected[n]
    if set_aside:
        total -= low[last] - low[first]
        should -= expected[last] - expected[first]
    if noisy and not (set_aside and noise_first < last and noise_last > first):
        total -= low[noise_last] - low[noise_first]
        should -= expected[noise_last] - expected[noise_first]
    level[0], level[1] = total, should
    scale = total / max(should, 1e-9)

    for cell in range(width):
        dead[cell] = -_SURE
    scattered, many, longest, spread = 0.0, 0, -_SURE, 0.0
    for i in range(n):
        mean = scale * shape[i]
        dead[i] = min(max((1 - _DEAD) * mean + hits[i] * _A_HIT, -_SURE), _SURE)
        if not (set_aside and first <= i < last):
            said = (1 - _FACTOR) * mean + hits[i] * _A_HIT_SCATTERED
            if said < _NOTHING:
                scattered += _ALIVE
            else:
                odds = _SHARE * np.exp(min(said, 12.0))
                scattered += np.log(1 - _SHARE + odds)
                many += odds > 1 - _SHARE
            if dead[i] >= _SURE:
                level[0] -= hits[i]
                level[1] -= shape[i]
        if i > 1:
            longest = max(longest, min(dead[i], dead[i - 1], dead[i - 2]))
        limited = low[i + 1] - low[i]
        spread += min((limited - mean) ** 2 / (mean + 0.5 + (0.1 * mean) ** 2), 9.0)
    facts[8] = longest / _SURE
    facts[9] = np.arcsinh(scattered) / 2
    facts[10] = many / max(n, 1) * 4
    facts[29] = min(spread / max(n, 1), 4.0) - 1
    for i, step in enumerate((8, 4, 2)):
        facts[26 + i] = _root(_pattern(low, expected, n, step))


@compiled
def _pattern(sums, expected, n, step):
    """The gain in log(likelihood) of the lowest periodic cells, which must span a third of the layer or more."""
    fewest, total, should, best = max(_PATTERN, n // 3 // step - 1), sums[n], expected[n], 0.0
    for phase in range(step):
        number = (n - phase + step - 1) // step
        inside = wanted = 0.0  # of the fewest cells from the first one on
        for i in range(fewest - 1):
            cell = phase + i * step
            inside += sums[cell + 1] - sums[cell]
            wanted += expected[cell + 1] - expected[cell]
        for first in range(number - fewest + 1):
            cell = phase + (first + fewest - 1) * step
            inside += sums[cell + 1] - sums[cell]
            wanted += expected[cell + 1] - expected[cell]
            seen, sought, last = inside, wanted, first + fewest
            while seen * (should - sought) < _LOW_PATTERN * (total - seen) * sought:
                best = max(best, _gain(seen, sought, total - seen, should - sought, total, should))
                if last == number:
                    break
                cell = phase + last * step
                seen += sums[cell + 1] - sums[cell]
                sought += expected[cell + 1] - expected[cell]
                last += 1
            cell = phase + first * step
            inside -= sums[cell + 1] - sums[cell]
            wanted -= expected[cell + 1] - expected[cell]
    return best


@compiled
def _scan_together(four, layout, sums, pooled):
    """The lowest and the highest window of the four layers of a superlayer together, by their existing cells in order.

    Returns:
        for each the gain in log(likelihood), log(ratio), first cell and one past the last.
    """
    n = sums.shape[2] - 1
    for layer in range(four, four + 4):
        n = min(n, int(layout.lengths[layer]))
    for j in range(3):
        for cell in range(n + 1):
            a, b = sums[four, j, cell], sums[four + 1, j, cell]
            pooled[j, cell] = a + b + sums[four + 2, j, cell] + sums[four + 3, j, cell]
    gain, ratio, first, last, _ = _lowest(pooled[0], pooled[2], n)
    noise, noise_ratio, noise_first, noise_last, _ = _highest(pooled[1], pooled[2], n)
    return (gain, ratio, first, last), (noise, noise_ratio, noise_first, noise_last)


@compiled
def _lowest(sums, expected, n):
    """The window that is below the rest of its layer with the greatest likelihood.

    Returns:
        for windows of more than five cells the gain in log(likelihood), log(ratio), first cell and one past the last;
        the gain of the best window of three to five cells.
    """
    total, should = sums[n], expected[n]
    best, short, best_ratio, first, last = 0.0, 0.0, 0.0, 0, 0
    for length in _LENGTHS:
        for begin in range(n - length + 1):
            inside, wanted = sums[begin + length] - sums[begin], expected[begin + length] - expected[begin]
            outside, rest = total - inside, should - wanted
            if inside * rest < _LOW * outside * wanted:
                gain = _gain(inside, wanted, outside, rest, total, should)
                if length <= _SHORT:
                    short = max(short, gain)
                elif gain > best:
                    best, first, last = gain, begin, begin + length
                    best_ratio = np.log(max((inside + 0.5) * rest / ((wanted + 0.5) * outside), 0.05))
    return best, best_ratio, first, last, short


@compiled
def _highest(sums, expected, n):
    """The same of the highest windows."""
    total, should = sums[n], expected[n]
    best, short, best_ratio, first, last = 0.0, 0.0, 0.0, 0, 0
    for length in _LENGTHS:
        for begin in range(n - length + 1):
            inside, wanted = sums[begin + length] - sums[begin], expected[begin + length] - expected[begin]
            outside, rest = total - inside, should - wanted
            if inside * rest > _HIGH * outside * wanted:
                gain = _gain(inside, wanted, outside, rest, total, should)
                if length <= _SHORT:
                    short = max(short, gain)
                elif gain > best:
                    best, first, last = gain, begin, begin + length
                    best_ratio = np.log(min((inside + 0.5) * rest / (wanted * (outside + 0.5)), 20.0))
    return best, best_ratio, first, last, short


@compiled
def _longer(gain, short):
    """How much better a window of more than five cells fits than one of three to five: −2 to 2."""
    return min(max((gain - short) / _SURE, -2.0), 2.0)


@compiled
def _gain(inside, wanted, outside, rest, total, should):
    """log(likelihood) with different rates inside and outside, relative to a single rate."""
    gain = -total * np.log(max(total, 1e-9) / should)
    gain += inside * np.log(max(inside, 1e-9) / wanted)
    return gain + outside * np.log(max(outside, 1e-9) / max(rest, 1e-9))


@compiled
def _root(gain):
    """A quarter of the standard deviations; saturates beyond 16."""
    return min(np.sqrt(2 * max(gain, 0.0)), 16.0) / 4


@compiled
def _against_siblings(layer, layout, sums, levels, dead, facts, low, high):
    """From comparison with the siblings: facts 6, 7, 11 to 19 and 21 to 25."""
    into, four = facts[layer], layer // 4 * 4
    into[6], into[7] = _level(layer, levels)
    three, three_sum, two, pair = _shared(layer, dead)
    into[11], into[12], into[13], into[14] = three / _SURE, three_sum / _SURE, two / _SURE, pair / _SURE
    into[15], into[16], into[17], into[18] = _root(low[0]), low[1], _root(high[0]), high[1]
    into[19] = (facts[four, 0] + facts[four + 1, 0] + facts[four + 2, 0] + facts[four + 3, 0] - into[0]) / 3
    into[21] = (facts[four, 9] + facts[four + 1, 9] + facts[four + 2, 9] + facts[four + 3, 9] - into[9]) / 3
    into[22], into[23] = _in_window(sums[layer, 0], sums[layer, 2], low[2], low[3])
    into[24], into[25] = _in_window(sums[layer, 1], sums[layer, 2], high[2], high[3])


@compiled
def _in_window(sums, expected, first, last):
    """The deviation of one layer in a window of its superlayer: signed standard deviations, and log(ratio)."""
    n = sums.size - 1
    inside, wanted = sums[last] - sums[first], expected[last] - expected[first]
    outside, rest = sums[n] - inside, expected[n] - wanted
    if wanted <= 0 or outside <= 0 or rest <= 0:
        return 0.0, 0.0
    root = _root(_gain(inside, wanted, outside, rest, sums[n], expected[n]))
    ratio = np.log(min(max((inside + 0.5) * rest / ((wanted + 0.5) * outside), 0.05), 20.0))
    return (-root if ratio < 0 else root), ratio


@compiled
def _level(layer, levels):
    """The deviation of a layer's rate from that of its siblings: signed standard deviations, and log(ratio)."""
    four, best, cost_of_best = layer // 4 * 4, -1, np.inf
    for tried in range(four, four + 4):  # which of the layers has the ordinary rate?
        if levels[tried, 0] <= 0 or levels[tried, 1] <= 0:
            continue
        cost = 0.0
        for other in range(four, four + 4):
            cost += _LOW_COST * (_beside(levels, tried, other) < 0) + _HIGH_COST * (_beside(levels, tried, other) > 0)
        if cost < cost_of_best:
            best, cost_of_best = tried, cost
    if best < 0 or levels[layer, 1] <= 0:
        return 0.0, 0.0
    hits = sums = 0.0
    for other in range(four, four + 4):
        if other != layer and levels[other, 0] > 0 and _beside(levels, best, other) == 0:
            hits += levels[other, 0]
            sums += levels[other, 1]
    if sums <= 0:
        return 0.0, 0.0
    own, expected = levels[layer, 0], levels[layer, 1] * hits / sums
    gain = own * np.log(max(own, 1e-9) / expected) - own + expected
    gain *= sums / (sums + levels[layer, 1])  # the siblings' rate has the uncertainty of their hits
    sigmas = min(np.sqrt(2 * max(gain, 0.0)), 16.0)
    if own < expected:
        sigmas = -sigmas
    return sigmas / 4, np.log(min(max((own + 0.5) / (expected + 0.5), 0.05), 20.0))


@compiled
def _beside(levels, tried, other):
    """−1, 0 or 1: the other layer's rate is clearly below, similar to or clearly above the one tried."""
    if levels[other, 0] <= 0 or levels[other, 1] <= 0:
        return 0
    rate, ordinary = levels[other, 0] / levels[other, 1], levels[tried, 0] / levels[tried, 1]
    error = 2 * np.sqrt((levels[other, 0] + 1) / levels[other, 1] ** 2 + (levels[tried, 0] + 1) / levels[tried, 1] ** 2)
    if rate < _SAME_RATE * ordinary - error:
        return -1
    return 1 if rate > ordinary / _SAME_RATE + error else 0


@compiled
def _shared(layer, dead):
    """The evidence that this layer shares a block of dead cells with others of its superlayer, within one cell.

    Returns:
        for three adjacent cells in at least three layers, the least certain cell of the third layer; the same with a
        third of the sum over the three cells; for three cells in two layers; for two cells in three layers.
    """
    four, width = layer // 4 * 4, dead.shape[1]
    three, three_sum, two, pair = -_SURE, -_SURE, -_SURE, -_SURE
    for cell in range(width - 2):
        own_pair = min(dead[layer, cell], dead[layer, cell + 1])
        own = min(own_pair, dead[layer, cell + 2])
        own_sum = (dead[layer, cell] + dead[layer, cell + 1] + dead[layer, cell + 2]) / 3
        if own_pair <= pair and own_sum <= three_sum and own <= two:
            continue  # cannot improve
        first = second = first_sum = second_sum = first_pair = second_pair = -_SURE  # of the siblings
        for other in range(four, four + 4):
            if other == layer:
                continue
            block = total = both = -_SURE
            for near in range(max(cell - 1, 0), min(cell + 2, width - 2)):
                a, b, c = dead[other, near], dead[other, near + 1], dead[other, near + 2]
                both = max(both, min(a, b))
                block = max(block, min(min(a, b), c))
                total = max(total, (a + b + c) / 3)
            if block > first:
                first, second = block, first
            elif block > second:
                second = block
            if total > first_sum:
                first_sum, second_sum = total, first_sum
            elif total > second_sum:
                second_sum = total
            if both > first_pair:
                first_pair, second_pair = both, first_pair
            elif both > second_pair:
                second_pair = both
        three = max(three, min(own, second))
        three_sum = max(three_sum, min(own_sum, second_sum))
        two = max(two, min(own, first))
        pair = max(pair, min(own_pair, second_pair))
    return three, three_sum, two, pair
