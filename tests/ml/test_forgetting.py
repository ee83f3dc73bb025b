"""What a candidate forgot is found by kind of fault, and refused until an expert overrides it."""

import shutil

import pytest

from app.domain.models import ModelState
from app.errors import Conflict, InvalidInput
from app.ml.models import CARD_FILE, MODEL_FILE, load_card, sha256
from app.subsystems.dt.learning.forgetting import LEAST_LAYERS, Forgetting, KindFound, check
from app.subsystems.dt.learning.scoring import Scorer
from config import ROOT

pytestmark = pytest.mark.slow

MODELS = ROOT / "models"


@pytest.fixture(scope="module")
def found():
    """The row network as if it were to replace the better one."""
    scorers = [Scorer(MODELS / name) for name in ("row-cnn-1", "chamber-scan-1")]
    return check(*scorers, chambers=500, tolerance=0.03, report=lambda line: None)


def test_the_kinds_that_a_candidate_does_not_see_are_forgotten(found):
    kinds = {kind.kind: kind for kind in found.kinds}
    assert {"all", "low_rate", "dead_block"} <= kinds.keys()
    assert "dead_pair" not in kinds  # too few of them
    assert min(kind.layers for kind in found.kinds) >= LEAST_LAYERS
    assert kinds["low_rate"] in found.forgotten
    assert kinds["low_rate"].lost > 0.5
    assert str(found).startswith("finds less than chamber-scan-1 beyond the tolerance of 3.0%: ")
    assert Forgetting.model_validate(found.model_dump(mode="json")) == found


def test_what_is_within_the_tolerance_is_not_forgotten():
    kinds = [KindFound(kind=kind, layers=99, active=0.9, candidate=share) for kind, share in (("a", 0.85), ("b", 0.84))]
    found = Forgetting(against="x", chambers=1, seed=1, tolerance=0.055, kinds=tuple(kinds))
    assert [kind.kind for kind in found.forgotten] == ["b"]
    assert not found.model_copy(update={"tolerance": 0.07}).forgotten


def test_a_candidate_that_forgot_is_refused_until_an_expert_overrides_it_with_a_reason(driftwatch, found, tmp_path):
    folder = tmp_path / "row-cnn-1"  # a name that is taken: it gets another
    shutil.copytree(MODELS / "row-cnn-1", folder)
    (folder / MODEL_FILE).write_bytes(b"another file")
    card = load_card(folder).model_copy(update={"sha256": sha256(folder / MODEL_FILE)})
    (folder / CARD_FILE).write_text(card.model_dump_json())
    model = driftwatch.models.add_candidate(folder, found, by="eva")
    name = model.name
    assert (name, model.state, model.refused) == ("row-cnn-2", ModelState.REFUSED, True)
    assert Forgetting.model_validate(model.check) == found
    with pytest.raises(Conflict, match="is refused"):
        driftwatch.activate(name, by="eva")
    driftwatch.retire(name, by="eva")
    with pytest.raises(Conflict, match="is refused"):  # to retire it is no way round
        driftwatch.activate(name, by="eva")
    for reason in ("", "  ", "x" * 2001):
        with pytest.raises(InvalidInput):
            driftwatch.override_refusal(name, reason, by="eva")
    with pytest.raises(Conflict, match="not refused"):
        driftwatch.override_refusal("row-cnn-1", "why not", by="eva")
    model = driftwatch.override_refusal(name, " needed for a comparison ", by="eva")
    assert (model.refused, model.override["by"], model.override["reason"]) == (False, "eva", "needed for a comparison")
    event = driftwatch.store.events.of_models(name)[0]
    assert (event["what"], event["reason"]) == ("model refusal overridden", "needed for a comparison")
    assert driftwatch.activate(name, by="eva").state is ModelState.ACTIVE
    assert Forgetting.model_validate(driftwatch.models.get(name).check) == found
