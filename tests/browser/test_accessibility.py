"""WCAG 2.2 AA, as far as axe can tell, of the pages for labelling and all that came with them: light and dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from queue_of_chambers import PLACES, RUN, load_queue, path

from app.domain.labels import Seen

LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}  # what else there is does not hang on the scheme
PAGES = [
    "/eval/",
    path(PLACES[5]),
    "/eval/chamber/",
    "/data/net_scores/",
    "/data/new_net_scores/",
    "/data/contamination/",
    "/data/user_scores/",
    "/progress/",
    "/agreement/",
    "/agreement/chambers/",
    "/problems/",
    "/problems/add",
    "/models/",
    "/data/",
    "/reevaluations/",
    "/drift/",
    "/users/",
    "/account/",
]


@pytest.fixture(scope="module")
def busy_app(_made_apps):
    """An application in which people labelled, disagreed and noted problems."""
    app = _made_apps(control_share=0, second_opinions=1)
    driftwatch = app.extensions["driftwatch"]
    load_queue(driftwatch)
    for i, (person, place, bad) in enumerate(
        [("bob", PLACES[3], [2]), ("eve", PLACES[3], []), ("bob", PLACES[4], [7]), ("eve", PLACES[4], [7])]
    ):
        seen = Seen.of(driftwatch.store.items.get(RUN, place))
        driftwatch.labelling.submit(person, RUN, place, bad, f"a-key-for-axe-{i}", seen, comment="noisy")
    driftwatch.labelling.problems.add("eve", PLACES[5], [5, 6], "dead", since=RUN, cells=(3, 9))
    return app


def violations(page, options=LEVELS):
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], one["help"], [node["html"][:150] for node in one["nodes"]][:3]) for one in found]


@pytest.fixture
def url(busy_app, serve):
    return serve(busy_app)


@pytest.fixture
def reader(browser, url, sign_in):
    """A page of an admin."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    sign_in(context, "admin", "root", at=url)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("address", PAGES)
def test_axe_finds_nothing(reader, url, address):
    reader.goto(url + address)
    reader.wait_for_load_state("networkidle")
    assert violations(reader) == []
    reader.emulate_media(color_scheme="dark")
    assert violations(reader, CONTRAST) == []


def test_axe_finds_nothing_in_what_opens_over_the_page(reader, url):
    page = reader
    page.goto(url + path(PLACES[6]))
    page.keyboard.press("3")
    page.get_by_text("Add a known problem").click()
    for key, dialog in (("?", "#keys-dialog"), ("s", "#skip-dialog")):
        page.keyboard.press(key)
        expect(page.locator(dialog)).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")


def test_axe_finds_nothing_on_a_phone(browser, url, sign_in):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    sign_in(context, "admin", "root", at=url)
    page = context.new_page()
    page.goto(url + path(PLACES[6]))
    assert violations(page) == []
    context.close()


def test_axe_finds_nothing_where_one_signs_in(page, url):
    page.goto(f"{url}/sign-in/")
    assert violations(page) == []
