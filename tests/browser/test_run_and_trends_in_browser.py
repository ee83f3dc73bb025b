"""The page of a run and the trends in a real browser: the sentence is copied, the picture read, zoomed and pressed."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
PAGES = ("/run/302635/", "/run/302635/?show=kind", "/run/302635/?show=statistics", "/trends/", "/trends/0/1/2/?layer=3")


def test_the_sentence_for_the_logbook_is_copied_as_it_stands(page, live_server):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{live_server}/run/302635/")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#sentence").text_content()
    assert re.match(r"Run 302635: \d+ bad chambers of \d+ judged", copied)


def test_the_printed_sheet_has_the_map_and_no_forms(page, live_server):
    page.goto(f"{live_server}/run/302635/")
    page.emulate_media(media="print", color_scheme="dark")
    for shown in ("#sentence", ".detector", ".worst"):
        expect(page.locator(shown).first).to_be_visible()
    for hidden in (".band", "form", ".switch", ".logbook button"):
        expect(page.locator(hidden).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_the_trend_is_read_and_opened_with_the_pointer(page, live_server):
    page.goto(f"{live_server}/trends/")
    page.wait_for_load_state("networkidle")
    plot = page.locator(".plot").bounding_box()
    x = plot["x"] + plot["width"] * (0.04 + 0.95 * 0.75)  # the second of two runs
    page.mouse.move(x, plot["y"] + 100)
    expect(page.locator("#trend-readout")).to_have_text(re.compile(r"^Run 302635: wheel −2 \d+, wheel −1 \d+"))
    page.mouse.click(x, plot["y"] + 100)
    page.wait_for_url("**/run/302635/")


def test_a_drag_over_the_trend_zooms_by_the_address(page, live_server):
    page.goto(f"{live_server}/trends/?by=kind")
    page.wait_for_load_state("networkidle")
    plot = page.locator(".plot").bounding_box()
    left, right = (plot["x"] + plot["width"] * (0.04 + 0.95 * share) for share in (0.6, 0.95))
    page.mouse.move(left, plot["y"] + 60)
    page.mouse.down()
    page.mouse.move(right, plot["y"] + 60, steps=4)
    expect(page.locator(".plot .zoom")).to_be_visible()
    page.mouse.up()
    page.wait_for_url("**/trends/?by=kind&first=302635&last=302635")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_the_trend_is_read_with_the_keyboard(page, live_server):
    page.goto(f"{live_server}/trends/0/1/2/?layer=3")
    page.wait_for_load_state("networkidle")
    page.get_by_role("region", name="Picture").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#trend-readout")).to_have_text(
        re.compile(r"^Run 302634: score, layer 3 [\d.]+, hits per cell")
    )
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**/run/302635/")


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(page, live_server, path):
    page.goto(live_server + path)
    page.wait_for_load_state("networkidle")
    found = Axe().run(page, options=LEVELS)
    assert found.violations_count == 0, found.generate_report()
    page.emulate_media(color_scheme="dark")
    found = Axe().run(page, options={"runOnly": {"type": "rule", "values": ["color-contrast"]}})
    assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
