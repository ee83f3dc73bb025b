"""What every page promises: no script fails, nothing is wider than a phone, it works without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

PAGES = [
    "/",
    "/?run=302634",
    "/fetch/",
    "/fetch/302634/delete",
    "/run/302635/",
    "/trends/",
    "/trends/chamber/",
    "/eval/",
    "/eval/302635/-1/2/1/",
    "/eval/302635/-1/2/1/?scale=log",
    "/eval/302635/1/14/4/",
    "/data/net_scores/",
    "/data/net_scores/?state=any&size=100",
    "/nowhere",
    "/eval/302635/3/14/2/",
    "/eval/305000/0/1/1/",
    "/data/net_scores/?page=-1",
    "/users/",
    "/account/",
    "/sign-in/",
]


@pytest.fixture
def page(page, live_server, sign_in):
    """Somebody who sees all that there is."""
    sign_in(page, "admin", at=live_server)
    return page


def only_expected(page):
    """A page that answers 4xx is reported by the browser as an error of its own; nothing else may be."""
    assert all("Failed to load resource: the server responded with a status of 4" in text for text in page.errors)
    assert len(page.errors) <= 1
    page.errors.clear()


@pytest.mark.parametrize("path", PAGES)
def test_no_page_breaks_a_script_or_its_security_policy(page, live_server, path):
    answer = page.goto(live_server + path)
    page.wait_for_load_state("networkidle")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    if answer.status < 400:
        assert page.errors == []
    only_expected(page)


@pytest.mark.parametrize("path", ["/", "/fetch/", "/eval/", "/eval/302635/0/1/1/", "/data/net_scores/"])
def test_pages_of_an_empty_database_are_friendly(page, app, serve, path):
    answer = page.goto(serve(app) + path)
    assert answer.status == (404 if "302635" in path else 200)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    only_expected(page)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_a_phone(page, live_server, path):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(live_server + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    only_expected(page)


def test_everything_to_press_on_a_phone_is_large_enough(browser, live_server, sign_in):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    sign_in(context, "admin", at=live_server)
    page = context.new_page()
    for path in (
        "/",
        "/fetch/",
        "/run/302635/",
        "/trends/",
        "/eval/302635/-1/2/1/",
        "/data/net_scores/",
        "/users/",
        "/account/",
        "/sign-in/",
    ):
        page.goto(live_server + path)
        small = page.evaluate(
            """() => [...document.querySelectorAll(`button, .button, select, summary, .spot[href], .top nav a,
                                                    main input:not([type=hidden], [type=checkbox])`)]
                .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
                .filter(([, box]) => box.width && (box.width < 24 || box.height < 40)).map(([html]) => html)"""
        )
        assert small == []
    context.close()


def test_the_colours_are_chosen_by_a_switch_and_remembered(browser, live_server):
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    ground = "getComputedStyle(document.body).backgroundColor"
    page.goto(live_server)
    light = page.evaluate(ground)
    page.get_by_label("Dark").check()
    dark = page.evaluate(ground)
    assert light != dark
    page.goto(f"{live_server}/fetch/")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate(ground) == dark
    expect(page.get_by_label("Dark")).to_be_checked()
    page.get_by_label("Auto").check()
    assert page.evaluate(ground) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == dark
    page.get_by_label("Light").check()
    page.reload()
    assert page.evaluate(ground) == light
    context.close()


def test_the_theme_is_set_before_anything_is_drawn(page, live_server):
    page.goto(live_server)
    first = page.locator("head > :is(script, link)").first
    assert first.get_attribute("src").endswith("theme-early.js")
    assert first.get_attribute("type") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/fetch/", "/eval/302635/-1/2/1/", "/data/net_scores/", "/users/", "/sign-in/"])
def test_words_stand_out_from_their_ground(browser, live_server, sign_in, scheme, path):
    """WCAG 2 AA: a contrast of 4.5 for every text, 3 where it is large."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 900})
    sign_in(context, "admin", at=live_server)
    page = context.new_page()
    page.goto(live_server + path)
    assert page.evaluate(CONTRAST) == []
    context.close()


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const wrong = [];
  for (const element of document.querySelectorAll("body *:not(svg *, option, script)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".off, .unseen, .skip")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(rgba(style.color)), luminance(ground(element))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 600;
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) wrong.push(element.outerHTML.slice(0, 90));
  }
  return wrong;
}"""


def test_the_keyboard_reaches_the_content_first(page, live_server):
    page.goto(live_server)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_every_link_and_field_has_a_name(page, live_server):
    for path in PAGES[:9]:
        page.goto(live_server + path)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select")]
                .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)"""
        )
        assert nameless == []


def test_a_click_on_the_map_opens_the_chamber(page, live_server):
    page.goto(live_server)
    page.get_by_role("link", name=re.compile("^wheel −1, sector 7, station 2:")).click()
    page.wait_for_url("**/eval/302635/-1/7/2/")


def test_everything_can_be_done_without_javascript(browser, app, driftwatch, serve, sign_in):
    url = serve(app)
    context = browser.new_context(java_script_enabled=False)
    sign_in(context, "admin", at=url)
    page = context.new_page()
    page.goto(url)
    page.get_by_role("link", name="Load a run").click()
    page.get_by_label("Run, or several").fill("302634")
    page.get_by_role("button", name="Load").click()
    expect(page.locator("#run-302634 .state")).to_have_text("waiting")
    page.get_by_role("link", name="Delete run 302634").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete run 302634?")
    page.get_by_role("button", name="Delete run 302634").click()
    expect(page.locator("#run-302634 .state")).to_have_text("being deleted")
    context.close()


def test_a_chamber_can_be_read_without_javascript(browser, live_server):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{live_server}/eval/302635/-1/2/1/")
    first = page.locator(".values text").first
    expect(first).to_be_hidden()
    page.get_by_label("Show values").check()
    expect(first).to_be_visible()
    page.get_by_role("link", name=re.compile("next chamber")).click()
    page.wait_for_url("**/eval/302635/-1/3/1/")
    expect(page.locator(".theme")).to_be_hidden()
    expect(page.get_by_role("link", name="PNG")).to_be_hidden()
    expect(page.get_by_role("link", name="SVG")).to_be_visible()
    context.close()
