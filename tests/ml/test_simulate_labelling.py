import json
from xml.etree import ElementTree

import numpy as np
import pytest

from app import create_app
from app.domain.strategies import DEFAULT, Strategy
from app.errors import InvalidInput
from app.subsystems.dt.learning import evaluation_pictures as pictures
from app.subsystems.dt.learning import simulate_labelling as simulation
from app.subsystems.dt.learning.last_layers import LastLayers
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.simulate_labelling import COMPARED, Curve, Outcome, Setup, simulate_labelling
from config import Settings

pytestmark = pytest.mark.slow

SMALL = Setup(seeds=1, taught=150, runs=4, rate=0.99, steps=(0, 10, 40))


@pytest.fixture(scope="module")
def outcome():
    return simulate_labelling(SMALL, lambda line: None)


@pytest.mark.soak
def test_uncertain_chambers_are_faulty_ones_and_random_chambers_hardly_ever(outcome):
    faulty = {curve.strategy: curve.faulty[-1] for curve in outcome.curves}
    assert faulty[Strategy.CERTAIN] > 10 > 2 * faulty[Strategy.RANDOM]
    assert faulty[Strategy.DIVERSE] > 2 * faulty[Strategy.RANDOM]


@pytest.mark.soak
def test_every_curve_begins_with_the_same_network_and_the_queue_s_labels_make_it_better(outcome):
    assert [curve.strategy for curve in outcome.curves] == list(COMPARED)
    assert len({curve.points[0] for curve in outcome.curves}) == 1
    for curve in outcome.curves:
        assert [labels for labels, _ in curve.points] == [0, 10, 40][: len(curve.points)]
    default = next(curve for curve in outcome.curves if curve.strategy is DEFAULT)
    assert max(found for _, found in default.points[1:]) > default.points[0][1]


def test_a_rate_that_is_not_reached_needs_all_labels_or_more():
    curves = (
        Curve(Strategy.CERTAIN, 1, ((0, 0.5), (10, 0.7), (20, 0.9)), (0, 9, 18)),
        Curve(Strategy.RANDOM, 1, ((0, 0.5), (5, 0.9), (10, 0.5), (20, 0.6)), (0, 1, 1, 1)),  # once, by luck
    )
    outcome = Outcome(Setup(seeds=1, rate=0.8), 20, curves)
    assert outcome.needed(Strategy.CERTAIN) == [pytest.approx(15)]
    assert (outcome.needed(Strategy.RANDOM), outcome.reached(Strategy.RANDOM)) == ([20], 0)
    assert outcome.ratio(Strategy.CERTAIN).value == pytest.approx(0.75)


def test_the_interval_of_a_median_holds_it_and_is_as_wide_as_the_seeds_differ():
    curves = [Curve(Strategy.CERTAIN, i, ((0, 0.0), (10 * i, 1.0)), (0, 0)) for i in range(1, 10)]
    spread = Outcome(Setup(seeds=9, rate=0.5), 100, tuple(curves)).labels(Strategy.CERTAIN)
    assert spread.value == 25
    assert 5 <= spread.low < spread.value < spread.high <= 45


def test_fitting_begins_with_the_same_weights_each_time():
    kind = architecture("row-cnn")
    rng = np.random.default_rng(1)
    inputs, bad = rng.random((300, 47)).astype(np.float32), (rng.random(300) < 0.2).astype(np.float32)
    last_layers = LastLayers(kind.build(), (inputs, bad), (inputs, bad))
    seen = last_layers.seen(inputs, bad)
    before, _ = last_layers.scores(seen.features)
    last_layers.fit(seen, np.random.default_rng(2))
    once, hidden = last_layers.scores(seen.features)
    assert hidden.shape == (300, 8)
    assert not np.allclose(once, before)
    last_layers.fit(seen, np.random.default_rng(2))
    assert np.allclose(last_layers.scores(seen.features)[0], once, atol=1e-5)
    last_layers.reset()
    assert np.allclose(last_layers.scores(seen.features)[0], before)


@pytest.mark.soak
def test_the_command_writes_a_table_or_json_and_a_picture(outcome, tmp_path):
    header, *rows = simulation.table(outcome)
    assert [row[0] for row in rows] == ["certain (default)", "diverse", "random"]
    assert all(len(row) == len(header) for row in rows)
    ElementTree.fromstring(pictures.labels_needed(outcome))
    assert json.loads(json.dumps(simulation.as_document(outcome)))["default"] == "certain"
    app = create_app(Settings(data_dir=tmp_path))
    refused = app.test_cli_runner().invoke(args=["simulate-labelling", "--rate", "1.5"])
    assert refused.exit_code == 1
    assert "rate is 1.5, but must be between 0 and 1" in refused.output


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"runs": 0}, {"rate": 0.0}, {"first_seed": -1}])
def test_what_cannot_be_simulated_is_refused(wrong):
    with pytest.raises(InvalidInput):
        simulate_labelling(Setup(**wrong))
