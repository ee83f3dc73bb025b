"""The page of a training follows it without a reload, until it has ended."""

import labelled_chambers
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.labelled_items import Choice, labelled_items

LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@pytest.fixture
def labelled(app):
    driftwatch = app.extensions["driftwatch"]
    labelled_chambers.label_all(driftwatch)
    return driftwatch


def test_losses_arrive_and_stop_goes_when_it_has_ended(app, labelled, serve, page, sign_in):
    url = serve(app)
    sign_in(page, "expert", "eva", at=url)
    page.goto(f"{url}/models/")
    page.get_by_label("Simulated chambers").fill("500")
    page.get_by_role("button", name="Train a candidate").click()
    expect(page.get_by_role("heading", name="Training of a chamber-scan")).to_be_visible()

    jobs = labelled.store.jobs
    job = jobs.claim("somebody")
    composition = labelled_items(labelled.store, Choice()).composition.model_dump(mode="json")
    jobs.note(job, losses=[[1, 0.5, 0.6]], epochs=10, labels=composition)
    expect(page.get_by_text("of at most 10")).to_be_visible()
    page.get_by_text("Numbers").click()
    jobs.note(job, losses=[[1, 0.5, 0.6], [2, 0.3, 0.55]])
    expect(page.get_by_role("cell", name="0.30000")).to_be_visible()  # what was opened stays open
    assert Axe().run(page, options=LEVELS).response["violations"] == []

    jobs.note(job, model="row-cnn-1")
    jobs.end(job, "done")
    expect(page.get_by_role("link", name="row-cnn-1")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("Training: done")


def test_stop_stops_it(app, labelled, serve, page, sign_in):
    url = serve(app)
    sign_in(page, "expert", "eva", at=url)
    job = labelled.train(Plan(chambers=500), by="eva")
    page.goto(f"{url}/models/training/{job.id}/")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped; nothing of it is kept.")).to_be_visible()
    assert not labelled.store.jobs.get(job.id).active


def test_beside_the_form_stands_how_many_labels_would_count_of_the_runs_that_are_chosen(
    app, labelled, serve, page, sign_in
):
    url = serve(app)
    sign_in(page, "expert", "eva", at=url)
    page.goto(f"{url}/models/")
    expect(page.get_by_text("76 of 76 labelled chambers would count")).to_be_visible()
    assert Axe().run(page, options=LEVELS).response["violations"] == []
    page.get_by_label("Labels of runs").fill("302644-302645")
    expect(page.get_by_text("28 of 28 labelled chambers would count")).to_be_visible()
    expect(page.get_by_text("Too few labels: training has 0 of at least 20 chambers")).to_be_visible()
    page.get_by_label("Labels of runs").fill("302644-")
    expect(page.get_by_text("it must be a run or a range of runs")).to_be_visible()
    page.get_by_label("Labels of runs").fill("")
    expect(page.get_by_text("76 of 76 labelled chambers would count")).to_be_visible()
