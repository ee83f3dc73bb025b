import numpy as np
import pytest

from app.subsystems.dt.defects import Defect, DefectKind, factors
from app.subsystems.dt.findings import expected_hits
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.profiles import any_profile, typical

CHAMBER = Chamber(wheel=1, station=2, sector=5)
STATION_4 = Chamber(wheel=0, station=4, sector=9)
TYPICALLY_OFF = 0.06  # of the true expectation, median over cells, at 20 hits per cell
DEFECTS = {
    "none": (),
    "a dead block in one layer": (Defect(DefectKind.DEAD_BLOCK, (2,), 17, 40, 0.0),),
    "half a superlayer dead": (Defect(DefectKind.DEAD_HALF, (5, 6, 7, 8), 29, 60, 0.0),),
    "half of eight layers low": (Defect(DefectKind.DEAD_BLOCK, (1, 2, 3, 4, 9, 10, 11, 12), 33, 48, 0.25),),
    "three of four layers low": (Defect(DefectKind.LOW_RATE, (9, 10, 12), 1, 60, 0.5),),
    "a superlayer almost off": (Defect(DefectKind.LOW_RATE, (1, 2, 3, 4), 1, 60, 0.05),),
    "a noisy block": (Defect(DefectKind.NOISY_BLOCK, (6,), 20, 40, 10.0),),
    "a noisy block in four layers": (Defect(DefectKind.NOISY_BLOCK, (9, 10, 11, 12), 1, 16, 6.0),),
    "every second cell dead": (Defect(DefectKind.PERIODIC, (3,), 1, 59, 0.0, tuple(range(1, 60, 2))),),
    "a hot cell": (Defect(DefectKind.HOT_CELL, (3,), 30, 30, 100.0),),
}


def off(chamber, defects, rate, profile, seed):
    """|expected / true − 1| of all cells."""
    rng = np.random.default_rng(seed)
    truth = profile(chamber, rate, rng)
    counts = np.where(chamber.read_out, rng.poisson(truth * factors(chamber, defects)), NO_CELL).astype(np.int32)
    return abs(expected_hits(Occupancy(chamber, counts))[chamber.read_out] / truth[chamber.read_out] - 1)


@pytest.mark.parametrize("name", DEFECTS)
def test_no_defect_moves_the_expected_hits(name):
    errors = np.concatenate([off(CHAMBER, DEFECTS[name], 20, typical, seed) for seed in range(20)])
    assert np.median(errors) < TYPICALLY_OFF
    assert np.quantile(errors, 0.95) < 0.2


@pytest.mark.parametrize("name", ["none", "a dead block in one layer", "half a superlayer dead", "a noisy block"])
def test_tilted_and_bumped_profiles_are_followed(name):
    errors = np.concatenate([off(CHAMBER, DEFECTS[name], 80, any_profile, seed) for seed in range(20)])
    assert np.median(errors) < TYPICALLY_OFF


def test_more_hits_make_it_more_exact():
    few, many = (np.median([off(CHAMBER, (), rate, typical, seed) for seed in range(5)]) for rate in (3, 300))
    assert many < few / 2


@pytest.mark.parametrize("chamber", [CHAMBER, STATION_4], ids=str)
def test_cells_that_do_not_exist_expect_nothing_and_all_others_something(chamber):
    rng = np.random.default_rng(1)
    counts = np.where(chamber.read_out, rng.poisson(typical(chamber, 20, rng)), NO_CELL).astype(np.int32)
    expected = expected_hits(Occupancy(chamber, counts))
    assert expected.shape == counts.shape
    assert np.array_equal(expected > 0, chamber.read_out)
    assert expected.sum() == pytest.approx(counts[chamber.read_out].sum(), rel=0.05)


def test_an_empty_superlayer_is_expected_to_see_what_the_others_see():
    rng = np.random.default_rng(2)
    truth = typical(CHAMBER, 20, rng)
    counts = np.where(CHAMBER.read_out, rng.poisson(truth), NO_CELL).astype(np.int32)
    counts[4:8] = np.minimum(counts[4:8], 0)
    expected = expected_hits(Occupancy(CHAMBER, counts))
    assert expected[4:8].sum() == pytest.approx(truth[4:8].sum(), rel=0.2)


def test_a_chamber_without_hits_expects_none():
    counts = np.where(CHAMBER.read_out, 0, NO_CELL).astype(np.int32)
    assert not expected_hits(Occupancy(CHAMBER, counts)).any()
