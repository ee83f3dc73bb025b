import json

import numpy as np
import pytest
from scipy.stats import binom, poisson

from app.domain.judgement import Judgement, Verdict
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import RICH, simulate_chambers
from app.subsystems.dt.verdict import LEAST_HITS_A_CELL, hits_a_cell, judge, judge_before

CHAMBER = Chamber(wheel=0, station=1, sector=1)
STATION_4 = Chamber(wheel=0, station=4, sector=1)
SHAPES = pytest.mark.parametrize("chamber", [CHAMBER, STATION_4, Chamber(wheel=-1, station=3, sector=3)], ids=str)


def drawn(rate, chamber=CHAMBER, seed=1):
    counts = np.random.default_rng(seed).poisson(rate, chamber.read_out.shape)
    return np.where(chamber.read_out, counts, NO_CELL).astype(np.int32)


def before(*counts, chamber=CHAMBER):
    occupancies = [Occupancy(chamber, c) for c in counts]
    return judge_before(occupancies, layer_bins(occupancies))


def kill(counts, rows=slice(None), columns=slice(None), chamber=CHAMBER):
    dead = np.zeros_like(chamber.read_out)
    dead[rows, columns] = True
    return np.where(dead & chamber.read_out, 0, counts).astype(np.int32)


def chance_to_find(rate, loss=0.3, cells=50, siblings=3, false_alarms=0.01):
    """Of the test that LEAST_HITS_A_CELL is about, summed over all outcomes."""
    expected = rate * cells
    own, others = np.meshgrid(np.arange(5 * expected), np.arange(5 * siblings * expected), indexing="ij")
    found = binom.cdf(own, own + others, 1 / (1 + siblings)) <= false_alarms
    return (found * poisson.pmf(own, (1 - loss) * expected) * poisson.pmf(others, siblings * expected)).sum()


def test_from_the_least_rate_on_a_loss_of_30_percent_is_rather_found_than_missed():
    assert chance_to_find(LEAST_HITS_A_CELL) == pytest.approx(0.51, abs=0.01)
    assert chance_to_find(LEAST_HITS_A_CELL - 0.1) < 0.5
    assert chance_to_find(2) == pytest.approx(0.66, abs=0.01)
    assert chance_to_find(4) == pytest.approx(0.95, abs=0.01)


@SHAPES
def test_a_chamber_with_2_hits_a_cell_is_judged_and_one_with_1_is_not(chamber):
    many = [drawn(2, chamber, seed) for seed in range(100)]
    few = [drawn(1, chamber, seed) for seed in range(100)]
    assert before(*many, chamber=chamber).open[:, [layer.number - 1 for layer in chamber.layers]].all()
    assert not before(*few, chamber=chamber).open.any()


@pytest.mark.parametrize("rate", [0.3, 1.5, 2, 20, 3000])
def test_the_rate_of_a_good_chamber_is_its_mean(rate):
    rates = [hits_a_cell(layer_bins([Occupancy(CHAMBER, drawn(rate, seed=seed))]))[0] for seed in range(30)]
    assert np.mean(rates) == pytest.approx(rate, rel=0.1, abs=0.1)


@SHAPES
@pytest.mark.parametrize("rate", [2.5, 200])
def test_a_dead_half_does_not_lower_the_rate(chamber, rate):
    whole = drawn(rate, chamber)
    half_of_each_layer = kill(whole, columns=slice(chamber.columns // 2, None), chamber=chamber)
    half_of_the_layers = kill(whole, rows=slice(0, 6), chamber=chamber)
    for counts in (half_of_each_layer, half_of_the_layers):
        assert hits_a_cell(layer_bins([Occupancy(chamber, counts)]))[0] == pytest.approx(rate, rel=0.15)


@pytest.mark.parametrize("alive", range(1, 13))
def test_eleven_dead_layers_of_twelve_are_empty_and_the_one_alive_goes_to_the_network(alive):
    counts = kill(drawn(3), rows=[row for row in range(12) if row != alive - 1])
    result = before(counts)
    assert result.open[0].tolist() == [layer == alive for layer in range(1, 13)]
    assert result.verdicts[0].tolist().count(Verdict.EMPTY) == 11


@pytest.mark.parametrize("cells", [1, 3, 6])
def test_hot_cells_are_no_statistics(cells):
    counts = kill(drawn(0))
    counts[4, 20 : 20 + cells] = 5_000
    result = before(counts)
    assert set(result.verdicts[0]) == {Verdict.UNJUDGED}
    assert result.rates[0] < LEAST_HITS_A_CELL


def test_a_hot_cell_in_every_layer_is_no_statistics():
    counts = drawn(0.2)
    counts[:, 30] = np.where(CHAMBER.read_out[:, 30], 5_000, NO_CELL)
    assert set(before(counts).verdicts[0]) == {Verdict.UNJUDGED}


def test_an_empty_layer_says_how_many_hits_were_expected():
    result = before(kill(np.where(CHAMBER.read_out, 3, NO_CELL), rows=[2]))
    assert result.verdicts[0, 2] is Verdict.EMPTY
    assert result.reasons[0, 2] == "no hits, 147 expected"
    assert result.open[0].sum() == 11


def test_a_layer_with_a_single_hit_goes_to_the_network():
    for column in range(1, 49):  # also where the hit falls between two bins
        counts = kill(drawn(3), rows=[2])
        counts[2, column] = 1
        assert before(counts).open[0, 2], column


def test_a_layer_of_too_few_cells_to_miss_their_hits_is_unjudged():
    counts = kill(drawn(3), rows=[2])
    counts[2, 2:] = NO_CELL
    result = before(counts)
    assert result.verdicts[0, 2] is Verdict.UNJUDGED
    assert result.reasons[0, 2] == "no hits, but only 6 expected"
    assert result.open[0].sum() == 11


def test_a_chamber_without_any_hit_is_unjudged_not_empty():
    result = before(drawn(0))
    assert set(result.verdicts[0]) == {Verdict.UNJUDGED}
    assert set(result.reasons[0]) == {"too few hits: 0 a cell, 1.5 needed"}


def test_the_reason_never_shows_a_rate_that_would_suffice():
    rates = np.linspace(1.3, 1.5, 60)
    for rate in rates:
        result = before(drawn(rate, seed=int(rate * 1e4)))
        if Verdict.UNJUDGED in result.verdicts[0]:
            assert float(result.reasons[0, 0].split()[3]) < LEAST_HITS_A_CELL


def test_station_4_has_no_layers_5_to_8_whether_it_is_judged_or_not():
    for rate in (0, 50):
        result = before(drawn(rate, STATION_4), chamber=STATION_4)
        assert [v is Verdict.ABSENT for v in result.verdicts[0]] == [False] * 4 + [True] * 4 + [False] * 4
        assert result.reasons[0, 4:8].tolist() == [""] * 4


def test_the_real_almost_empty_chamber_is_unjudged(shared_data):
    reply = json.loads((shared_data / "dt" / "jsonfairy_reply_317111_W-1_St1_Sec2.json").read_text())
    chamber = Chamber(wheel=-1, station=1, sector=2)
    occupancy = Occupancy.from_rows(chamber, reply["hist"]["bins"]["content"])
    assert occupancy.hits > 0
    assert set(judge_before([occupancy], layer_bins([occupancy])).verdicts[0]) == {Verdict.UNJUDGED}


def test_every_real_chamber_with_data_is_judged(shared_data):
    real = json.loads((shared_data / "dt" / "chambers.json").read_text())["chambers"]
    for one in real:
        chamber = Chamber(wheel=one["wheel"], station=one["station"], sector=one["sector"])
        counts = Occupancy.from_rows(chamber, one["matrix"]).counts
        assert Verdict.UNJUDGED not in before(counts, chamber=chamber).verdicts[0].tolist(), (one["run"], str(chamber))


def test_scores_stand_where_the_network_was_asked_and_nowhere_else():
    counts = kill(drawn(20, STATION_4), rows=[9], chamber=STATION_4)
    result = before(counts, drawn(0, STATION_4), chamber=STATION_4)
    scores = np.array([0.01, 0.5, 0.02, 0.03, 0.04, 0.998, 0.499], np.float32)
    judged, unjudged = judge(result, scores, threshold=0.5)
    assert judged.scores[4:8] == (None,) * 4
    assert judged.scores[9] == 1.0
    assert [s for i, s in enumerate(judged.scores) if s is not None and i != 9] == scores.astype(float).tolist()
    assert [v.value for v in judged.verdicts] == (
        ["good", "bad", "good", "good"] + ["absent"] * 4 + ["good", "empty", "bad", "good"]
    )
    assert judged.reasons[1] == "score 0.50 ≥ 0.5"
    assert judged.reasons[10] == "score 1.00 ≥ 0.5"
    assert judged.reasons[0] == ""
    assert judged.certainty == 0
    assert judged.worst == 1.0
    assert judged.bad == 3
    assert unjudged.scores == (None,) * 12
    assert unjudged.certainty is None
    assert unjudged.worst is None
    assert unjudged.bad == 0


def test_a_score_is_bad_from_the_threshold_on_that_was_given():
    result = before(drawn(20))
    scores = np.linspace(0.89, 1.0, 12)
    (judgement,) = judge(result, scores, threshold=0.95)
    assert [v is Verdict.BAD for v in judgement.verdicts] == (scores >= 0.95).tolist()
    assert judgement.certainty == pytest.approx(0.39)


def test_every_simulated_chamber_gets_a_whole_judgement():
    chambers = simulate_chambers(400, seed=7, faulty=RICH)
    occupancies = [simulated.occupancy for simulated in chambers]
    result = judge_before(occupancies, layer_bins(occupancies))
    scores = np.random.default_rng(1).random(result.open.sum(), np.float32)
    judgements = judge(result, scores, 0.5)
    assert len(judgements) == 400
    for simulated, judgement in zip(chambers, judgements, strict=True):
        assert isinstance(judgement, Judgement)
        assert {len(judgement.scores), len(judgement.verdicts), len(judgement.reasons)} == {12}
        exists = np.isfinite(simulated.bad)
        for i, (score, verdict) in enumerate(zip(judgement.scores, judgement.verdicts, strict=True)):
            assert (verdict is Verdict.ABSENT) == (not exists[i])
            assert (score is None) == (verdict in (Verdict.ABSENT, Verdict.UNJUDGED))
            assert score is None or 0 <= score <= 1
            assert verdict is not Verdict.EMPTY or simulated.bad[i] == 1, "an empty layer that is good"


def test_no_chambers_give_no_judgements():
    assert judge(judge_before([], layer_bins([])), np.empty(0, np.float32), 0.5) == []
