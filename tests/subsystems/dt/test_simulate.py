import json
from itertools import pairwise

import numpy as np
import pytest

from app.subsystems.dt.defects import Defect, DefectKind, factors, label
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.profiles import any_profile, typical, typical_rate
from app.subsystems.dt.simulate import ORDINARY, RICH, simulate_chamber, simulate_chambers, simulate_run

CHAMBER = Chamber(wheel=1, station=2, sector=5)  # layers of 59 and 60 cells
RUN = 302_635


@pytest.fixture(scope="module")
def drawn():
    return simulate_chambers(1_500, seed=11, faulty=RICH)


def bad(kind, layers, first=1, last=60, factor=0.0, cells=()):
    return label(CHAMBER, [Defect(kind, layers, first, last, factor, cells)])


def test_the_same_seed_gives_the_same_chambers_whatever_was_drawn_before():
    before = simulate_chambers(20, seed=3)
    simulate_chambers(7, seed=4)
    simulate_run(RUN)
    for a, b in zip(before, simulate_chambers(25, seed=3), strict=False):
        assert a.occupancy.chamber == b.occupancy.chamber
        assert np.array_equal(a.occupancy.counts, b.occupancy.counts)
        assert np.array_equal(a.expected, b.expected)
        assert np.array_equal(a.bad, b.bad, equal_nan=True)
        assert a.defects == b.defects


def test_another_seed_gives_other_chambers():
    one, other = ([c.occupancy.to_bytes() for c in simulate_chambers(20, seed=s)] for s in (3, 4))
    assert not set(one) & set(other)


def test_a_kind_that_is_left_out_is_never_drawn_and_chambers_without_it_stay_as_they_were(drawn):
    without = {DefectKind.PERIODIC, DefectKind.HOT_CELL}
    others = simulate_chambers(len(drawn), seed=11, faulty=RICH, without=without)
    kinds = [{defect.kind for defect in one.defects} for one in drawn]
    assert without.isdisjoint(defect.kind for one in others for defect in one.defects)
    assert without.issubset(set().union(*kinds))
    assert sum(any(one.bad == 1) for one in others) == pytest.approx(sum(any(one.bad == 1) for one in drawn), rel=0.1)
    for one, other, of_one in zip(drawn, others, kinds, strict=True):
        if without.isdisjoint(of_one):
            assert np.array_equal(one.occupancy.counts, other.occupancy.counts)


def test_a_run_is_deterministic_and_one_of_its_chambers_is_the_same_alone():
    run = simulate_run(RUN)
    assert tuple(run) == all_chambers()
    for chamber in all_chambers()[::17]:
        assert simulate_chamber(RUN, chamber).occupancy.to_bytes() == run[chamber].occupancy.to_bytes()
    assert simulate_chamber(RUN + 1, chamber).occupancy.to_bytes() != run[chamber].occupancy.to_bytes()


def test_cells_are_exactly_those_of_the_read_out(drawn):
    for simulated in [*drawn[:300], *simulate_run(RUN).values()]:
        chamber, counts = simulated.occupancy.chamber, simulated.occupancy.counts
        assert counts.dtype == np.int32
        assert not counts.flags.writeable
        assert np.array_equal(counts == -1, ~chamber.read_out)
        assert np.array_equal(simulated.expected > 0, chamber.read_out)
        exists = chamber.read_out.any(axis=1)
        assert np.array_equal(np.isfinite(simulated.bad), exists)
        assert simulated.bad.dtype == np.float32
        assert ((simulated.bad[exists] >= 0) & (simulated.bad[exists] <= 1)).all()


def test_training_chambers_cover_geometries_rates_and_kinds(drawn):
    layouts = {tuple(chamber.layers) for chamber in all_chambers()}
    assert {tuple(c.occupancy.chamber.layers) for c in drawn} == layouts
    assert len({c.occupancy.chamber for c in drawn}) > 240
    rates = np.array([c.expected[c.expected > 0].mean() for c in drawn])
    assert rates.min() < 0.6
    assert rates.max() > 2_000
    assert {d.kind for c in drawn for d in c.defects} == set(DefectKind)
    shared = {len(d.layers) for c in drawn for d in c.defects if d.kind is DefectKind.DEAD_BLOCK}
    assert {1, 2, 3, 4} <= shared
    assert max(shared) >= 8


def test_labels_of_drawn_chambers_follow_from_their_defects(drawn):
    for simulated in drawn:
        assert np.array_equal(simulated.bad, label(simulated.occupancy.chamber, simulated.defects), equal_nan=True)


def test_every_defect_stands_on_cells_of_its_chamber(drawn):
    for simulated in drawn:
        chamber = simulated.occupancy.chamber
        for defect in simulated.defects:
            assert 1 <= defect.first_cell <= defect.last_cell <= chamber.columns
            assert all(defect.first_cell <= cell <= defect.last_cell for cell in defect.cells)
            for layer in defect.layers:
                cells = defect.cells or range(defect.first_cell, defect.last_cell + 1)
                assert chamber.read_out[layer - 1, np.array(cells) - 1].any()


def test_good_chambers_are_poisson_around_what_is_expected(drawn):
    ratios = []
    for simulated in drawn:
        if simulated.defects:
            continue
        counts, expected = (a[simulated.occupancy.cells] for a in (simulated.occupancy.counts, simulated.expected))
        ratios.append(((counts - expected) ** 2 / expected).mean())
    assert len(ratios) > 100
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


def test_layers_of_a_superlayer_share_the_profile_up_to_a_few_per_cent():
    rng = np.random.default_rng(5)
    spreads = []
    for chamber in all_chambers()[::5]:
        expected = any_profile(chamber, 50.0, rng)
        inner = expected[:4, 1:45]  # cells that the four layers have
        spreads.append((inner / inner.mean(axis=0)).mean(axis=1).std())
    assert np.median(spreads) < 0.03
    assert max(spreads) < 0.08


def test_profiles_have_the_mean_they_were_asked_for():
    rng = np.random.default_rng(6)
    for chamber in all_chambers()[::23]:
        for draw in (typical, any_profile):
            expected = draw(chamber, 12.5, rng)
            assert expected[chamber.read_out].mean() == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("layers_bad", "arguments"),
    [
        ({2}, (DefectKind.DEAD_BLOCK, (2,), 20, 25)),
        ({2}, (DefectKind.DEAD_BLOCK, (2,), 1, 6)),
        ({2}, (DefectKind.DEAD_BLOCK, (2,), 20, 25, 0.4)),
        ({5, 6, 7, 8}, (DefectKind.DEAD_HALF, (5, 6, 7, 8), 1, 28)),
        ({9}, (DefectKind.DEAD_LAYER, (9,), 1, 60)),
        ({9}, (DefectKind.LOW_RATE, (9,), 1, 60, 0.7)),
        ({9, 10, 11, 12}, (DefectKind.LOW_RATE, (9, 10, 11, 12), 1, 60, 0.3)),
        ({3}, (DefectKind.PERIODIC, (3,), 1, 57, 0.0, tuple(range(1, 58, 8)))),
        ({3}, (DefectKind.PERIODIC, (3,), 2, 58, 0.0, tuple(range(2, 59, 4)))),
        ({3}, (DefectKind.SCATTERED, (3,), 1, 57, 0.0, (1, 8, 14, 23, 25, 34, 40, 49, 57))),
        ({1}, (DefectKind.NOISY_BLOCK, (1,), 30, 35, 3.0)),
        (set(), (DefectKind.DEAD_BLOCK, (2,), 20, 25, 0.75)),
        (set(), (DefectKind.LOW_RATE, (9,), 1, 60, 0.91)),
        (set(), (DefectKind.NOISY_BLOCK, (1,), 30, 35, 1.9)),
        (set(), (DefectKind.HOT_CELL, (1,), 30, 30, 70.0)),
        (set(), (DefectKind.DEAD_CELLS, (1,), 30, 30)),
        (set(), (DefectKind.DEAD_CELLS, (1,), 3, 50, 0.0, (3, 24, 50))),
        (set(), (DefectKind.LOW_STATISTICS, tuple(range(1, 13)), 1, 60, 0.01)),
    ],
)
def test_the_rule_calls_bad_what_a_shifter_would(layers_bad, arguments):
    assert set((np.flatnonzero(bad(*arguments) == 1) + 1).tolist()) == layers_bad
    if not layers_bad:
        assert not bad(*arguments).any()


def test_two_to_five_adjacent_dead_cells_are_the_more_doubtful_the_more_they_are():
    values = [bad(DefectKind.DEAD_PAIR, (4,), 11, 10 + number)[3] for number in range(1, 7)]
    assert values[0] == 0
    assert values[-1] == 1
    assert all(0 < low < high < 1 for low, high in pairwise(values[1:5]))


def dead(layer, first, cells, factor=0.0):
    """Dead cells of CHAMBER's layer, counted along the cells that it has."""
    begin = next(one.first_cell for one in CHAMBER.layers if one.number == layer) + first - 1
    return Defect(DefectKind.SHARED_BLOCK, (layer,), begin, begin + cells - 1, factor)


def bad_layers(defects):
    return set((np.flatnonzero(label(CHAMBER, defects) == 1) + 1).tolist())


@pytest.mark.parametrize("cells", [3, 4, 5])
@pytest.mark.parametrize("layers", [(5, 6, 7, 8), (1, 2, 4), (9, 11, 12)])
@pytest.mark.parametrize("first", [1, 20])
def test_a_block_of_three_to_five_dead_cells_that_three_layers_of_a_superlayer_share_is_bad_in_each(
    cells, layers, first
):
    assert bad_layers([dead(layer, first, cells) for layer in layers]) == set(layers)
    aside = [dead(layer, first + i % 2, cells) for i, layer in enumerate(layers)]  # within one cell
    assert bad_layers(aside) == set(layers)


@pytest.mark.parametrize(
    "defects",
    [
        [dead(5, 20, 5), dead(6, 20, 5)],  # in two layers
        [dead(layer, 20, 2) for layer in (5, 6, 7, 8)],  # two cells
        [dead(5, 20, 4)],  # alone
        [dead(5, 20, 4), dead(6, 20, 4), dead(9, 20, 4)],  # in three layers, of two superlayers
        [dead(5, 20, 3), dead(6, 22, 3), dead(7, 24, 3)],  # not at the same place
        [dead(layer, 20, 4, factor=0.3) for layer in (5, 6, 7)],  # not dead
    ],
)
def test_what_is_shorter_or_shared_by_fewer_layers_stays_ambiguous(defects):
    values = label(CHAMBER, defects)[sorted({defect.layers[0] - 1 for defect in defects})]
    assert ((values > 0) & (values < 1)).all()


def test_the_simulator_draws_shared_blocks_that_are_bad_and_none_that_it_calls_a_pair(drawn):
    shared = [c for c in drawn if any(d.kind is DefectKind.SHARED_BLOCK for d in c.defects)]
    assert len(shared) > 20
    for c in shared:
        layers = [d.layers[0] for d in c.defects if d.kind is DefectKind.SHARED_BLOCK]
        assert (c.bad[np.array(layers) - 1] == 1).all()
    pairs = [[d for d in c.defects if d.kind is DefectKind.DEAD_PAIR] for c in drawn]
    assert not any((label(c.occupancy.chamber, some) == 1).any() for c, some in zip(drawn, pairs, strict=True) if some)


def test_between_82_and_90_per_cent_of_its_siblings_a_layer_is_ambiguous():
    values = [float(bad(DefectKind.LOW_RATE, (4,), 1, 60, factor)[3]) for factor in (0.82, 0.84, 0.88, 0.9)]
    assert values[0] == 1
    assert values[-1] == pytest.approx(0, abs=1e-6)
    assert 1 > values[1] > values[2] > 0


def test_defects_add_up_to_one_label():
    pair = Defect(DefectKind.DEAD_PAIR, (4,), 11, 13, 0.0)
    beside = Defect(DefectKind.DEAD_PAIR, (4,), 14, 16, 0.0)
    hot = Defect(DefectKind.HOT_CELL, (4,), 17, 17, 50.0)
    assert label(CHAMBER, [pair])[3] < 1
    assert label(CHAMBER, [pair, beside, hot])[3] == 1


def test_factors_multiply_and_touch_no_other_cell():
    result = factors(
        CHAMBER, [Defect(DefectKind.LOW_RATE, (2,), 1, 60, 0.5), Defect(DefectKind.HOT_CELL, (2,), 7, 7, 10.0)]
    )
    assert result[1, 6] == 5
    assert (result[1, 7:60] == 0.5).all()
    assert (np.delete(result, 1, axis=0) == 1).all()
    assert result[1, 60] == 1  # no such cell


def test_dead_cells_stay_dead_from_run_to_run():
    runs = [simulate_run(run) for run in (300_001, 300_002, 350_000)]
    listed = [
        {(chamber, defect.layers, cell) for chamber, c in run.items() for defect in c.defects for cell in defect.cells
         if defect.kind is DefectKind.DEAD_CELLS}
        for run in runs
    ]  # fmt: skip
    assert listed[0] == listed[1] == listed[2]
    assert len(listed[0]) / 171_438 == pytest.approx(0.0026, rel=0.15)
    for run in runs:
        assert all(run[chamber].occupancy.counts[layers[0] - 1, cell - 1] == 0 for chamber, layers, cell in listed[0])


def test_few_chambers_of_a_run_are_bad_and_some_stay_so():
    runs = [simulate_run(run) for run in range(310_000, 310_008)]
    faulty = [{chamber for chamber, c in run.items() if (np.nan_to_num(c.bad) == 1).any()} for run in runs]
    assert 0.03 <= np.mean([len(chambers) for chambers in faulty]) / 250 <= 0.06
    known = set.intersection(*faulty)
    assert 1 <= len(known) < min(len(chambers) for chambers in faulty)


def test_rates_of_runs_differ_by_a_common_factor():
    levels = {run: simulate_run(run) for run in range(320_000, 320_006)}
    factor = [
        np.median([c.expected[c.expected > 0].mean() / typical_rate(chamber) for chamber, c in run.items()])
        for run in levels.values()
    ]
    assert min(factor) >= 0.28
    assert max(factor) <= 3.2
    assert max(factor) / min(factor) > 1.5


def test_typical_profiles_are_those_of_the_real_run(shared_data):
    real = json.loads((shared_data / "dt/mean_profiles_302635.json").read_text())["profiles"]
    for name, profile in real.items():
        sectors = [Chamber(wheel=int(name[1:-4]), station=int(name[-1]), sector=sector) for sector in (1, 5, 7, 9, 11)]
        rng = np.random.default_rng(1)
        expected = [typical(chamber, typical_rate(chamber), rng) for chamber in sectors]
        for i, key in enumerate(("SL1_phi", "SL2_theta", "SL3_phi")):
            layers = [chamber[row][chamber[row] > 0] for chamber in expected for row in range(4 * i, 4 * i + 4)]
            twelfths = np.mean([[part.mean() for part in np.array_split(cells, 12)] for cells in layers], axis=0)
            ratio = twelfths / np.array(profile[key])
            assert ratio.mean() == pytest.approx(1, abs=0.1), (name, key)
            assert ratio.min() > 0.75, (name, key)
            assert ratio.max() < 1.3, (name, key)


def test_real_good_chambers_are_as_poisson_as_simulated_ones(shared_data):
    chambers = json.loads((shared_data / "dt/chambers.json").read_text())["chambers"]
    real = [
        np.array(c["matrix"])
        for c in chambers
        if c["label"] == "good" and c["precision"] == "exact" and c["run"] == RUN
    ]
    simulated = [c.occupancy.counts for c in simulate_run(RUN).values() if not (np.nan_to_num(c.bad) > 0).any()]
    assert abs(roughness(real) - roughness(simulated)) < 0.1


def roughness(matrices):
    """Median over layers of variance/mean between neighbouring cells; 1 for Poisson counts on a smooth profile."""
    rows = [row[row > 0] for matrix in matrices for row in matrix if row.max() >= 0]
    return np.median([np.diff(row).var() / 2 / row.mean() for row in rows if len(row) > 40 and row.mean() > 4])


def test_layers_of_a_superlayer_fluctuate_together_as_in_the_real_run():
    found = {1: [], 2: [], 3: []}
    for chamber, simulated in simulate_run(RUN).items():
        if chamber.station in found and not (np.nan_to_num(simulated.bad) > 0).any():
            expected, counts = simulated.expected[:4, 2:45], simulated.occupancy.counts[:4, 2:45]
            first, third = ((counts - expected) / np.sqrt(expected))[[0, 2]].clip(-3, 3)
            found[chamber.station].append(np.corrcoef(first, third)[0, 1])
    for station, correlation in ((1, 0.27), (2, 0.43), (3, 0.58)):
        assert np.mean(found[station]) == pytest.approx(correlation, abs=0.08)


def test_few_chambers_are_faulty_unless_asked_for():
    shares = [
        np.mean([(np.nan_to_num(c.bad) == 1).any() for c in simulate_chambers(600, seed=5, faulty=faulty)])
        for faulty in (0, ORDINARY, RICH)
    ]
    assert shares[0] < 0.01
    assert shares[1] == pytest.approx(0.05, abs=0.03)
    assert shares[2] == pytest.approx(0.57, abs=0.08)


def test_some_dead_layers_have_one_live_cell(drawn):
    dead = [c for c in drawn for d in c.defects if d.kind is DefectKind.DEAD_LAYER and d.cells]
    assert len(dead) > 10
    assert all((c.bad == 1).any() for c in dead)
