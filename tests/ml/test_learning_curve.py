import numpy as np
import pytest

from app.errors import Conflict, TooFewLabels
from app.ml.models import Composition
from app.subsystems.dt.learning.learning_curve import learning_curve
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import simulate_chambers
from config import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_simulated(monkeypatch):
    """Few simulated chambers besides: what is asked here does not hang on them."""
    monkeypatch.setattr("app.subsystems.dt.learning.learning_curve.SIMULATED", 300)


@pytest.fixture(scope="module")
def scorer():
    return Scorer(ROOT / "models" / "row-cnn-1")


@pytest.fixture(scope="module")
def labelled():
    return [(one.occupancy, np.round(one.bad)) for one in simulate_chambers(60, seed=3, faulty=0.6)]


def test_every_subset_is_measured_on_the_same_test_and_the_first_point_is_the_model_itself(scorer, labelled):
    told = []
    points = learning_curve(scorer, labelled[:25], labelled[25:], told.append)
    assert [point.labels for point in points] == [0, 10, 20, 25]
    assert len(told) == 12
    assert all(0.5 < point.area <= 1 for point in points)


def test_too_few_labels_or_a_model_that_learnt_from_labels_are_refused(scorer, labelled):
    with pytest.raises(TooFewLabels, match="9 of at least 10 chambers for training"):
        learning_curve(scorer, labelled[:9], labelled[25:])
    good = [(occupancy, np.where(np.isnan(bad), bad, 0)) for occupancy, bad in labelled[25:]]
    with pytest.raises(TooFewLabels, match="0 bad layers"):
        learning_curve(scorer, labelled[:25], good)
    with pytest.raises(TooFewLabels):
        learning_curve(scorer, labelled[:25], [])
    taught = scorer.at(0.5)
    labels = Composition.model_construct(split="split 1")
    trained_on = scorer.card.trained_on.model_copy(update={"labels": labels})
    taught.card = scorer.card.model_copy(update={"trained_on": trained_on})
    with pytest.raises(Conflict, match="was trained on labels"):
        learning_curve(taught, labelled[:25], labelled[25:])
