from datetime import UTC, datetime

from app.domain.models import Model, ModelState
from app.domain.thresholds import SetThreshold
from app.ml import cards
from app.ml.models import Composition, PartCount, load_card
from app.subsystems.dt.learning.cards import Known
from config import ROOT

AT = datetime(2026, 11, 22, 8, tzinfo=UTC)
CARD = load_card(ROOT / "models" / "chamber-scan-1")
COMPOSITION = Composition(
    split="split 1",
    runs="302634-302640",
    resolved_only=False,
    labelled=60,
    parts={"training": PartCount(items=40, runs=3, places=30, good=400, bad=35, soft=2)},
    left_out={"skipped": 4},
    layers_left_out=1,
    states={"labelled": 58, "disputed": 2},
    people={"ann": 41, "b|b": 19},
    strategies={"certain": 50, "random": 10},
    drawn=15,
    not_represented=12,
    digest="0",
)


def known(card=CARD, thresholds=()):
    model = Model(card.name, card.model_dump(mode="json"), card.sha256, ModelState.CANDIDATE, AT, "ann")
    return Known(model, card, list(thresholds))


def test_a_card_says_what_the_model_learnt_from_and_what_it_cannot():
    text = cards.markdown(known())
    assert text.startswith("# chamber-scan-1\n")
    for words in (
        CARD.sha256,
        CARD.trained_on.command,
        f"version {CARD.trained_on.simulator_version}",
        "not known",
        "has seen no real chamber",
    ):
        assert words in text
    assert "## Labels" not in text
    assert "It was not evaluated by kind of fault and statistics." in text


def test_labels_are_counted_with_who_gave_them():
    more = {"simulated_weight": 1.0, "went_on_from": "chamber-scan-1", "contradicted": 1_234}
    trained_on = CARD.trained_on.model_copy(update={"labels": COMPOSITION, **more})
    text = cards.markdown(known(CARD.model_copy(update={"trained_on": trained_on})))
    assert "| Labels by | ann 41, b\\|b 19 |" in text  # a name does not break the table
    assert "40 chambers of 3 runs: 35 bad, 400 good and 2 disputed layers" in text
    assert "| Went on from | chamber-scan-1 |" in text
    assert "| Simulated layers that gave way to labels | 1,234 |" in text
    assert "12 chambers of the labelled runs are unlike any labelled one" in text
    assert "has seen no real chamber" not in text


def test_the_threshold_that_was_set_last_stands_in_place_of_the_card_s():
    first, last = (
        SetThreshold("chamber-scan-1", "shifter", score, 0.5, why, "ann", AT, false_alarms=rate)
        for score, why, rate in ((0.6, "first try", 0.002), (0.7, "quieter", 0.001))
    )
    uses = {one.use: one for one in cards.uses(known(thresholds=[last, first]))}
    assert (uses["shifter"].score, uses["shifter"].false_alarms, uses["shifter"].set) == (0.7, 0.001, last)
    assert (uses["alarm"].score, uses["alarm"].set) == (CARD.thresholds["alarm"].score, None)
    text = cards.markdown(known(thresholds=[last, first]))
    assert "by ann: quieter" in text
    assert "first try" not in text


def test_a_model_from_elsewhere_says_so():
    card = CARD.model_copy(update={"trained_on": None, "figures": None, "figures_all_faults": None, "origin": "2018"})
    text = cards.markdown(known(card))
    assert "2018" in text
    assert "trained elsewhere: on what is not known" in text
