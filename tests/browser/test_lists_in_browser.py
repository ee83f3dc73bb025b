"""The pages of models and labels in a real browser: copying, what fits on a phone, what a screen reader gets."""

import pytest
from axe_playwright_python.sync_playwright import Axe

PAGES = (
    "/models/",
    "/models/chamber-scan-1/",
    "/data/new_net_scores/",
    "/data/contamination/",
    "/data/user_scores/",
    "/progress/",
    "/agreement/",
    "/problems/",
    "/problems/add",
)


@pytest.fixture
def expert(page, live_server, sign_in):
    sign_in(page, "expert", at=live_server)
    return page


def test_the_command_that_makes_a_model_again_and_the_summary_can_be_copied(expert, live_server):
    expert.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expert.goto(f"{live_server}/models/row-cnn-1/")
    expert.get_by_role("button", name="Copy").first.click()
    expert.get_by_role("button", name="Copied").wait_for()
    assert expert.evaluate("navigator.clipboard.readText()") == expert.locator("#command").text_content()
    expert.goto(f"{live_server}/progress/")
    expert.get_by_role("button", name="Copy").click()
    expert.get_by_role("button", name="Copied").wait_for()
    assert expert.evaluate("navigator.clipboard.readText()").startswith("## Labels, 20")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_keep_the_rules_of_accessibility(expert, live_server, path, scheme):
    expert.emulate_media(color_scheme=scheme)
    expert.goto(live_server + path)
    found = Axe().run(expert, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_a_phone_but_what_scrolls_by_itself(expert, live_server, path):
    expert.set_viewport_size({"width": 390, "height": 844})
    expert.goto(live_server + path)
    assert expert.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("path", "name"), [("/models/", "Models"), ("/fetch/", "Runs"), ("/progress/", "Labels")])
def test_the_pages_are_one_line_on_a_phone_that_begins_at_the_one_shown(expert, live_server, path, name):
    expert.set_viewport_size({"width": 390, "height": 844})
    expert.goto(live_server + path)
    pages = expert.get_by_role("navigation", name="Pages", exact=True)
    assert pages.bounding_box()["height"] < 2 * pages.get_by_role("link", name="Runs").bounding_box()["height"]
    shown = pages.locator(":scope > [aria-current], summary[aria-current]")
    assert shown.text_content() == name
    box = shown.bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
    pages.locator("summary").click()
    pages.get_by_role("link", name="Known problems").click()
    expert.wait_for_url(live_server + "/problems/")


def test_a_list_of_blocks_is_sorted_on_a_phone_too(expert, live_server):
    expert.set_viewport_size({"width": 390, "height": 844})
    expert.goto(f"{live_server}/fetch/")
    expert.locator("thead").get_by_role("link", name="missing").click()
    expert.wait_for_url("**/fetch/?sort=missing&descending=true")
    assert expert.evaluate("document.documentElement.scrollWidth <= innerWidth")
