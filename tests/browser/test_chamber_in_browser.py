"""The chamber page as a person meets it: what is on screen is what was served, row by row and cell by cell."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect
from waiting import wait_until

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer

CHAMBER = Chamber(wheel=-1, station=2, sector=7)
RUN = 302640
PATH = f"/eval/{RUN}/-1/7/2/"
HOT = (3, 11)  # layer, cell
MEASURE = """() => [...document.querySelectorAll("rect[data-cell]")].map((rect) => {
  const box = rect.getBoundingClientRect();
  const { layer, cell, count } = rect.dataset;
  return { layer: +layer, cell: +cell, count: +count, none: rect.classList.contains("none"),
           fill: rect.getAttribute("fill"), x: box.x, y: box.y, width: box.width, height: box.height };
})"""


@pytest.fixture(scope="module")
def served():
    """An asymmetric pattern: neither mirroring nor turning it leaves it as it is, and no row is like another."""
    rows, columns = np.indices((12, CHAMBER.columns))
    counts = 20 * (rows + 1) + columns % 13 + np.where(columns < 15, 40, 0)
    counts[4, 16:32] = 0
    counts[HOT[0] - 1, HOT[1] - 1] = 90_000
    counts[~CHAMBER.read_out] = -1
    return counts


@pytest.fixture(scope="module")
def pattern_app(_made_apps, served):
    """An application that fetched the pattern from a DQM server; all other chambers are absent."""
    with DemoServer(DemoOptions(runs={RUN: {CHAMBER: served.tolist()}})) as server:
        app = _made_apps(dqm_url=server.url)
        driftwatch = app.extensions["driftwatch"]
        driftwatch.start()
        driftwatch.ask_for_run(RUN, by="tests")
        wait_until(lambda: not driftwatch.store.runs.busy())
        yield app


@pytest.fixture
def chamber_page(page, pattern_app, serve):
    page.goto(serve(pattern_app) + PATH)
    return page


def test_what_is_on_screen_is_what_was_served(chamber_page, served):
    cells = chamber_page.evaluate(MEASURE)
    assert {(cell["layer"], cell["cell"]): cell["count"] for cell in cells} == {
        (row + 1, column + 1): served[row, column] for row, column in np.ndindex(*served.shape)
    }
    assert {(c["layer"], c["cell"]) for c in cells if c["none"]} == {
        (row + 1, column + 1) for row, column in np.argwhere(served == -1).tolist()
    }


def test_layer_1_is_at_the_bottom_and_cell_1_on_the_left(chamber_page):
    boxes = {(cell["layer"], cell["cell"]): cell for cell in chamber_page.evaluate(MEASURE)}
    for (layer, cell), box in boxes.items():
        assert box["width"] > 2
        assert box["height"] > 10
        if above := boxes.get((layer + 1, cell)):
            assert above["y"] + above["height"] <= box["y"]
            assert above["x"] == pytest.approx(box["x"], abs=0.1)
        if right := boxes.get((layer, cell + 1)):
            assert right["x"] == pytest.approx(box["x"] + box["width"], abs=0.1)


def test_number_score_and_verdict_stand_beside_their_own_layer(chamber_page, pattern_app):
    judgement = pattern_app.extensions["driftwatch"].store.items.get(RUN, CHAMBER).judgement
    cells = {cell["layer"]: cell for cell in chamber_page.evaluate(MEASURE) if cell["cell"] == 20}
    for layer in range(1, 13):
        middle = cells[layer]["y"] + cells[layer]["height"] / 2
        row = chamber_page.locator(f'tr[data-row="{layer}"]')
        for part, text in (
            (".layer", str(layer)),
            (".score", f"{judgement.scores[layer - 1]:.3f}"),
            (".verdict", judgement.verdicts[layer - 1]),
        ):
            box = row.locator(part).bounding_box()
            assert box["y"] <= middle <= box["y"] + box["height"]
            assert text in row.locator(part).inner_text()


def test_more_hits_are_brighter_and_the_hot_cell_is_marked(chamber_page, served):
    cells = chamber_page.evaluate(MEASURE)
    shown = {(cell["layer"], cell["cell"]): cell["fill"] for cell in cells if not cell["none"]}
    assert shown[5, 20] == chamber_page.locator(".colour-scale rect").first.get_attribute("fill")
    assert shown[HOT] == chamber_page.locator(".colour-scale rect").last.get_attribute("fill")
    assert shown[1, 20] != shown[12, 20]
    assert chamber_page.locator(".marks text").count() == 1
    assert chamber_page.locator('tr[data-row="3"] .marks text').is_visible()
    assert "90,000" in chamber_page.locator(".map-foot").inner_text()


def test_pointing_at_a_cell_names_it(chamber_page, served):
    readout = chamber_page.locator("#readout")
    before = chamber_page.locator(".heatmap").bounding_box()
    chamber_page.locator('rect[data-layer="6"][data-cell="31"]').hover()
    assert readout.inner_text() == f"Layer 6 (SL2), cell 31: {served[5, 30]:,} hits"
    chamber_page.locator('rect[data-layer="12"][data-cell="1"]').hover()
    assert readout.inner_text() == "Layer 12 (SL3), cell 1: no cell"
    assert chamber_page.locator(".heatmap").bounding_box() == before
    chamber_page.mouse.move(5, 5)
    assert readout.inner_text() == "Point at a cell to read it"


def test_cells_can_be_read_with_the_keyboard_alone(chamber_page, served):
    readout = chamber_page.locator("#readout")
    chamber_page.locator("#map-scroll").focus()
    chamber_page.keyboard.press("ArrowRight")
    assert "Layer 12 (SL3), cell 2" in readout.inner_text()
    chamber_page.keyboard.press("ArrowDown")
    chamber_page.keyboard.press("ArrowRight")
    assert readout.inner_text() == f"Layer 11 (SL3), cell 3: {served[10, 2]:,} hits"
    assert chamber_page.url.endswith(PATH)


def test_a_finger_reads_a_cell(browser, pattern_app, serve, served):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(serve(pattern_app) + PATH)
    page.locator('rect[data-layer="2"][data-cell="40"]').tap()
    assert page.locator("#readout").inner_text() == f"Layer 2 (SL1), cell 40: {served[1, 39]:,} hits"
    context.close()


def test_values_are_written_into_the_cells(chamber_page, served):
    values = chamber_page.locator('tr[data-row="7"] .values text')
    assert not values.first.is_visible()
    chamber_page.keyboard.press("v")
    assert values.first.is_visible()
    assert [int(text) for text in values.all_text_contents()] == served[6][served[6] >= 0].tolist()
    widths = chamber_page.evaluate(
        """() => [...document.querySelectorAll(".values text")].map((text) => text.getBoundingClientRect().width)"""
    )
    cell = chamber_page.locator('rect[data-layer="7"][data-cell="7"]').bounding_box()["width"]
    assert max(widths) <= cell
    assert chamber_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    chamber_page.keyboard.press("v")
    assert not values.first.is_visible()


def test_the_logarithmic_scale_shows_the_same_counts(chamber_page):
    linear = chamber_page.evaluate(MEASURE)
    chamber_page.keyboard.press("l")
    chamber_page.wait_for_url("**scale=log")
    logarithmic = chamber_page.evaluate(MEASURE)
    assert [cell["count"] for cell in linear] == [cell["count"] for cell in logarithmic]
    assert [cell["fill"] for cell in linear] != [cell["fill"] for cell in logarithmic]


def test_arrows_go_to_the_next_chamber_and_the_other_run(page, live_server):
    page.goto(f"{live_server}/eval/302635/0/12/3/")
    for key, path in (
        ("ArrowRight", "/eval/302635/0/1/4/"),
        ("ArrowLeft", "/eval/302635/0/12/3/"),
        ("ArrowDown", "/eval/302634/0/12/3/"),
        ("ArrowUp", "/eval/302635/0/12/3/"),
    ):
        page.keyboard.press(key)
        page.wait_for_url(f"**{path}")


def test_keys_do_nothing_while_somebody_writes(page, live_server):
    page.goto(f"{live_server}/eval/302635/0/12/3/")
    page.locator("#run").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("v")
    assert page.url.endswith("/eval/302635/0/12/3/")
    assert not page.locator(".show-values").is_checked()


def test_the_form_loads_a_chamber(page, live_server):
    page.goto(f"{live_server}/eval/")
    page.locator("#run").fill("302634")
    page.locator("#wheel").select_option("-2")
    page.locator("#sector").select_option("13")
    page.locator("#station").select_option("4")
    page.get_by_role("button", name="Load").click()
    page.wait_for_url("**/eval/302634/-2/13/4/")


def test_the_picture_is_saved_as_png(chamber_page, tmp_path):
    with chamber_page.expect_download() as download:
        chamber_page.get_by_role("link", name="PNG").click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    assert download.value.suggested_filename == f"occupancy_{RUN}_W-1_S7_St2.png"
    header = saved.read_bytes()[:24]
    width, height = int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")
    assert header.startswith(b"\x89PNG")
    assert (width > 1000, height > 500) == (True, True)


def test_a_real_chamber_is_shown_as_the_real_server_gave_it(page, make_app, serve, shared_data):
    reply = json.loads((shared_data / "dt" / "jsonfairy_reply_317111_W-1_St1_Sec2.json").read_text())
    content = reply["hist"]["bins"]["content"]
    chamber = Chamber(wheel=-1, station=1, sector=2)
    with DemoServer(DemoOptions(runs={317111: {chamber: content}})) as server:
        app = make_app(dqm_url=server.url)
        driftwatch = app.extensions["driftwatch"]
        driftwatch.start()
        driftwatch.ask_for_run(317111, by="tests")
        wait_until(lambda: not driftwatch.store.runs.busy())
        page.goto(f"{serve(app)}/eval/317111/-1/2/1/")
        shown = {(cell["layer"], cell["cell"]): cell["count"] for cell in page.evaluate(MEASURE)}
    assert shown == {(y + 1, x + 1): count for y, row in enumerate(content) for x, count in enumerate(row)}


def test_a_pattern_keeps_its_layer_from_the_server_to_the_label(page, pattern_app, serve, served, sign_in):
    """What was served in layer i is drawn, scored, ticked, stored, listed and given out as layer i."""
    driftwatch = pattern_app.extensions["driftwatch"]
    url = serve(pattern_app)
    sign_in(page, "shifter", "ann", at=url)
    page.goto(url + PATH)
    cells = {(cell["layer"], cell["cell"]): cell for cell in page.evaluate(MEASURE)}
    layer = 5  # a dead block, cells 17 to 32
    assert {cell for (at, cell), shown in cells.items() if at == layer and shown["count"] == 0} == set(range(17, 33))
    dark = cells[layer, 20]
    box = page.locator(f"input[name=bad][value='{layer}']")
    row = page.locator(f'tr[data-row="{layer}"]')
    middle = dark["y"] + dark["height"] / 2
    for beside in (box, row.locator(".score")):
        area = beside.bounding_box()
        assert area["y"] <= middle <= area["y"] + area["height"]
    pixel = page.evaluate("([x, y]) => document.elementFromPoint(x, y).dataset", [dark["x"] + 2, middle])
    assert (pixel["layer"], pixel["cell"]) == (str(layer), "20")
    item = driftwatch.store.items.get(RUN, CHAMBER)
    assert item.judgement.verdicts[layer - 1] == "bad"
    assert {finding["layer"] for finding in item.findings if "cells 17–32" in finding["text"]} == {layer}
    page.mouse.click(dark["x"] + 2, middle)
    assert box.is_checked()
    page.wait_for_timeout(400)
    page.keyboard.press("Enter")
    expect(page.locator("#save-status")).to_contain_text("Saved")
    assert list(driftwatch.store.items.get(RUN, CHAMBER).evaluation["bad"]) == [layer]
    api = page.request.get(f"{url}/api/v1/runs/{RUN}/chambers/-1/7/2").json()
    assert (api["evaluation"]["bad"], api["occupancy"][layer - 1]) == ([layer], served[layer - 1].tolist())
    (listed,) = page.request.get(f"{url}/api/v1/labels").json()["labels"]
    assert listed["bad"] == [layer]
    file = page.request.get(f"{url}/data/user_scores/labels.csv").text().splitlines()
    assert dict(zip(file[0].split(","), file[1].split(","), strict=True))["bad_layers"] == str(layer)
    counts = page.request.get(f"{url}{PATH}counts.csv").text().splitlines()
    assert [line for line in counts if line.startswith(f"{layer},")][16] == f"{layer},17,0"
