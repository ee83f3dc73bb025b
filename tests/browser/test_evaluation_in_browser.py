"""A model's page follows its evaluation, and shows the curve when it is there."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from app.ml import models
from app.subsystems.dt.learning import evaluation
from app.subsystems.dt.learning.evaluation_figures import Evaluation
from app.subsystems.dt.learning.known_chambers import LabelledChamber
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import simulate_chambers
from config import ROOT

ROW = ROOT / "models" / "row-cnn-1"
LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@pytest.fixture(scope="module")
def found():
    chambers = [LabelledChamber(one.occupancy, one.bad) for one in simulate_chambers(60, seed=5, faulty=0.6)]
    compared = evaluation.compare(chambers, [Scorer(ROW)], [], 7, lambda line: None)
    return Evaluation(simulator_version=2, seed=7, resamples=200, simulated=compared, real=None)


def test_an_expert_presses_a_button_and_gets_a_curve_to_choose_a_threshold_on(app, found, serve, page, sign_in):
    driftwatch = app.extensions["driftwatch"]
    url = serve(app)
    sign_in(page, "expert", "eva", at=url)
    page.goto(f"{url}/models/{ROW.name}/")
    assert Axe().run(page, options=LEVELS).response["violations"] == []
    page.get_by_role("button", name="Evaluate").click()
    line = page.get_by_role("status")
    expect(line).to_contain_text("waiting for its turn")
    job = driftwatch.store.jobs.claim("somebody")
    driftwatch.store.jobs.note(job, words="the yardsticks are fitted")
    expect(line).to_contain_text("Being evaluated: the yardsticks are fitted")
    assert Axe().run(page, options=LEVELS).response["violations"] == []
    driftwatch.models.keep_evaluation(models.load_card(ROW), found.model_dump_json(), {}, by="eva")
    driftwatch.store.jobs.end(job, "done")
    expect(page.get_by_role("img", name="each point is a threshold")).to_be_visible()
    expect(page.get_by_role("button", name="Evaluate again")).to_be_visible()
