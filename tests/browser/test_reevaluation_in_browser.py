"""The page of the re-evaluations keeps itself up to date while one is under way."""

import pytest
from playwright.sync_api import expect
from queue_of_chambers import PLACES, RUN, load


@pytest.fixture
def scored(driftwatch):
    for run in (RUN, RUN + 1):
        load(driftwatch, {PLACES[0]: {7: 0.51}}, run)
    driftwatch.activate("row-cnn-1", by="eve")
    return driftwatch


def test_progress_comes_without_loading_the_page_and_the_end_is_shown(page, app, scored, serve, sign_in):
    url = serve(app)
    sign_in(page, "admin", "root", at=url)
    page.goto(f"{url}/reevaluations/")
    page.get_by_role("button", name="Re-evaluate all runs").click()
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("value", "0")
    page.evaluate("window.notLoadedAgain = true")
    opened = scored.store.reevaluations.opened()
    scored.store.reevaluations.note(opened.id, opened.model, 1, 2)
    expect(bar).to_have_attribute("value", "1")
    expect(page.get_by_text("1 of 2 runs")).to_be_visible()
    assert page.evaluate("window.notLoadedAgain")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    scored.reevaluations.cancel(opened.id, by="root")
    expect(page.get_by_text("cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Re-evaluate all runs")).to_be_visible()
