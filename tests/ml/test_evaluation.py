import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from app.errors import InvalidInput, UnusableHistogram
from app.ml import curves
from app.ml.curves import Ranking, bootstrap, found_at, reliability, thinned
from app.ml.models import SHIFTER
from app.subsystems.dt.defects import Defect, DefectKind, label
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning import training
from app.subsystems.dt.learning.evaluation import OWN, compare, evaluate
from app.subsystems.dt.learning.evaluation_figures import ALL, ALL_KINDS, FALSE_ALARMS, FROM_6, LEVELS, Evaluation
from app.subsystems.dt.learning.evaluation_pictures import pictures
from app.subsystems.dt.learning.evaluation_tables import tables
from app.subsystems.dt.learning.known_chambers import (
    BESIDE_HOT_CELL,
    WHOLE_SUPERLAYER,
    LabelledChamber,
    evaluation_seed,
    fitting_seed,
    kinds,
    read_labelled,
    simulated_test_set,
)
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.learning.yardsticks import Yardstick, simple_statistics, yardsticks
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import SimulatedChamber, simulate_chambers
from app.subsystems.dt.verdict import judge_before
from config import ROOT

pytestmark = pytest.mark.slow

CHAMBERS, SEED = 150, 7
CHAMBER = Chamber(wheel=0, station=1, sector=1)


@pytest.fixture(scope="module")
def scorer():
    return Scorer(ROOT / "models" / "row-cnn-1")


@pytest.fixture(scope="module")
def real():
    """Chambers that stand for real ones: labelled, of no known kind of defect."""
    return [LabelledChamber(one.occupancy, one.bad) for one in simulate_chambers(60, seed=5, faulty=0.6)]


@pytest.fixture(scope="module")
def evaluation(scorer, real):
    told = []
    found = evaluate([scorer], CHAMBERS, SEED, real, told.append)
    assert any(line.startswith("row-cnn-1: area 0.") for line in told)
    return found


def ranked(bad, scores):
    return Ranking.of(np.asarray(bad, bool), np.asarray(scores, float))


def counts(rate=20):
    rng = np.random.default_rng(3)
    return np.where(CHAMBER.read_out, rng.poisson(rate, CHAMBER.read_out.shape), -1)


# --- curves ---


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(1, 40))
def test_the_area_is_that_of_another_implementation_also_with_ties(seed, layers, values):
    rng = np.random.default_rng(seed)
    bad = rng.random(layers) < 0.4
    bad[:2] = True, False
    scores = rng.integers(0, values, layers) / values + 0.3 * bad * rng.integers(0, 2, layers)
    assert curves.areas(*ranked(bad, scores).above()) == pytest.approx(roc_auc_score(bad, scores))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 200))
def test_weights_count_layers_as_often_as_copies_of_them_would(seed, layers):
    rng = np.random.default_rng(seed)
    bad, scores, weights = rng.random(layers) < 0.4, rng.integers(0, 20, layers), rng.integers(0, 4, layers)
    bad[:2], weights[:2] = (True, False), 1
    above = ranked(bad, scores).above(weights.astype(float))
    copies = np.repeat(np.arange(layers), weights)
    copied = ranked(bad[copies], scores[copies]).above()
    assert curves.areas(*above) == pytest.approx(roc_auc_score(bad, scores, sample_weight=weights))
    for rate in (0, 0.01, 0.1, 0.5, 1):
        assert found_at(*above, rate) == pytest.approx(float(found_at(*copied, rate)))


def test_what_is_found_at_a_rate_of_false_alarms_is_counted_by_hand():
    good, bad = np.arange(1000) / 1000, np.array([0.5, 0.98, 0.985, 0.9895, 0.99, 0.999])
    above = ranked(np.repeat([False, True], (1000, 6)), np.concatenate((good, bad))).above()
    # At 1 % ten good ones may be flagged: 0.990 to 0.999. So the lowest cut is 0.9895, which flags one bad layer more.
    assert found_at(*above, 0.01) == 3 / 6
    assert found_at(*above, 0.001) == 1 / 6  # 0.999 is shared by a good and a bad one
    assert found_at(*above, 0) == 0
    assert found_at(*above, 0.5) == 1  # the 500 above 0.5, and it
    assert found_at(*above, 1) == 1


def test_the_area_is_counted_by_hand_where_layers_share_scores():
    good, bad = [0.1, 0.4, 0.4], [0.4, 0.9]  # of six pairs four are in order and two are ties
    is_bad, scores = np.array([False] * 3 + [True] * 2), np.array(good + bad)
    assert curves.area_under_roc(is_bad, scores) == pytest.approx(5 / 6)
    assert float(curves.areas(*ranked(is_bad, scores).above())) == pytest.approx(5 / 6)
    for score, area in ((np.ones(5), 0.5), (is_bad, 1), (~is_bad, 0)):
        assert curves.area_under_roc(is_bad, score.astype(np.float32)) == area


def test_where_too_many_good_layers_share_a_score_none_of_them_is_flagged():
    above = ranked([False] * 10 + [True] * 4, [0] * 8 + [1] * 2 + [1] * 3 + [2]).above()
    assert found_at(*above, 0.1) == 1 / 4
    assert found_at(*above, 0.2) == 1


def test_the_curve_goes_from_nothing_to_everything_through_points_of_the_true_one():
    rng = np.random.default_rng(2)
    bad = rng.random(40_000) < 0.2
    scores = rng.normal(2 * bad, 1)
    points = thinned(bad, scores)
    assert (points[0], points[-1]) == ((0, 0), (1, 1))
    assert len(points) <= curves.MOST_POINTS + 2
    assert points == sorted(points)
    false, found, _ = roc_curve(bad, scores, drop_intermediate=False)
    assert set(points) <= set(zip(false.tolist(), found.tolist(), strict=True))
    assert thinned(np.array([False, True, True]), np.array([0, 0, 1])) == [(0, 0), (0, 0.5), (1, 1)]


def test_an_interval_contains_its_figure_and_is_the_same_again_but_not_with_another_seed():
    rng = np.random.default_rng(4)
    chambers = np.repeat(np.arange(200), 10)
    bad = rng.random(2000) < 0.2
    scores = rng.normal(2 * bad, 1)
    ranking = ranked(bad, scores)
    intervals = bootstrap(ranking, chambers, FALSE_ALARMS, seed=1)
    for one in intervals:
        assert one.low < one.value < one.high
    assert intervals == bootstrap(ranking, chambers, FALSE_ALARMS, seed=1)
    assert intervals != bootstrap(ranking, chambers, FALSE_ALARMS, seed=2)
    assert intervals[0].value == pytest.approx(roc_auc_score(bad, scores))


def test_the_interval_is_as_wide_as_the_spread_of_areas_over_samples():
    def sample(rng):
        bad = np.repeat(rng.random(150) < 0.3, 8)  # whole chambers are bad
        return bad, rng.normal(bad + np.repeat(rng.normal(0, 1, 150), 8), 0.3)  # and their layers alike

    areas = [roc_auc_score(*sample(np.random.default_rng(seed))) for seed in range(300)]
    spread = np.subtract(*np.quantile(areas, (0.975, 0.025)))
    chambers = np.repeat(np.arange(150), 8)
    widths, narrow = [], []
    for seed in range(8):
        ranking = ranked(*sample(np.random.default_rng(seed)))
        area, *_ = bootstrap(ranking, chambers, (), seed)
        widths.append(area.high - area.low)
        alone, *_ = bootstrap(ranking, np.arange(1200), (), seed)
        narrow.append(alone.high - alone.low)
    assert np.mean(widths) == pytest.approx(spread, rel=0.2)
    assert np.mean(narrow) < 0.6 * spread  # what layers drawn one by one would claim


def test_without_good_or_without_bad_layers_there_are_no_figures():
    with pytest.raises(ValueError, match="both good and bad"):
        bootstrap(ranked([True, True], [0, 1]), np.array([0, 1]), FALSE_ALARMS, 1)
    with pytest.raises(ValueError, match="a score is nan"):
        ranked([True, False], [0, np.nan])


def test_scores_that_are_probabilities_lie_on_the_diagonal_and_others_do_not():
    rng = np.random.default_rng(1)
    scores = rng.random(200_000)
    bins, error = reliability(rng.random(scores.size) < scores, scores)
    assert error < 0.005
    for one in bins:
        assert one.bad == pytest.approx(one.mean_score, abs=0.015)
        assert one.low <= one.mean_score <= one.high
    assert sum(one.layers for one in bins) == scores.size
    _, worse = reliability(rng.random(scores.size) < scores**2, scores)
    assert worse == pytest.approx(1 / 6, abs=0.01)  # the mean of x − x²


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 500))
def test_reliability_is_that_of_another_implementation(seed, layers):
    rng = np.random.default_rng(seed)
    bad, scores = rng.random(layers) < 0.3, rng.random(layers) ** 3
    bins = [one for one in reliability(bad, scores)[0] if one.layers]
    shares, means = calibration_curve(bad, scores, n_bins=10)
    assert [one.bad for one in bins] == pytest.approx(shares.tolist())
    assert [one.mean_score for one in bins] == pytest.approx(means.tolist())


def test_a_score_between_two_tenths_belongs_to_the_upper_one():
    scores = np.arange(11) / 10
    bins, _ = reliability(scores > 0.5, scores)
    assert [one.layers for one in bins] == [1] * 9 + [2]


def test_a_score_of_one_and_bins_without_layers_have_a_place():
    bins, error = reliability(np.array([True, True]), np.array([1.0, 1.0]))
    assert (bins[9].layers, bins[9].bad, error) == (2, 1, 0)
    assert (bins[0].layers, bins[0].mean_score, bins[0].bad) == (0, None, None)


# --- evaluate ---


@pytest.mark.soak
def test_the_same_seed_gives_the_same_and_another_seed_another(evaluation, real):
    again = evaluate([], CHAMBERS, SEED, real, lambda line: None)
    for one, other in ((evaluation.simulated, again.simulated), (evaluation.real, again.real)):
        assert one.methods[1:] == other.methods
        assert (one.good, one.bad, one.kinds) == (other.good, other.bad, other.kinds)
    assert evaluate([], CHAMBERS, SEED + 1, (), lambda line: None).simulated.methods != again.simulated.methods


def test_all_methods_are_there_and_their_intervals_contain_their_figures(evaluation):
    names = [method.name for method in evaluation.simulated.methods]
    assert names == ["row-cnn-1", *(one.name for one in yardsticks(fitting_seed(SEED)))]
    for comparison in (evaluation.simulated, evaluation.real):
        for method in comparison.methods:
            for figure in (method.area, *(one.found for one in method.found)):
                assert 0 <= figure.low <= figure.value <= figure.high <= 1
            shares = [one.found.value for one in method.found]
            assert shares == sorted(shares)
            assert method.network == bool(method.reliability) == (method.calibration_error is not None)


def test_confusion_matrices_count_each_layer_once_as_another_implementation_does(evaluation, scorer):
    simulated = evaluation.simulated
    for method in simulated.methods:
        for at in method.thresholds:
            assert at.found + at.missed == simulated.bad
            assert at.false_alarms + at.passed == simulated.good
            by = {rate.statistics: rate for rate in at.by_statistics}
            assert by[ALL].layers == simulated.good == sum(by[one].layers for one in list(LEVELS)[:5] if one in by)
            assert by[ALL].share == pytest.approx(at.false_alarms / simulated.good)
    chambers = simulated_test_set(CHAMBERS, SEED)
    scores = np.array([one.scores for one in scorer.judge([c.occupancy for c in chambers])], float)
    truth = np.stack([one.bad for one in chambers])
    counted = ~np.isnan(scores) & ((truth == 0) | (truth == 1))
    network, *_, rule = simulated.methods
    assert {at.use for at in network.thresholds} == set(scorer.card.thresholds)
    at = next(at for at in network.thresholds if at.use == SHIFTER)
    matrix = confusion_matrix(truth[counted] == 1, scores[counted] >= scorer.card.threshold)
    assert [[at.passed, at.false_alarms], [at.missed, at.found]] == matrix.tolist()
    assert network.area.value == pytest.approx(roc_auc_score(truth[counted], scores[counted]))
    assert simulated.ambiguous == (~np.isnan(scores) & (truth > 0) & (truth < 1)).sum() > 0
    assert [at.use for at in rule.thresholds] == [OWN]


def test_what_a_threshold_calls_bad_is_counted_by_kind_and_statistics(evaluation, scorer):
    test_set = simulated_test_set(CHAMBERS, SEED)
    found = evaluation.simulated
    network, rule = found.methods[0], next(method for method in found.methods if method.name == "7 empty in a row")
    called, layers = {}, {}
    for one, judgement in zip(test_set, scorer.judge([one.occupancy for one in test_set]), strict=True):
        rate = judge_before([one.occupancy], layer_bins([one.occupancy])).rates[0]
        for row, score in enumerate(judgement.scores):
            if score is None or one.bad[row] != 1:
                continue
            for kind in (*one.kinds[row], ALL_KINDS):
                for level, (low, high) in LEVELS.items():
                    if low <= rate < high:
                        layers[kind, level] = layers.get((kind, level), 0) + 1
                        called[kind, level] = called.get((kind, level), 0) + (score >= scorer.threshold)
    at = network.shipped
    assert at.score == scorer.threshold
    assert {(one.kind, one.statistics): one.layers for one in at.by_kind} == layers
    for (kind, level), number in layers.items():
        assert at.called_bad(kind, level) == pytest.approx(called[kind, level] / number)
    assert at.called_bad() == at.found / (at.found + at.missed)
    assert at.good_called_bad() == at.false_alarms / (at.false_alarms + at.passed)
    assert (at.called_bad("no such kind"), rule.shipped.use) == (None, OWN)
    assert next(method for method in found.methods if method.name == "variance").shipped is None


def test_a_network_stands_beside_the_simple_statistics_at_their_false_alarms():
    drawn = [LabelledChamber(one.occupancy, one.bad) for one in simulate_chambers(300, seed=5, faulty=0.6)]
    truth = {one.occupancy.to_bytes(): one.bad for one in drawn}
    knows = Yardstick("knows", "", lambda occupancies, bins: np.nan_to_num([truth[o.to_bytes()] for o in occupancies]))
    scorers = [Scorer(ROOT / "models" / "row-cnn-1")]
    found = compare(drawn, scorers, [simple_statistics(), knows], SEED, lambda line: None)
    network, statistics = found.network("row-cnn-1"), found.statistics
    own = statistics.shipped
    assert statistics.beside_statistics() == own.called_bad(statistics=FROM_6)
    assert 0 < network.beside_statistics() < 0.9 < statistics.beside_statistics()
    good = next(rate for rate in own.by_statistics if rate.statistics == FROM_6)
    assert good.share <= 0.003
    point = next(point for point in network.curve if point.by_hits[FROM_6] <= good.share)  # the same number at most
    assert network.beside_statistics() >= point.found - 0.05
    assert found.behind(network) == []  # of no kind that is known here
    assert found.methods[-1].beside == ()  # a rule among others


def test_every_kind_and_level_has_its_layers(evaluation):
    simulated = evaluation.simulated
    method = simulated.methods[0]
    assert method.layers() == simulated.bad
    assert sum(method.layers(statistics=level) for level in list(LEVELS)[:5]) == simulated.bad
    assert {"dead_block", "low_rate", "periodic", WHOLE_SUPERLAYER, BESIDE_HOT_CELL} <= set(simulated.kinds)
    for kind in simulated.kinds:
        assert 0 < method.layers(kind) < simulated.bad
    assert method.share() == dict((one.false_alarms, one.found.value) for one in method.found)[0.01]
    assert method.share("dead_block", "no such level") is None


def test_reliability_counts_the_ordinary_chambers_only_and_ambiguous_layers_nowhere(evaluation):
    simulated = evaluation.simulated
    network = simulated.methods[0]
    ordinary = [one for one in simulated_test_set(CHAMBERS, SEED) if one.ordinary]
    assert len(ordinary) == CHAMBERS // 2
    certain = sum(int(((one.bad == 0) | (one.bad == 1)).sum()) for one in ordinary)
    in_curve = sum(one.layers for one in network.reliability)
    assert 0.5 * certain < in_curve <= certain < 0.7 * (simulated.good + simulated.bad + simulated.unjudged)


def test_the_json_has_no_nan_and_makes_the_same_again(evaluation):
    text = evaluation.model_dump_json()
    assert Evaluation.model_validate_json(text) == evaluation

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(text, parse_constant=refuse)


def test_empty_layers_are_certainly_bad_to_the_network_and_unjudged_ones_count_nowhere(scorer):
    dead, few = counts(), counts(rate=0.5)
    dead[2, CHAMBER.read_out[2]] = 0
    truth = np.zeros(12, np.float32)
    truth[2] = 1
    some = [LabelledChamber(Occupancy(CHAMBER, dead), truth), LabelledChamber(Occupancy(CHAMBER, few), truth)]
    found = compare(some, [scorer], [], 1, lambda line: None)
    assert (found.good, found.bad, found.unjudged) == (11, 1, 12)
    assert found.methods[0].area.value == 1
    assert found.methods[0].thresholds[0].found == 1


def test_a_set_without_bad_layers_is_compared_as_far_as_that_goes(scorer):
    good = [LabelledChamber(Occupancy(CHAMBER, counts()), np.zeros(12))]
    found = compare(good, [scorer], yardsticks(fitting_seed(SEED))[-1:], 1, lambda line: None)
    assert found.methods[0].area is None
    assert found.methods[0].thresholds[0].passed + found.methods[0].thresholds[0].false_alarms == 12
    whole = Evaluation(simulator_version=1, seed=1, resamples=1, simulated=found, real=found)
    assert Evaluation.model_validate_json(whole.model_dump_json()) == whole
    assert "12 good and 0 bad layers" in tables(whole)
    assert set(pictures(whole)) == {"reliability"}


def test_a_method_whose_scores_are_the_truth_is_perfect_and_one_of_chance_is_not():
    chambers = simulated_test_set(CHAMBERS, SEED)
    by_bytes = {one.occupancy.to_bytes(): one.bad for one in chambers}
    rng = np.random.default_rng(1)
    methods = [
        Yardstick("truth", "", lambda some, bins: np.nan_to_num([by_bytes[one.to_bytes()] for one in some]), 1),
        *(Yardstick(f"chance {i}", "", lambda some, bins: rng.random((len(some), 12))) for i in range(20)),
    ]
    truth, *chances = compare(chambers, [], methods, 1, lambda line: None).methods
    assert (truth.area.value, truth.area.low) == (1, 1)
    assert all(group.found == (1, 1, 1) for group in truth.groups)
    assert (truth.thresholds[0].missed, truth.thresholds[0].false_alarms) == (0, 0)
    assert sum(one.area.low < 0.5 < one.area.high for one in chances) >= 16  # 19 of 20 are expected
    assert np.mean([one.area.value for one in chances]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("chambers", "seed", "field"), [(49, 1, "chambers"), (50, -1, "seed"), (50, 2**30, "seed")])
def test_what_cannot_be_evaluated_is_refused(chambers, seed, field):
    with pytest.raises(InvalidInput) as error:
        evaluate([], chambers, seed)
    assert error.value.field == field


def test_two_networks_of_one_name_are_refused(scorer):
    with pytest.raises(InvalidInput, match="different models"):
        evaluate([scorer, scorer], 50)


def test_importing_it_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from app.subsystems.dt.learning import evaluation, evaluation_pictures, evaluation_tables\n"
        "heavy = {'tensorflow', 'keras', 'skimage', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


# --- tables and pictures ---


def test_the_tables_are_aligned_and_name_every_method_kind_and_level(evaluation):
    text = tables(evaluation)
    for table in text.split("\n\n"):
        lines = table.splitlines()
        if len(lines) > 2 and lines[1].startswith("─"):
            ends = {len(line) for line in lines if "calibration error" not in line}
            assert len(ends) == 1, table
    for name in [method.name for method in evaluation.simulated.methods] + ["dead block", "whole superlayer", "20–80"]:
        assert name in text
    area = evaluation.simulated.methods[0].area
    assert f"{area.value:.4f}  {area.low:.4f}–{area.high:.4f}" in text


def test_the_pictures_are_svg_with_a_title_and_the_same_bytes_each_time(evaluation):
    drawn = pictures(evaluation)
    assert set(drawn) == {"roc", "reliability", "found-by-kind", "roc-real"}
    assert drawn == pictures(evaluation)
    for picture in drawn.values():
        root = ElementTree.fromstring(picture)
        assert root.tag.endswith("svg")
        assert root.find("{http://www.w3.org/2000/svg}title").text
        assert b"<dc:date" not in picture
    text = "".join(ElementTree.fromstring(drawn["roc"]).itertext())
    for method in evaluation.simulated.methods:
        assert method.name in text
        assert f"{method.area.value:.4f}" in text


def test_the_pictures_leave_no_figure_and_no_setting_behind(evaluation):
    import matplotlib

    before = dict(matplotlib.rcParams)
    pictures(evaluation)
    assert dict(matplotlib.rcParams) == before
    script = (
        "import sys\nfrom pathlib import Path\nfrom app.subsystems.dt.learning.evaluation import Evaluation\n"
        "from app.subsystems.dt.learning.evaluation_pictures import pictures\n"
        "pictures(Evaluation.model_validate_json(sys.stdin.read()))\nassert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, text=True, input=evaluation.model_dump_json())


# --- labelled chambers ---


def test_no_chamber_stands_on_both_sides():
    seeds = [evaluation_seed(seed, stream) for seed in (0, SEED, 2**30 - 1) for stream in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 2**32  # training's are below
    assert max(training._seed(seed, stream) for seed in (1, 2018, 2**32 - 1) for stream in range(3)) < 2**32
    tested = [one.occupancy for one in simulated_test_set(100, SEED)]
    fitted = [one.occupancy for one in simulate_chambers(100, fitting_seed(SEED))]
    trained = [one.occupancy for stream in range(3) for one in simulate_chambers(100, training._seed(SEED, stream))]
    all_of_them = [one.to_bytes() for one in (*tested, *fitted, *trained)]
    assert len(set(all_of_them)) == len(all_of_them) == 500


def test_the_test_set_is_fixed_and_its_first_chambers_are_the_same_in_a_larger_one():
    few, more = simulated_test_set(51, SEED), simulated_test_set(80, SEED)
    for one, other in zip(few, more, strict=False):
        assert one.occupancy.to_bytes() == other.occupancy.to_bytes()
        assert np.array_equal(one.bad, other.bad, equal_nan=True)
        assert (one.kinds, one.ordinary) == (other.kinds, other.ordinary)
    assert (len(few), len(more)) == (51, 80)
    bad = [np.mean([np.nansum(one.bad) for one in more if one.ordinary is kind]) for kind in (True, False)]
    assert bad[0] < bad[1]


def test_a_layer_is_of_each_kind_that_alone_makes_it_bad():
    defects = (
        Defect(DefectKind.DEAD_BLOCK, (1, 2, 3, 4), 10, 20, 0.0),
        Defect(DefectKind.LOW_RATE, (2,), 1, 49, 0.5),
        Defect(DefectKind.HOT_CELL, (2, 9), 5, 5, 50.0),
        Defect(DefectKind.DEAD_PAIR, (7,), 3, 4, 0.0),
    )
    empty = np.zeros((12, CHAMBER.columns))
    simulated = SimulatedChamber(Occupancy(CHAMBER, counts()), empty, label(CHAMBER, defects), defects)
    found = kinds(simulated)
    assert found[0] == {"dead_block", WHOLE_SUPERLAYER}
    assert found[1] == {"dead_block", "low_rate", BESIDE_HOT_CELL, WHOLE_SUPERLAYER}
    assert all(not some for some in found[4:])  # a hot cell in a good layer and a dead pair make nothing bad


def written(tmp_path, *chambers):
    path = tmp_path / "real.json"
    path.write_text(json.dumps({"chambers": chambers}))
    return path


def chamber_as_json(**changed):
    return {"wheel": 0, "station": 1, "sector": 1, "matrix": counts().tolist(), "label": "good", **changed}


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        ("good", []),
        ("human labels: 12 good layers", []),
        ("HV fault layer 9 (3200 V), CNN: 0 bad layers", [9]),
        ("CNN: 4 bad layers (SL2 half dead: layers 5-8)", [5, 6, 7, 8]),
        ("human labels: exactly 1 bad layer (layer 1 has the dead block)", [1]),
        ([3, 12], [3, 12]),
        ([], []),
        ("bad", None),
        ("CNN: 0 bad layers", None),
    ],
)
def test_labels_say_which_layers_are_bad_or_nothing(tmp_path, words, bad):
    (one,) = read_labelled(written(tmp_path, chamber_as_json(label=words)))
    expected = np.full(12, np.nan) if bad is None else np.isin(np.arange(1, 13), bad)
    assert np.array_equal(one.bad, expected, equal_nan=True)
    assert one.occupancy.to_bytes() == counts().astype("<i4").tobytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": "fine"}, "label of chamber 2 of real.json is 'fine', but must be a list of the bad layers"),
        ({"label": "layers 8-5"}, "'layers 8-5', but must be a list"),
        ({"label": "layer 13"}, "about layers that W0 St1 Sec1 has"),
        ({"label": [True]}, "but must be a list of the bad layers"),
        ({"label": None}, "label of chamber 2 of real.json is None"),
        ({"wheel": 7}, "chamber 2 of real.json is .*, but must be one of the 250 .*wheel is 7"),
        ({"station": 4, "sector": 9, "label": [5]}, "chamber 2 of real.json: .* 12 rows"),
        ({"matrix": [[1, 2]]}, "chamber 2 of real.json: 1 row"),
    ],
)
def test_a_chamber_that_cannot_be_understood_is_named(tmp_path, changed, message):
    with pytest.raises((InvalidInput, UnusableHistogram), match=message):
        read_labelled(written(tmp_path, chamber_as_json(), chamber_as_json(**changed)))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"chambers": []}', '{"chambers": [1]}', '{"chambers": [{}]}'])
def test_a_file_without_labelled_chambers_is_refused(tmp_path, text):
    path = tmp_path / "real.json"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_labelled(path)
    with pytest.raises(InvalidInput, match="No such file"):
        read_labelled(tmp_path / "missing.json")


def test_layers_that_a_chamber_does_not_have_are_neither_good_nor_bad(tmp_path):
    chamber = Chamber(wheel=0, station=4, sector=9)
    matrix = np.where(chamber.read_out, 5, -1).tolist()
    (one,) = read_labelled(written(tmp_path, chamber_as_json(station=4, sector=9, matrix=matrix)))
    assert np.isnan(one.bad).tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_the_real_chambers_are_read_and_compared(shared_data, scorer):
    real = read_labelled(shared_data / "dt" / "chambers.json")
    assert len(real) == 85
    assert sum(int(np.nansum(one.bad)) for one in real) == 7  # four half dead, one block, two voltages
    found = compare(real, [scorer], yardsticks(fitting_seed(SEED)), SEED, lambda line: None)
    assert (found.bad, found.unjudged) == (7, 0)
    assert found.good > 900
    assert found.kinds == ()
    assert found.methods[0].share(ALL_KINDS) > 0.5
