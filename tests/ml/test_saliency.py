"""Maps of influence: complete, exact on the cells, the same each time, and no change to what they explain."""

import numpy as np
import pytest

from app.domain.influence import DEFAULT, Method
from app.errors import InvalidInput
from app.ml.backend import keras
from app.ml.models import named_model
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning import explanation_quality as truth
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.saliency import COMPLETE, Explainer
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.residuals import BINS, FACTS, PARTNER, altered_residuals, layer_residuals
from app.subsystems.dt.simulate import simulate_chambers
from config import ROOT

pytestmark = pytest.mark.slow

CHAMBER = Chamber(wheel=0, station=1, sector=4)
NETWORKS = ("chamber-scan-1", "row-cnn-1")


@pytest.fixture(scope="module")
def explainers():
    return {name: Explainer(Scorer(named_model(ROOT / "models", name))) for name in NETWORKS}


@pytest.fixture(scope="module")
def chambers():
    return [one.occupancy for one in simulate_chambers(12, seed=3, faulty=0.6)]


def with_block(first=20, last=31, layer=6, hits=40, seed=1):
    counts = np.random.default_rng(seed).poisson(hits, (12, CHAMBER.columns))
    counts[layer - 1, first - 1 : last] = 0
    return Occupancy(CHAMBER, np.where(CHAMBER.read_out, counts, -1).astype(np.int32))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", Method)
def test_no_method_gives_influence_where_no_cell_is(explainers, chambers, name, method):
    for occupancy, influence in zip(chambers[:3], explainers[name].explain(chambers[:3], method), strict=True):
        assert influence.cells.shape == occupancy.counts.shape
        assert np.isfinite(influence.cells).all()
        assert not influence.cells[~occupancy.cells].any()
        absent = ~occupancy.cells.any(axis=1)
        assert np.isnan(influence.logit[absent]).all()
        assert not influence.around[absent].any()


@pytest.mark.parametrize("name", NETWORKS)
def test_integrated_gradients_on_the_cells_and_around_them_sum_to_the_difference_of_the_logits(
    explainers, chambers, name
):
    off = []
    for influence in explainers[name].explain(chambers, Method.INTEGRATED_GRADIENTS):
        exists = ~np.isnan(influence.logit)
        total = (influence.cells.sum(axis=1) + influence.around)[exists]
        difference = (influence.logit - influence.expected)[exists]
        off.extend(abs(total - difference) / np.maximum(abs(difference), 0.5))
    assert max(off) <= COMPLETE


@pytest.mark.parametrize("method", [m for m in Method if m is not Method.OCCLUSION])
def test_carrying_back_keeps_the_sum_of_the_bins_where_a_network_sees_nothing_else(explainers, chambers, method):
    for influence in explainers["row-cnn-1"].explain(chambers, method):
        assert np.allclose(influence.cells.sum(axis=1), influence.bins.sum(axis=1), atol=1e-3)
        assert not influence.around.any()


def test_the_default_points_at_a_dead_block_and_at_nothing_else(explainers):
    influence = explainers["chamber-scan-1"].explain([with_block()], DEFAULT)[0]
    row = influence.cells[5]
    assert influence.logit[5] > 0 > influence.logit[3]
    assert 20 <= row.argmax() + 1 <= 31
    assert row[19:31].clip(0).sum() > 0.8 * row.clip(0).sum()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", Method)
def test_twice_the_same_call_gives_the_same_map_and_scores_stay_the_same_to_the_last_bit(
    explainers, chambers, name, method
):
    scorer = Scorer(named_model(ROOT / "models", name))
    explainer = Explainer(scorer)
    before = [judgement.scores for judgement in scorer.judge(chambers)]
    first, second = (explainer.explain(chambers[:2], method, seed=5) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.cells, other.cells)
        assert np.array_equal(one.around, other.around)
    assert [judgement.scores for judgement in scorer.judge(chambers)] == before


@pytest.mark.parametrize("method", Method)
def test_what_else_is_in_the_batch_hardly_matters(explainers, chambers, method):
    alone = explainers["chamber-scan-1"].explain(chambers[1:2], method)[0]
    among = explainers["chamber-scan-1"].explain(chambers[:3], method)[1]
    assert np.allclose(alone.cells, among.cells, atol=1e-2)


@pytest.mark.parametrize("method", [m for m in Method if m is not Method.STUDY_2018])  # which hardly notices
def test_with_other_weights_the_map_is_another(method):
    scorer = Scorer(named_model(ROOT / "models", "chamber-scan-1"))
    trained = Explainer(scorer).explain([with_block()], method)[0].cells
    rng = np.random.default_rng(1)
    scorer.network.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in scorer.network.get_weights()])
    shuffled = Explainer(scorer).explain([with_block()], method)[0].cells
    alike = np.corrcoef(trained[5], shuffled[5])[0, 1]
    assert not alike > 0.9


@pytest.mark.parametrize("method", [Method.INTEGRATED_GRADIENTS, Method.OCCLUSION, Method.SMOOTHGRAD])
def test_where_every_cell_is_as_expected_nothing_has_influence(explainers, method):
    even = Occupancy(CHAMBER, np.where(CHAMBER.read_out, 60, -1).astype(np.int32))
    influence = explainers["chamber-scan-1"].explain([even], method)[0]
    block = explainers["chamber-scan-1"].explain([with_block(hits=60)], method)[0]
    assert abs(influence.cells).max() < 0.02 * abs(block.cells).max()


def test_a_layer_changed_by_itself_gives_what_the_whole_chamber_would_give():
    occupancy = with_block()
    rows = np.array([0, 5, 6, 11])
    counts = np.repeat(occupancy.counts[None].astype(np.float32), 4, axis=0)
    for one, row in zip(counts, rows, strict=True):
        one[row, 8:14] = 77.5
    given = altered_residuals(occupancy, rows, counts[np.arange(4), rows])
    whole = layer_residuals([Occupancy(CHAMBER, one) for one in counts])[np.arange(4), rows]
    others = [channel for channel in range(given.shape[-1]) if channel != PARTNER]
    assert np.array_equal(given[:, :, others][:, :BINS], whole[:, :, others][:, :BINS])
    facts, of_whole = (one[:, BINS:].reshape(len(rows), -1) for one in (given, whole))
    beside_siblings = [36, 37, *range(41, 50), *range(51, 56)]  # ratios, which take the siblings as they are
    own = [fact for fact in range(FACTS) if fact not in beside_siblings]
    assert np.array_equal(facts[:, own], of_whole[:, own])
    assert np.abs(facts[:, beside_siblings] - of_whole[:, beside_siblings]).mean() < 0.05


def test_an_unknown_method_is_refused_with_what_there_is(explainers):
    with pytest.raises(InvalidInput, match=r"method is 'lime', but must be one of integrated_gradients, "):
        explainers["row-cnn-1"].explain([with_block()], "lime")


def test_no_chamber_has_no_map(explainers):
    assert explainers["row-cnn-1"].explain([]) == []


def test_the_network_is_the_one_that_was_saved(explainers):
    """Making an explainer changes no weight."""
    scorer = Scorer(named_model(ROOT / "models", "chamber-scan-1"))
    before = scorer.network.get_weights()
    Explainer(scorer).explain([with_block()])
    assert all(np.array_equal(a, b) for a, b in zip(before, scorer.network.get_weights(), strict=True))
    assert scorer.network.layers[-1].activation is keras().activations.softmax
    assert architecture("chamber-scan").shape == scorer.network.input_shape[1:]


@pytest.mark.soak
def test_the_default_is_the_truest_and_better_than_a_random_order_and_than_2018(explainers, monkeypatch):
    monkeypatch.setattr(truth, "MOST_DELETED_FROM", 30)  # pointing is measured on all blocks
    compared = (DEFAULT, Method.INTEGRATED_GRADIENTS, Method.STUDY_2018)
    found = {line.method: line for line in truth.measure(explainers["chamber-scan-1"], 300, 302_635, compared)}
    best, chance, study = found[DEFAULT], found[truth.RANDOM], found[Method.STUDY_2018]
    assert best.blocks > 30
    assert best.pointed >= 0.95
    assert best.half_inside >= 0.9
    assert best.pointed == max(line.pointed for line in found.values() if line.pointed is not None)
    assert best.pointed > study.pointed
    assert best.half_inside > study.half_inside
    assert best.deletion < chance.deletion
    assert best.insertion > chance.insertion
    assert best.cells_to_good < chance.cells_to_good
    rows = truth.table(list(found.values()))
    assert len({len(row) for row in rows}) == 1


def test_the_sample_has_blocks_alone():
    """A layer with another fault besides, or with an ambiguous block, does not count."""
    for one in simulate_chambers(60, seed=9, faulty=0.6):
        for counted in truth._blocks_of(0, one):
            kinds = {d.kind for d in one.defects if counted.row + 1 in d.layers}
            assert kinds & truth.BLOCKS
            assert kinds <= truth.BLOCKS | truth.HARMLESS
