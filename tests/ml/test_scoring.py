import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.domain.judgement import Verdict
from app.errors import ModelRefused
from app.ml.backend import keras, numpy_2_forgiven
from app.ml.models import CARD_FILE, MODEL_FILE, load_card
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.preprocess import BINS, layer_bins, row_scaled
from app.subsystems.dt.simulate import RICH, simulate_chambers, simulate_run
from config import ROOT

pytestmark = pytest.mark.slow

SHIPPED = ROOT / "models" / "row-cnn-1"


@pytest.fixture(scope="module")
def scorer():
    return Scorer(SHIPPED)


@pytest.fixture(scope="module")
def chambers():
    return simulate_chambers(300, seed=99, faulty=RICH)


@pytest.fixture(scope="module")
def occupancies(chambers):
    return [simulated.occupancy for simulated in chambers]


def refused(tmp_path, network, **card_fields):
    """Put a network in place of the shipped one, with a card that has its sha256."""
    folder = shutil.copytree(SHIPPED, tmp_path / SHIPPED.name)
    if isinstance(network, bytes):
        (folder / MODEL_FILE).write_bytes(network)
    else:
        with numpy_2_forgiven():
            network.save(folder / MODEL_FILE)
    card = json.loads((folder / CARD_FILE).read_text())
    digest = hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest()
    (folder / CARD_FILE).write_text(json.dumps({**card, "sha256": digest, **card_fields}))
    return folder


def assert_alike(judgements, expected):
    """The same but for float32 rounding: how a batch is cut up depends on its size and on the threads."""
    assert [j.verdicts for j in judgements] == [j.verdicts for j in expected]
    scores, wanted = (np.array([j.scores for j in some], float) for some in (judgements, expected))  # None is NaN
    assert np.allclose(scores, wanted, rtol=0, atol=1e-6, equal_nan=True)


def test_importing_it_imports_no_tensorflow():
    script = (
        "import sys, app.subsystems.dt.learning.scoring, app.subsystems.dt.learning.training, app.ml.models\n"
        "heavy = {'tensorflow', 'keras', 'skimage', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_scores_are_those_of_the_network_in_the_file_on_scaled_rows(scorer, occupancies):
    network = keras().saving.load_model(SHIPPED / MODEL_FILE, compile=False)
    judgements = scorer.judge(occupancies)
    rows = row_scaled(layer_bins(occupancies))
    for i in range(0, 300, 13):
        for layer, verdict in enumerate(judgements[i].verdicts):
            if verdict in (Verdict.GOOD, Verdict.BAD):
                expected = network(rows[i, layer][None]).numpy()[0, 1]
                assert judgements[i].scores[layer] == pytest.approx(expected, abs=1e-6)


def test_a_score_does_not_depend_on_what_else_is_in_the_batch(scorer, occupancies):
    together = scorer.judge(occupancies)
    for i in range(0, 300, 7):
        assert_alike(scorer.judge([occupancies[i]]), [together[i]])


def test_every_score_is_a_finite_share_with_the_verdict_that_the_threshold_gives_it(scorer, occupancies):
    seen = set()
    for judgement in scorer.judge(occupancies):
        seen |= set(judgement.verdicts)
        for score, verdict in zip(judgement.scores, judgement.verdicts, strict=True):
            if score is None:
                assert verdict in (Verdict.ABSENT, Verdict.UNJUDGED)
            else:
                assert isinstance(score, float)
                assert 0 <= score <= 1
                assert (verdict is Verdict.GOOD) == (score < scorer.card.threshold)
    assert seen == set(Verdict)


def test_the_order_of_the_chambers_is_kept(scorer, occupancies):
    assert_alike(scorer.judge(occupancies[::-1])[::-1], scorer.judge(occupancies))


def test_no_chambers_and_chambers_without_hits_need_no_network(scorer):
    chamber = Chamber(wheel=0, station=1, sector=1)
    nothing = Occupancy(chamber, np.where(chamber.read_out, 0, NO_CELL).astype(np.int32))
    assert scorer.judge([]) == []
    assert scorer.judge([nothing])[0].scores == (None,) * 12


def test_threads_that_share_a_scorer_get_their_own_scores(scorer):
    runs = [[s.occupancy for s in simulate_run(run).values()] for run in (1, 2, 3, 4)]
    expected = [scorer.judge(run) for run in runs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for judgements, wanted in zip(pool.map(scorer.judge, runs), expected, strict=True):
                assert_alike(judgements, wanted)


def test_it_finds_dead_blocks_and_leaves_good_layers_alone(scorer):
    chamber = Chamber(wheel=0, station=1, sector=1)
    rng = np.random.default_rng(5)
    good, dead = [], []
    for _ in range(200):
        counts = np.where(chamber.read_out, rng.poisson(40, chamber.read_out.shape), NO_CELL)
        good.append(Occupancy(chamber, counts))
        counts = counts.copy()
        first = rng.integers(1, 33)
        counts[6, first : first + 12] = 0
        dead.append(Occupancy(chamber, counts))
    assert np.mean([j.verdicts[6] is Verdict.BAD for j in scorer.judge(dead)]) > 0.97
    assert np.mean([j.bad for j in scorer.judge(good)]) / 12 < 0.005


def test_real_dead_blocks_are_bad_and_of_real_good_layers_few(scorer, shared_data):
    real = json.loads((shared_data / "dt" / "chambers.json").read_text())["chambers"]
    chambers = [Chamber(wheel=one["wheel"], station=one["station"], sector=one["sector"]) for one in real]
    judgements = scorer.judge(
        [Occupancy.from_rows(chamber, one["matrix"]) for chamber, one in zip(chambers, real, strict=True)]
    )
    by_label = {one["label"]: judgement for one, judgement in zip(real, judgements, strict=True)}
    half_dead = next(j for label, j in by_label.items() if "SL2 half dead" in label)
    one_block = next(j for label, j in by_label.items() if "layer 1 has the dead block" in label)
    assert [i for i, v in enumerate(half_dead.verdicts, start=1) if v is Verdict.BAD] == [5, 6, 7, 8]
    assert [i for i, v in enumerate(one_block.verdicts, start=1) if v is Verdict.BAD] == [1]
    good = [j for one, j in zip(real, judgements, strict=True) if one["label"] == "good"]
    layers = sum(score is not None for judgement in good for score in judgement.scores)
    assert layers > 800
    assert sum(judgement.bad for judgement in good) / layers < 0.006  # as the networks of 2018: 11 of 1,824


def test_an_unknown_architecture_on_the_card_is_refused(tmp_path):
    folder = refused(tmp_path, (SHIPPED / MODEL_FILE).read_bytes(), architecture="resnet")
    with pytest.raises(ModelRefused, match=r"row-cnn-1 cannot be used: architecture is 'resnet'"):
        Scorer(folder)


def test_a_changed_file_is_refused_before_it_is_loaded(tmp_path):
    folder = shutil.copytree(SHIPPED, tmp_path / SHIPPED.name)
    (folder / MODEL_FILE).write_bytes(b"not even an archive")
    with pytest.raises(ModelRefused, match="sha256"):
        Scorer(folder)


@pytest.mark.parametrize("length", [0, 100, 20_000])
def test_a_file_that_is_its_cards_but_no_network_is_refused(tmp_path, length):
    folder = refused(tmp_path, (SHIPPED / MODEL_FILE).read_bytes()[:length])
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        Scorer(folder)


def test_a_network_that_runs_code_of_its_own_is_refused(tmp_path):
    network = keras().Sequential([keras().Input((BINS,)), keras().layers.Lambda(lambda x: x[:, :2])])
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        Scorer(refused(tmp_path, network))


def test_a_network_of_another_shape_is_refused(tmp_path):
    network = keras().Sequential([keras().Input((BINS,)), keras().layers.Dense(3, activation="softmax")])
    with pytest.raises(ModelRefused, match=r"gives \(None, 3\)"):
        Scorer(refused(tmp_path, network))


def test_a_network_that_gives_nan_is_refused_and_the_nan_never_leaves(tmp_path, occupancies):
    network = architecture("row-cnn").build()
    network.set_weights([np.full_like(weights, np.nan) for weights in network.get_weights()])
    with pytest.raises(ModelRefused, match="gave nan for a score"):
        Scorer(refused(tmp_path, network)).judge(occupancies[:5])


def test_the_version_is_the_models_name(scorer):
    assert scorer.version == "row-cnn-1" == load_card(SHIPPED).name


@pytest.mark.parametrize("name", ["chamber-scan-1", "row-cnn-1"])
def test_the_embedding_is_of_the_least_certain_layer_and_the_last_step_makes_its_score_of_it(name):
    scorer = Scorer(ROOT / "models" / name)
    occupancies = [simulated.occupancy for simulated in list(simulate_run(302635).values())[:40]]
    kernel, bias = scorer._network.layers[-1].get_weights()
    for judgement in scorer.judge(occupancies):
        hidden = np.frombuffer(judgement.embedding, np.float16).astype(np.float64)
        odds = np.exp(hidden @ kernel + bias)
        seen = [s for s, v in zip(judgement.scores, judgement.verdicts, strict=True) if v in ("good", "bad")]
        assert odds[1] / odds.sum() == pytest.approx(min(seen, key=lambda s: abs(0.5 - s)), abs=0.02)


def test_a_chamber_that_no_network_saw_has_no_embedding(scorer):
    chamber = Chamber(0, 1, 1)
    (judgement,) = scorer.judge([Occupancy(chamber, np.where(chamber.read_out, 0, -1))])
    assert judgement.embedding is None
