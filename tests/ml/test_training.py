import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from app.errors import Conflict, InvalidInput
from app.ml.curves import reliability
from app.ml.models import CARD_FILE, MODEL_FILE, Calibration, load_card, verified_file
from app.subsystems.dt.defects import DefectKind
from app.subsystems.dt.learning import training
from app.subsystems.dt.learning.fitting import log_odds
from app.subsystems.dt.learning.known_chambers import simulated_test_set
from app.subsystems.dt.learning.networks import ARCHITECTURES, architecture
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import RICH, SIMULATOR_VERSION, simulate_chambers
from app.subsystems.dt.verdict import LEAST_HITS_A_CELL
from config import ROOT

pytestmark = pytest.mark.slow

CHAMBERS = training.LEAST_CHAMBERS


@pytest.fixture(scope="module")
def few_epochs():
    """Fitting that ends early: nothing here asks for a good network."""
    kind = ARCHITECTURES["row-cnn"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "row-cnn", replace(kind, recipe=replace(kind.recipe, epochs=6)))
        yield


@pytest.fixture(scope="module")
def trained(few_epochs, tmp_path_factory):
    """A folder with one small model, and what was told meanwhile."""
    folder, told = tmp_path_factory.mktemp("models"), []
    training.train("row-cnn", 3, folder / "one", CHAMBERS, told.append)
    return folder, told


def weights(folder):
    return [w.copy() for w in Scorer(folder)._network.get_weights()]


@pytest.mark.soak
def test_the_same_seed_makes_the_same_weights_and_figures_and_another_seed_others(trained, tmp_path):
    folder, told = trained[0], []
    for name, seed in (("again", 3), ("other", 4)):
        training.train("row-cnn", seed, tmp_path / name, CHAMBERS, told.append)
    all_of_them = (weights(folder / "one"), weights(tmp_path / "again"), weights(tmp_path / "other"))
    for one, again, other in zip(*all_of_them, strict=True):
        assert np.array_equal(one, again)
        assert not np.array_equal(one, other)
    assert load_card(folder / "one").figures == load_card(tmp_path / "again").figures
    assert load_card(folder / "one").figures_all_faults == load_card(tmp_path / "again").figures_all_faults


def test_what_was_written_is_a_model_with_its_card_and_nothing_else(trained):
    folder, _ = trained
    assert [path.name for path in folder.iterdir()] == ["one"]
    assert sorted(path.name for path in (folder / "one").iterdir()) == [CARD_FILE, MODEL_FILE]
    card = load_card(folder / "one")
    verified_file(folder / "one", card)
    assert (card.name, card.architecture, card.parameters) == ("one", "row-cnn", 786)
    assert card.trained_on.simulator_version == SIMULATOR_VERSION
    assert card.trained_on.command == "flask train --architecture row-cnn --seed 3 --chambers 400 --out models/one"
    assert 0 < card.trained_on.bad_layers < card.trained_on.layers < 0.6 * CHAMBERS * 12
    assert card.figures_all_faults.layers >= card.figures.layers
    assert card.figures_all_faults.area_under_roc > 0.5


def test_a_network_does_not_get_to_know_a_kind_that_is_left_out_and_its_card_says_so(few_epochs, tmp_path, monkeypatch):
    """Not in training, validation, calibration or test; it is in the sets that every network is evaluated on."""
    drawn = []

    def simulated(*given):
        drawn.append(simulate_chambers(*given))
        return drawn[-1]

    monkeypatch.setattr(training, "simulate_chambers", simulated)
    without = [DefectKind.PERIODIC, DefectKind.DEAD_HALF]
    card = training.train("row-cnn", 3, tmp_path / "one", CHAMBERS, lambda line: None, without=without)
    monkeypatch.undo()
    assert [len(some) for some in drawn] == [240, 40, 60, 60]
    assert set(without).isdisjoint(defect.kind for some in drawn for one in some for defect in one.defects)
    assert card.trained_on.without == ("dead_half", "periodic")
    assert card.trained_on.left_out.endswith("; faults that were not simulated: dead half, periodic")
    assert card.trained_on.command.endswith("--chambers 400 --without dead_half --without periodic --out models/one")
    kinds = {kind for one in simulated_test_set(200, 1) for layer in one.kinds for kind in layer}
    assert kinds.issuperset(without)


def test_a_network_that_knows_no_fault_at_all_is_not_made(tmp_path):
    with pytest.raises(InvalidInput) as error:
        training.train("row-cnn", 3, tmp_path / "one", CHAMBERS, print, without=list(DefectKind))
    assert error.value.field == "without"


def test_progress_is_told_with_the_balance_of_the_classes(trained):
    _, told = trained
    assert told[0].startswith("training: ")
    assert "of them bad (" in told[0]
    assert any(line.startswith("epoch 1: ") for line in told)
    assert told[-1].endswith("is written")


def test_a_model_that_exists_is_kept_unless_told_otherwise(trained, tmp_path):
    shutil.copytree(trained[0] / "one", tmp_path / "one")
    before = (tmp_path / "one" / CARD_FILE).read_bytes()
    with pytest.raises(Conflict, match="already exists"):
        training.train("row-cnn", 5, tmp_path / "one", CHAMBERS, print)
    assert (tmp_path / "one" / CARD_FILE).read_bytes() == before
    training.train("row-cnn", 5, tmp_path / "one", CHAMBERS, lambda line: None, replace=True)
    assert load_card(tmp_path / "one").trained_on.seed == 5
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"architecture_name": "resnet"}, "architecture"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"chambers": 0}, "chambers"),
        ({"chambers": CHAMBERS - 1}, "chambers"),
        ({"name": "Row CNN"}, "out"),
        ({"name": ".hidden"}, "out"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_nothing(tmp_path, changed, field):
    given = {"architecture_name": "row-cnn", "seed": 1, "chambers": CHAMBERS, "report": print, "name": "new"} | changed
    with pytest.raises(InvalidInput) as error:
        training.train(folder=tmp_path / given.pop("name"), **given)
    assert error.value.field == field
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_no_half_model(tmp_path):
    class Unwritable:
        def save(self, path):
            path.write_bytes(b"half")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        training._written(Unwritable(), load_card(ROOT / "models" / "row-cnn-1"), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_row_network_is_not_shown_layers_of_which_only_the_rate_is_low():
    chambers = simulate_chambers(400, seed=12, faulty=RICH)
    sample = training.sample(architecture("row-cnn"), chambers)
    assert 0 < (~sample.visible).sum() < len(sample.bad) / 10
    assert (sample.bad[~sample.visible] > 0).all()
    with_low_rate = [c for c in chambers if any(d.kind is DefectKind.LOW_RATE for d in c.defects)]
    without = [c for c in chambers if c not in with_low_rate]
    assert training.sample(architecture("row-cnn"), without).visible.all()
    assert not training.sample(architecture("row-cnn"), with_low_rate).visible.all()


def test_a_sample_is_finite_and_has_a_label_for_every_layer():
    sample = training.sample(architecture("row-cnn"), simulate_chambers(400, seed=12, faulty=RICH))
    assert len(sample.inputs) == len(sample.bad) == len(sample.visible) == len(sample.hits)
    assert sample.hits.min() >= LEAST_HITS_A_CELL
    assert np.isfinite(sample.inputs).all()
    assert ((sample.bad >= 0) & (sample.bad <= 1)).all()
    assert sample.inputs.max(axis=1).min() > 0, "an empty layer was shown"


def test_the_area_under_the_curve_is_that_of_the_curve_drawn_point_by_point():
    rng = np.random.default_rng(1)
    for _ in range(20):
        good, bad = rng.integers(0, 12, 60) / 12, rng.integers(3, 14, 25) / 12  # many ties
        cuts = np.unique(np.concatenate((good, bad, [np.inf])))[::-1]
        false = [(good >= cut).mean() for cut in cuts]
        found = [(bad >= cut).mean() for cut in cuts]
        assert figures_of(good, bad).area_under_roc == pytest.approx(np.trapezoid(found, false))


def test_perfect_scores_have_area_one_and_constant_ones_a_half():
    assert figures_of(np.zeros(5), np.ones(3)).area_under_roc == 1
    assert figures_of(np.ones(5), np.zeros(3)).area_under_roc == 0
    assert figures_of(np.zeros(5), np.zeros(3)).area_under_roc == 0.5


def test_at_most_the_allowed_share_of_good_layers_is_above_the_cut_that_finds_so_many():
    good, bad = np.arange(1000) / 1000, np.array([0.5, 0.98, 0.985, 0.9895, 0.99, 0.999])
    figures = figures_of(good, bad)
    assert figures.found_at_1_percent_false_alarms == pytest.approx(3 / 6)  # cut at 0.9895: ten of 1,000 are above


def figures_of(good, bad):
    return training.figures(np.repeat([0.0, 1.0], (len(good), len(bad))), np.concatenate((good, bad)))


def test_ambiguous_layers_do_not_count_in_the_figures():
    scores = np.array([0.1, 0.2, 0.9, 0.8, 0.0])
    figures = training.figures(np.array([0, 0, 1, 1, 0.6]), scores)
    assert (figures.layers, figures.bad_layers, figures.area_under_roc) == (4, 2, 1)
    cut = training.threshold(0.2, np.array([0, 0, 1, 1, 0.6]), scores, np.array([2, 20, 20, 20, 2]))
    assert cut.false_alarms == 0.5
    assert cut.false_alarms_by_hits == {"1.5 to 4": 0, "12 to 50": 1}


def test_calibration_finds_the_temperature_and_the_shift_that_were_applied():
    rng = np.random.default_rng(4)
    true = rng.normal(-2, 3, 60_000)
    bad = (rng.random(true.size) < 1 / (1 + np.exp(-true))).astype(np.float32)
    found = training.calibrated(bad, 1.7 * true + 2.0)
    assert found.temperature == pytest.approx(1.7, rel=0.03)
    assert found.shift == pytest.approx(-2.0 / 1.7, abs=0.06)


def test_a_calibrated_score_is_the_share_of_bad_layers_among_those_that_have_it():
    rng = np.random.default_rng(4)
    scores = rng.random(50_000)
    bins, _ = reliability((rng.random(scores.size) < scores).astype(np.float32), scores)
    assert [one.layers for one in bins] == np.histogram(scores, 10, (0, 1))[0].tolist()
    assert all(one.bad == pytest.approx(one.mean_score, abs=0.03) for one in bins)


def test_folding_the_calibration_into_the_network_divides_and_raises_its_log_odds():
    network = architecture("row-cnn").build()
    rows = np.random.default_rng(1).random((20, 47), np.float32)
    before = log_odds(network, rows)
    training._fold_in(network, Calibration(temperature=2.0, shift=-1.5))
    assert log_odds(network, rows) == pytest.approx(before / 2 - 1.5, abs=1e-4)


def test_the_card_is_plain_json_without_a_path_of_the_machine(trained):
    folder, _ = trained
    text = (folder / "one" / CARD_FILE).read_text()
    json.loads(text)
    assert str(folder) not in text
