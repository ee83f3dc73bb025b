"""Influence as a person meets it: on the cells that are why, in the colour that says so, by mouse, finger and keys."""

import csv
import io

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect
from waiting import wait_until

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer

CHAMBER, BESIDE = Chamber(wheel=-1, station=2, sector=7), Chamber(wheel=-1, station=2, sector=8)
RUN = 302640
PATH, NEXT = f"/eval/{RUN}/-1/7/2/", f"/eval/{RUN}/-1/8/2/"
LAYER, CELLS = 5, range(17, 33)  # dead
LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
COMES = 90_000  # ms: the first job imports TensorFlow


def chamber(seed):
    counts = np.where(CHAMBER.read_out, np.random.default_rng(seed).poisson(60, CHAMBER.read_out.shape), -1)
    counts[LAYER - 1, CELLS[0] - 1 : CELLS[-1]] = 0
    return counts.tolist()


@pytest.fixture(scope="module")
def block_app(_made_apps):
    """An application with two chambers in which one layer has a dead block."""
    with DemoServer(DemoOptions(runs={RUN: {CHAMBER: chamber(1), BESIDE: chamber(2)}})) as server:
        app = _made_apps(dqm_url=server.url)
        driftwatch = app.extensions["driftwatch"]
        driftwatch.start()
        driftwatch.ask_for_run(RUN, by="tests")
        wait_until(lambda: not driftwatch.store.runs.busy())
        yield app


@pytest.fixture(scope="module")
def url(block_app, serve):
    return serve(block_app)


@pytest.fixture
def shown(page, url):
    """The chamber's page with influence on."""
    page.goto(url + PATH)
    page.keyboard.press("i")
    expect(page.locator("#item")).to_have_class("with-influence influence-leads", timeout=COMES)
    return page


def cell(page, layer, number):
    return page.locator(f'#map-scroll rect[data-layer="{layer}"][data-cell="{number}"]')


def pixel(page, layer, number):
    """Red, green, blue in the middle of a cell."""
    box = cell(page, layer, number).bounding_box()
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return picture.getpixel((round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2)))


def strongest(page):
    return page.evaluate(
        """() => [...document.querySelectorAll("#map-scroll rect[data-influence][data-layer]")]
        .map((rect) => [Number(rect.dataset.influence.replace("−", "-")), +rect.dataset.layer, +rect.dataset.cell])
        .sort((a, b) => b[0] - a[0])[0]"""
    )


def test_the_strongest_cell_lies_in_the_dead_block_and_its_pixel_is_orange(shown):
    value, layer, number = strongest(shown)
    assert value > 0.5
    assert layer == LAYER
    assert number in CELLS
    red, green, blue = pixel(shown, layer, number)
    assert red > green > blue
    assert red - blue > 120
    red, green, blue = pixel(shown, 11, 30)  # nothing is wrong there
    assert min(red, green, blue) > 200


def test_the_slider_goes_from_counts_to_influence(shown):
    _, layer, number = strongest(shown)
    slider = shown.locator(".mix input")
    full = pixel(shown, layer, number)
    slider.focus()
    shown.keyboard.press("Home")
    assert shown.url.split("?")[0].endswith(PATH)
    red, green, blue = pixel(shown, layer, number)
    assert red < 90  # no hits: the darkest colour of counts
    assert blue > green
    shown.keyboard.press("ArrowRight")
    assert slider.input_value() == "5"
    slider.fill("50")
    assert full[0] > pixel(shown, layer, number)[0] > red
    shown.reload()
    expect(shown.locator("#item.with-influence")).to_be_visible(timeout=COMES)
    assert slider.input_value() == "50"  # this browser keeps it


def test_the_key_shows_and_hides_it_and_nothing_moves(page, url):
    page.goto(url + PATH)
    page.locator(".show-influence").wait_for()
    before = page.locator("#map-scroll").bounding_box()
    page.keyboard.press("i")
    expect(page.locator("#item.with-influence")).to_be_visible(timeout=COMES)
    assert "influence=1" in page.url
    assert page.locator("#map-scroll").bounding_box() == before
    page.keyboard.press("i")
    expect(page.locator("#influence")).to_be_hidden()
    assert page.locator("tr .pushes, .pushed").count() == 0
    assert "influence" not in page.url
    page.locator("#run").focus()
    page.keyboard.press("i")
    assert not page.locator(".show-influence").is_checked()


def test_a_cell_says_its_influence_and_values_are_written(shown, block_app):
    driftwatch = block_app.extensions["driftwatch"]
    one = driftwatch.influence(RUN, CHAMBER, driftwatch.model, "occlusion")
    cell(shown, LAYER, 20).hover()
    value = f"{one.influence.cells[LAYER - 1, 19]:+.2f}".replace("-", "−")
    assert shown.locator("#readout").inner_text() == f"Layer 5 (SL2), cell 20: 0 hits, influence {value}"
    shown.keyboard.press("v")
    texts = shown.locator(f'tr[data-row="{LAYER}"] .push-values text')
    assert texts.first.is_visible()
    assert not shown.locator(f'tr[data-row="{LAYER}"] .values text').first.is_visible()
    assert texts.count() == driftwatch.store.items.get(RUN, CHAMBER).histogram.cells[LAYER - 1].sum()
    widest = max(text.bounding_box()["width"] for text in texts.all())
    assert widest <= cell(shown, LAYER, 20).bounding_box()["width"]
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_another_method_says_what_came_through_the_siblings(shown):
    shown.locator("#influence select[name=method]").select_option("integrated_gradients")
    row = shown.locator(f'tr[data-row="{LAYER}"] .pushed')
    expect(row).to_contain_text("through its siblings", timeout=COMES)
    assert strongest(shown)[1] == LAYER


def test_it_goes_along_to_the_next_chamber(shown):
    shown.keyboard.press("ArrowRight")
    shown.wait_for_url(f"**{NEXT}?influence=1")
    expect(shown.locator("#item.with-influence")).to_be_visible(timeout=COMES)


def test_the_steps_can_be_read_with_the_keyboard(shown):
    shown.locator(".how summary").focus()
    shown.keyboard.press("Enter")
    strips = shown.locator(".step-strip")
    expect(strips).to_have_count(6, timeout=COMES)
    assert shown.locator("#influence select[name=layer]").input_value() == str(LAYER)
    strips.first.focus()
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("ArrowRight")
    assert strips.first.locator("xpath=..").locator("output").inner_text().startswith("cell 2: ")
    assert shown.url.split("?")[0].endswith(PATH)
    numbers = shown.locator(".step-foot details").first
    numbers.locator("summary").click()
    assert numbers.get_by_role("row").count() == 2


def test_it_is_saved_as_png_and_as_csv(shown, tmp_path):
    for kind in ("PNG", "CSV"):
        with shown.expect_download() as download:
            shown.locator(".saves").get_by_role("link", name=kind).click()
        download.value.save_as(tmp_path / kind)
        assert download.value.suggested_filename.startswith(f"influence_{RUN}_W-1_S7_St2")
    assert Image.open(io.BytesIO((tmp_path / "PNG").read_bytes())).size[0] > 1000
    rows = list(csv.DictReader((tmp_path / "CSV").read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == shown.locator("tr .pushes rect").count()
    top = max(rows, key=lambda row: float(row["influence"]))
    assert (int(top["layer"]), int(top["cell"])) == tuple(strongest(shown)[1:])


def test_the_page_of_a_run_fills_in_by_itself_and_its_pictures_open(page, url):
    page.goto(f"{url}/saliency/{RUN}/?method=gradient_input")
    expect(page.locator("#saliency-list h2")).to_have_text("The influence is being worked out")
    expect(page.locator(".worst a")).to_have_count(2, timeout=COMES)
    page.locator(".worst a").first.click()
    expect(page.locator("#item.with-influence")).to_be_visible(timeout=COMES)
    assert page.locator("#influence select[name=method]").input_value() == "gradient_input"


def test_a_chamber_that_follows_in_the_queue_has_its_own(page, url, sign_in):
    sign_in(page, "shifter", "ann", at=url)
    page.goto(url + PATH)
    page.keyboard.press("i")
    expect(page.locator("#item.with-influence")).to_be_visible(timeout=COMES)
    page.wait_for_timeout(400)  # an answer that comes at once is not taken
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{NEXT}*")
    expect(page.locator("#item.with-influence")).to_be_visible(timeout=COMES)
    assert page.locator("#influence").get_attribute("data-address") == f"{NEXT}influence/"
    assert strongest(page)[1] == LAYER


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(shown, url, scheme):
    shown.emulate_media(color_scheme=scheme)
    shown.locator(".how summary").click()
    expect(shown.locator(".step-strip").first).to_be_visible(timeout=COMES)
    assert violations(shown) == []
    shown.goto(f"{url}/saliency/{RUN}/")
    expect(shown.locator(".worst")).to_be_visible(timeout=COMES)
    assert violations(shown) == []


def test_on_a_phone_nothing_is_too_wide_and_a_finger_reads_it(browser, url):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{url}{PATH}?influence=1")
    expect(page.locator("#item.with-influence")).to_be_visible(timeout=COMES)
    cell(page, LAYER, 20).tap()
    expect(page.locator("#readout")).to_contain_text("influence +")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    page.goto(f"{url}/saliency/{RUN}/")
    expect(page.locator(".worst")).to_be_visible(timeout=COMES)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    context.close()


def violations(page):
    found = Axe().run(page, options=LEVELS).response["violations"]
    return [(one["id"], one["help"], [node["html"][:150] for node in one["nodes"]][:3]) for one in found]
