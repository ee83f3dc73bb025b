"""The page of runs while things happen: progress without a reload, a server that goes away, deleting."""

import re

import pytest
from playwright.sync_api import expect

from app.domain.runs import RunState
from app.errors import NotFound
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer, Fault, FaultKind


@pytest.fixture
def slow_app(make_app):
    """An application whose DQM server takes its time, and lacks a few histograms."""
    options = DemoOptions(latency=0.25, faults=[Fault(FaultKind.NAN_TEXT, share=0.02)])
    with DemoServer(options) as server:
        app = make_app(dqm_url=server.url)
        app.extensions["driftwatch"].start()
        yield app
        app.extensions["driftwatch"].close()


WATCH = """() => {
  window.seen = [];
  const look = () => { for (const bar of document.querySelectorAll("progress")) window.seen.push(bar.value); };
  const all = { subtree: true, childList: true, attributes: true };
  new MutationObserver(look).observe(document.querySelector("#runs-table"), all);
}"""


def test_the_progress_bar_moves_and_the_row_ends_as_finished_without_a_reload(page, slow_app, serve, sign_in):
    url = serve(slow_app)
    sign_in(page, "expert", at=url)
    page.goto(f"{url}/fetch/")
    page.get_by_label("Run, or several").fill("302634")
    page.get_by_role("button", name="Load").click()
    row = page.locator("#run-302634")
    bar = row.locator("progress")
    expect(bar).to_be_visible()
    page.evaluate(WATCH)
    above = row.bounding_box()["y"]
    expect(row.locator("small")).to_have_text(re.compile(r"\d+ of 250.*a second, \d+ s left"))
    assert row.bounding_box()["y"] == above
    expect(row.locator(".state")).to_have_text(re.compile(r"finished, \d+ missing"), timeout=60_000)
    run = slow_app.extensions["driftwatch"].store.runs.get(302634)
    expect(row.locator(".state")).to_have_text(f"finished, {run.missing} missing")
    expect(row.get_by_role("button", name="Re-fetch missing, run 302634")).to_be_visible()
    seen = page.evaluate("window.seen")  # gone if the page was loaded again
    assert len(set(seen)) >= 2
    assert seen == sorted(seen)

    row.locator("summary").click()
    assert row.locator(".reasons tr").count() == run.missing
    expect(row.locator(".reasons tr").first).to_contain_text("a count is not finite")


def test_a_page_where_nothing_is_busy_asks_for_nothing(page, live_server):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/api/" in request.url else None)
    page.goto(f"{live_server}/fetch/")
    page.wait_for_timeout(2500)
    assert asked == []


def test_what_has_not_changed_is_not_sent_again(page, app, driftwatch, serve):
    driftwatch.store.runs.request(302634, "tests", 250)
    page.goto(f"{serve(app)}/fetch/")
    with page.expect_response(lambda response: "/api/v1/runs" in response.url) as first:
        pass
    with page.expect_response(lambda response: "/api/v1/runs" in response.url) as second:
        pass
    assert (first.value.status, second.value.status) == (200, 304)


def test_the_page_says_when_the_server_is_away_and_goes_on_when_it_is_back(page, app, driftwatch, serve):
    driftwatch.store.runs.request(302634, "tests", 250)
    page.goto(f"{serve(app)}/fetch/")
    page.route("**/api/**", lambda route: route.abort())
    expect(page.locator("#poll-status")).to_have_text("The server does not answer; trying again.")
    expect(page.locator("#run-302634 .state")).to_have_text("waiting")
    driftwatch.store.runs.update(302634, state=RunState.FAILED, why="The server refused.")
    page.unroute("**/api/**")
    expect(page.locator("#run-302634 .state")).to_have_text("failed")
    expect(page.locator("#poll-status")).to_have_text("")
    assert all("Failed to load resource" in message for message in page.errors)
    page.errors.clear()


def test_a_row_that_left_the_filter_still_tells_how_it_ended(page, app, driftwatch, serve):
    driftwatch.store.runs.request(302634, "tests", 250)
    page.goto(f"{serve(app)}/fetch/?state=waiting")
    driftwatch.store.runs.update(302634, state=RunState.NOT_FOUND, why="The server has no histograms of run 302634.")
    expect(page.locator("#run-302634 .state")).to_have_text("not found on the server")


def test_deleting_asks_first_and_the_row_ends_as_deleted(page, slow_app, serve, sign_in):
    driftwatch = slow_app.extensions["driftwatch"]
    driftwatch.store.runs.request(302634, "tests", 250)
    driftwatch.store.runs.update(302634, state=RunState.FAILED, why="The server refused.")
    url = serve(slow_app)
    sign_in(page, "admin", at=url)
    page.goto(f"{url}/fetch/")
    delete = page.get_by_role("link", name="Delete run 302634")
    dialog = page.get_by_role("dialog")

    delete.click()
    expect(dialog).to_contain_text("Delete run 302634?")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    delete.click()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert driftwatch.store.runs.get(302634).state is RunState.FAILED

    delete.click()
    dialog.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/fetch/")
    # It may be gone before the list is drawn; if not, its row says so when it is.
    expect(page.locator("#run-302634 .state").or_(page.get_by_text("No run is loaded yet"))).to_have_text(
        re.compile("deleted$|No run is loaded yet")
    )
    with pytest.raises(NotFound):
        driftwatch.store.runs.get(302634)


def test_a_row_that_is_deleted_meanwhile_stays_in_its_place_and_says_so(page, app, driftwatch, serve):
    driftwatch.store.runs.request(302634, "tests", 250)
    driftwatch.store.runs.request(302635, "tests", 250)
    driftwatch.store.runs.mark_deleting(302635)
    page.goto(f"{serve(app)}/fetch/")
    below = page.locator("#run-302634").bounding_box()
    driftwatch.store.runs.remove(302635)
    expect(page.locator("#run-302635 .state")).to_have_text("deleted")
    assert page.locator("#run-302634").bounding_box() == below
    assert all("404" in message for message in page.errors)  # how it learned that the run is gone
    page.errors.clear()
