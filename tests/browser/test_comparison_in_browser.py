"""Two models side by side in a browser: what opens, what can be chosen, and that it follows a comparison."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from labelled_chambers import RUNS, label_all
from playwright.sync_api import expect
from waiting import wait_until

PAIR = ROW, CHAMBER = "row-cnn-1", "chamber-scan-1"
LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def compared(_made_apps):
    """An application with labelled runs and two models compared, whose background rests."""
    app = _made_apps()
    driftwatch = app.extensions["driftwatch"]
    label_all(driftwatch, RUNS[3:])  # too few for a learning curve, which would take the longest
    driftwatch.start()
    job = driftwatch.compare(*PAIR, runs=2, by="ann", chambers=120)
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    driftwatch.runner.stop()
    return app


@pytest.fixture
def expert(compared, serve, sign_in, page):
    """The page of the comparison, as an expert sees it."""
    url = serve(compared)
    sign_in(page, "expert", "eva", at=url)
    page.goto(f"{url}/models/{ROW}/compare/?with={CHAMBER}")
    return page


def test_axe_finds_nothing_light_and_dark_wide_and_narrow_also_in_what_opens(expert):
    for summary in expert.locator("details > summary").all():
        summary.press("Enter")
    for size in ({"width": 1440, "height": 900}, PHONE):
        expert.set_viewport_size(size)
        for scheme, options in (("light", LEVELS), ("dark", CONTRAST)):
            expert.emulate_media(color_scheme=scheme)
            found = Axe().run(expert, options=options).response["violations"]
            assert [(one["id"], [node["html"][:150] for node in one["nodes"]][:3]) for one in found] == []
        assert expert.evaluate("document.documentElement.scrollWidth") == size["width"]


def test_a_cell_of_the_confusion_matrix_opens_its_chambers(expert):
    cell = expert.locator(".matrix details").first
    expect(cell.locator("a").first).to_be_hidden()
    cell.locator("summary").press("Enter")
    cell.locator("a").first.click()
    expect(expert).to_have_url(re.compile("/eval/3026"))


def test_asked_for_again_it_is_followed_without_losing_what_is_written_and_shown_when_it_is_over(expert, compared):
    jobs = compared.extensions["driftwatch"].store.jobs
    expert.get_by_role("button", name="Compare again").click()
    line = expert.get_by_role("status")
    expect(line).to_contain_text("waiting for its turn")
    job = jobs.claim("somebody")
    expert.get_by_label("Last runs").fill("7")
    jobs.note(job, step="run 302639")
    expect(line).to_contain_text("Being compared: run 302639")
    expect(expert.get_by_label("Last runs")).to_have_value("7")
    jobs.end(job, "done")
    expect(line).to_contain_text("Over. Load the page again")
    expert.reload()
    expect(expert.get_by_role("status")).to_have_count(0)
