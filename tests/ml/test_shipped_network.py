"""What the shipped network is worth, on chambers that its simulator did not make and on real ones.

The bounds are somewhat wider than what was measured (docs/network.md), for the sample is smaller here.
"""

import json

import numpy as np
import pytest
from independent import KINDS, drawn_chambers, result_of

from app.ml.models import ALARM, SHIFTER, load_card
from app.ml.scoring import Scorer
from app.ml.training import area_under_roc
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.simulate import SIMULATOR_VERSION
from app.subsystems.dt.verdict import Verdict
from config import ROOT

SHIPPED = ROOT / "models" / "chamber-scan-1"


@pytest.fixture(scope="module")
def scorer():
    return Scorer(SHIPPED)


@pytest.fixture(scope="module")
def result(scorer):
    return result_of(scorer, drawn_chambers(4_000, seed=77))


def judged(scorer, real):
    chamber = Chamber(wheel=real["wheel"], station=real["station"], sector=real["sector"])
    return scorer.judge([Occupancy.from_rows(chamber, real["matrix"])])[0]


def bad(judgement):
    return {i for i, verdict in enumerate(judgement.verdicts, start=1) if verdict in (Verdict.BAD, Verdict.EMPTY)}


def test_it_tells_good_from_bad_on_chambers_of_another_generator(result):
    assert area_under_roc(result.scores[result.good], result.scores[~result.good]) >= 0.995
    assert result.found(~result.good) >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_every_kind_from_6_hits_a_cell_up(result, kind):
    assert result.found((result.kinds == kind) & (result.levels >= 6)) >= 0.85


def test_it_finds_what_four_layers_share_and_what_stands_beside_a_hot_cell(result):
    assert result.found(~result.good & result.shared) >= 0.93
    assert result.found(~result.good & result.hot) >= 0.93


@pytest.mark.parametrize("level", [2, 6, 20, 80])
def test_it_flags_few_good_layers_at_every_level(result, level):
    assert (result.scores[result.good & (result.levels == level)] >= 0.5).mean() <= 0.003


def test_chambers_of_2_hits_a_cell_are_judged(result):
    assert result.unjudged < 0.001


def test_a_dead_layer_with_a_stray_hit_or_one_hot_cell_is_bad(scorer):
    rng = np.random.default_rng(3)
    chamber = Chamber(wheel=1, station=2, sector=4)
    occupancies = []
    for rate in (2, 6, 20, 300):
        for left in (1, 5, 400):
            counts = np.where(chamber.read_out, rng.poisson(rate, chamber.read_out.shape), NO_CELL)
            counts[6, chamber.read_out[6]] = 0
            counts[6, 30] = left
            occupancies.append(Occupancy(chamber, counts.astype(np.int32)))
    assert [bad(judgement) for judgement in scorer.judge(occupancies)] == [{7}] * len(occupancies)


def test_a_layer_of_half_its_siblings_hits_is_bad_and_a_superlayer_of_fewer_hits_is_not(scorer):
    chamber = Chamber(wheel=0, station=1, sector=5)
    rng = np.random.default_rng(4)
    low, theta = [], []
    for _ in range(20):
        expected = np.full(chamber.read_out.shape, 20.0)
        expected[2] *= 0.5
        low.append(expected)
        theta.append(np.where(np.arange(12)[:, None] // 4 == 1, 15.0, 20.0) * np.ones(chamber.columns))
    judgements = [
        scorer.judge(
            [
                Occupancy(chamber, np.where(chamber.read_out, rng.poisson(one), NO_CELL).astype(np.int32))
                for one in expected
            ]
        )
        for expected in (low, theta)
    ]
    assert [bad(judgement) for judgement in judgements[0]] == [{3}] * 20
    assert sum(len(bad(judgement)) for judgement in judgements[1]) <= 1


def test_its_card_says_how_it_was_calibrated_and_what_its_thresholds_mean():
    card = load_card(SHIPPED)
    assert card.trained_on.simulator_version == SIMULATOR_VERSION
    assert (card.thresholds[SHIFTER].score, card.thresholds[ALARM].score) == (0.5, 0.95)
    for cut in card.thresholds.values():
        assert max(cut.false_alarms_by_hits.values()) <= 0.003
    assert card.calibration is not None
    assert sum(one.layers * abs(one.score - one.bad) for one in card.reliability) < 0.01 * sum(
        one.layers for one in card.reliability
    )


def test_of_real_good_layers_it_flags_next_to_none(scorer, shared_data):
    real = json.loads((shared_data / "dt" / "chambers.json").read_text())["chambers"]
    good = [judged(scorer, one) for one in real if one["label"] == "good"]
    layers = sum(score is not None for judgement in good for score in judgement.scores)
    assert layers > 800
    assert sum(judgement.bad for judgement in good) / layers <= 0.003


def test_it_finds_the_real_faults_that_a_row_alone_does_not_show(scorer, shared_data):
    real = json.loads((shared_data / "dt" / "chambers.json").read_text())["chambers"]
    found = {one["label"]: bad(judged(scorer, one)) for one in real if one["label"] not in ("good", "bad")}
    assert next(layers for label, layers in found.items() if "SL2 half dead" in label) == {5, 6, 7, 8}
    assert next(layers for label, layers in found.items() if "layer 1 has the dead block" in label) == {1}
    assert next(layers for label, layers in found.items() if "3200 V" in label) == {9}
    assert next(layers for label, layers in found.items() if "3450 V" in label) == {9}
    low = json.loads((shared_data / "dt" / "eval_page_279794_W1_S1_St1.json").read_text())
    assert bad(judged(scorer, low)) == {1, 2, 3, 4, 9, 10, 11, 12}


def test_when_no_layer_can_be_judged_none_is(scorer):
    chamber = Chamber(wheel=-1, station=1, sector=2)
    empty = Occupancy(chamber, np.where(chamber.read_out, 0, NO_CELL).astype(np.int32))
    assert scorer.judge([empty])[0].verdicts == (Verdict.UNJUDGED,) * 12
    assert scorer.judge([]) == []
