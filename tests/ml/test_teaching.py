"""People's labels win over the simulator's opinion, and only where they speak."""

from dataclasses import replace

import numpy as np
import pytest

from app.domain.judgement import Verdict
from app.domain.labels import LabelState
from app.ml.models import Composition, default_model, load_card
from app.ml.split import Split
from app.subsystems.dt import faults, simulate
from app.subsystems.dt.defects import Defect, DefectKind
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.learning import training
from app.subsystems.dt.learning.forgetting import check
from app.subsystems.dt.learning.histogram_file import InMemory
from app.subsystems.dt.learning.labelled_items import LabelledItem, LabelledSet
from app.subsystems.dt.learning.samples import Sample
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.learning.teaching import Taught, contradicted, settled
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.profiles import typical
from app.subsystems.dt.verdict import judge_before
from config import ROOT

pytestmark = pytest.mark.slow

ACTIVE = default_model(ROOT / "models")
COMPOSITION = Composition(
    split="by hand",
    runs="",
    resolved_only=False,
    labelled=120,
    parts={},
    left_out={},
    layers_left_out=0,
    states={},
    people={},
    strategies={},
    drawn=0,
    not_represented=0,
    digest="",
)


def layers(bad):
    bad = np.array(bad, np.float32)
    return Sample(np.arange(len(bad), dtype=np.float32)[:, None], bad, np.ones(len(bad), bool), np.ones(len(bad)))


def test_what_is_ambiguous_to_the_simulator_is_as_labels_have_it_and_what_is_certain_stays():
    some = layers([0, 1, 0.4, 0.4, 0.4, 0.8, 0.8, 1])
    says = np.array([0.9, 0.1, 0.7, 0.5, 0.1, 0.9, 0.4, 0.2])
    against = np.array([False] * 7 + [True])
    found = settled(some, says, against)
    assert found.inputs[:, 0].tolist() == [0, 1, 2, 3, 5]  # 4 and 6 turned out good, labels contradict 7
    assert np.allclose(found.bad, [0, 1, 1, 0.4, 0.8])


def test_certainty_gives_way_only_where_all_labels_of_layers_like_it_say_otherwise():
    rng = np.random.default_rng(3)
    centres = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])

    def around(which, number):
        return centres[which] + rng.normal(0, 0.3, (number, 2))

    # Here people say good, there bad, there now this and now that; nobody labelled the last.
    labelled = np.concatenate([around(0, 30), around(1, 30), around(2, 30)])
    said = np.array([0.0] * 30 + [1.0] * 30 + [0.0, 1.0] * 15)
    of = np.repeat([0, 1, 2, 3], 50)
    embedded = np.concatenate([around(which, 50) for which in range(4)])
    for thought in (0.0, 1.0):
        found = contradicted(embedded, np.full(200, thought), labelled, said)
        shares = [found[of == which].mean() for which in range(4)]
        agreeing, against = (0, 1) if thought == 0 else (1, 0)
        assert shares[agreeing] == 0
        assert shares[against] > 0.6
        assert shares[2] < 0.2
        assert shares[3] == 0
    assert not contradicted(embedded, np.ones(200), labelled[:3], said[:3]).any()  # too few


def item(number, one, part, bad):
    """A chamber that somebody labelled."""
    place = one.occupancy.chamber
    before = judge_before([one.occupancy], layer_bins([one.occupancy]))
    targets = np.array([np.nan if np.isnan(p) else row in bad for row, p in enumerate(one.bad)], np.float32)
    said = {row + 1: float(p) for row, p in enumerate(targets) if not np.isnan(p)}
    known = (number, place, LabelState.LABELLED, said, part, "certain", False, ("ann",))
    return LabelledItem(*known, histogram=InMemory(one.occupancy), targets=targets, open=before.open[0])


def with_a_short_block(seed, number):
    """Chambers of which one layer has five adjacent dead cells: ambiguous to the simulator."""
    drawn = []
    for i in range(number):
        rng = np.random.default_rng((seed, i))
        chamber = all_chambers()[int(rng.integers(250))]
        layer = faults._any_layer(chamber, rng)
        first = layer.first_cell + int(rng.integers(layer.cells - 4))
        block = Defect(DefectKind.DEAD_PAIR, (layer.number,), first, first + 4, 0.0)
        drawn.append(simulate._simulated(chamber, typical(chamber, 40.0, rng), (block,), 0.3, rng))
    return drawn


def rows_of(one):
    return {layer - 1 for defect in one.defects if defect.kind is DefectKind.DEAD_PAIR for layer in defect.layers}


def called_bad(scorer, chambers):
    judged = scorer.judge([one.occupancy for one in chambers])
    return np.mean([judged[i].verdicts[row] is Verdict.BAD for i, one in enumerate(chambers) for row in rows_of(one)])


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A candidate of chambers whose short blocks people call bad, which goes on from the active model."""
    chambers = with_a_short_block(1, 120)
    assert all(0 < one.bad[row] < 1 for one in chambers for row in rows_of(one))
    parts = [Split.TRAINING] * 90 + [Split.VALIDATION] * 20 + [Split.TEST] * 10
    items = tuple(item(i, one, part, rows_of(one)) for i, (one, part) in enumerate(zip(chambers, parts, strict=True)))
    labelled = LabelledSet(items, COMPOSITION)
    folder = tmp_path_factory.mktemp("models") / "taught-1"
    told = []
    name = load_card(ACTIVE).architecture
    training.train(name, 5, folder, 2_500, told.append, taught=Taught(labelled, 3.0, ACTIVE))
    return folder, items, told


@pytest.mark.soak
def test_what_people_call_bad_is_called_bad_where_the_simulator_is_in_doubt(taught):
    folder, _, told = taught
    fresh = with_a_short_block(2, 60)
    assert called_bad(Scorer(ACTIVE), fresh) < 0.5
    assert called_bad(Scorer(folder), fresh) >= 0.95
    card = load_card(folder)
    assert card.trained_on.went_on_from == ACTIVE.name
    assert card.trained_on.contradicted > 0
    assert card.figures_labelled.bad_layers == 10
    assert any("simulated layers give way to labels" in line for line in told)


@pytest.mark.soak
def test_no_other_kind_of_fault_is_forgotten_for_that(taught):
    """Of few layers of a kind, all of a superlayer bad together, one chamber more or less is several per cent."""
    folder, items, _ = taught
    found = check(Scorer(folder), Scorer(ACTIVE), 2_000, 0.1, lambda line: None, items)
    assert not found.forgotten, str(found)


@pytest.mark.soak
def test_what_people_call_good_is_not_held_against_a_candidate(taught):
    """People call low rates good; the candidate that is checked does not see them. Without labels it is refused."""
    _, items, _ = taught
    low = simulate.simulate_chambers(600, 9, 1.0, set(faults.FAULTS) - {DefectKind.LOW_RATE})
    good = [item(1_000 + i, one, Split.TRAINING, ()) for i, one in enumerate(low)]
    scorers = [Scorer(ROOT / "models" / "row-cnn-1"), Scorer(ACTIVE)]

    def low_rates(labelled):
        found = check(*scorers, 1_000, 0.05, lambda line: None, labelled)
        return found.left_out, next((kind.layers for kind in found.kinds if kind.kind == "low_rate"), 0)

    (none, before), (left_out, after) = low_rates(()), low_rates([replace(one) for one in (*items, *good)])
    assert none == 0
    assert left_out > 0
    assert after <= before - 0.5 * left_out
