"""Choosing a threshold on its curve: by pointing, by keys, by typing."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from app.ml import models
from app.subsystems.dt.learning import evaluation
from app.subsystems.dt.learning.evaluation_figures import Evaluation
from app.subsystems.dt.learning.known_chambers import LabelledChamber
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import simulate_chambers
from config import ROOT

ROW = "row-cnn-1"


@pytest.fixture(scope="module")
def served(_made_apps, demo, serve):
    """An application in which a model was evaluated, and its evaluation."""
    app = _made_apps(dqm_url=demo.url)
    driftwatch = app.extensions["driftwatch"]
    driftwatch.models.all()
    chambers = [LabelledChamber(one.occupancy, one.bad) for one in simulate_chambers(80, seed=5, faulty=0.6)]
    found = evaluation.compare(chambers, [Scorer(ROOT / "models" / ROW)], [], 7, lambda line: None)
    kept = Evaluation(simulator_version=2, seed=7, resamples=200, simulated=found, real=None)
    driftwatch.models.keep_evaluation(models.load_card(ROOT / "models" / ROW), kept.model_dump_json(), {}, by="ann")
    return serve(app), kept.of(ROW)


def test_pointing_keys_and_typing_choose_the_same_threshold_and_setting_it_keeps_it(page, served, sign_in):
    url, method = served
    sign_in(page, "expert", at=url)
    page.goto(f"{url}/models/{ROW}/")
    slider, score, rate = page.get_by_role("slider"), page.locator("#score"), page.locator("#rate")
    slider.wait_for()
    assert score.input_value() == "0.5"
    curve = page.locator(".threshold-curve")
    box = curve.bounding_box()
    curve.click(position={"x": box["width"] * 0.3, "y": box["height"] * 0.5})
    pointed = float(score.input_value())
    assert pointed != 0.5
    assert float(rate.input_value()) == pytest.approx(100 * method.meaning(pointed).false_alarms, rel=0.01)
    slider.press("ArrowRight")
    assert float(score.input_value()) < pointed  # one point down the curve: more is called bad
    rate.fill("5")
    chosen = method.for_false_alarms(0.05)
    assert method.meaning(float(score.input_value())).false_alarms == chosen.false_alarms
    assert page.locator("[data-shown=found]").inner_text() == f"{100 * chosen.found:.1f} %"
    page.get_by_label("Why").fill("pointed at")
    page.get_by_role("button", name="Set threshold").click()
    page.get_by_text("by expert: pointed at").wait_for()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_and_passes_axe(page, served, width, colours):
    page.emulate_media(color_scheme=colours)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{served[0]}/models/{ROW}/")
    page.get_by_role("slider").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(page).response["violations"] == []
