"""The page for labelling as a shifter meets it: with the keyboard, with a phone, with others, with a failing server."""

import threading
import uuid
from contextlib import contextmanager

import pytest
import waitress
from playwright.sync_api import expect
from queue_of_chambers import PLACES, RUN, load_queue, path, score
from waiting import wait_until
from waitress import wasyncore

from app.accounts import Role
from app.domain.labels import Seen
from app.store.labels import LabelQuery

SETTLED = 400  # ms: an answer that comes sooner after a chamber came up is not taken


@pytest.fixture
def queue_app(make_app):
    """An application with twelve chambers to label, in a known order."""
    app = make_app(control_share=0)
    load_queue(app.extensions["driftwatch"])
    return app


@pytest.fixture
def dw(queue_app):
    return queue_app.extensions["driftwatch"]


@pytest.fixture
def url(queue_app, serve):
    return serve(queue_app)


@pytest.fixture
def shift(page, url, sign_in):
    """A page of a shifter called ann."""
    sign_in(page, "shifter", "ann", at=url)
    return page


def labels(dw, **wanted):
    return dw.store.labels.find(LabelQuery(**wanted), limit=100)


def submit(dw, person, place, bad, **more):
    """What somebody says elsewhere."""
    seen = Seen.of(dw.store.items.get(RUN, place))
    dw.labelling.submit(person, RUN, place, bad, str(uuid.uuid4()), seen, **more)


def at(page, place, run=RUN):
    """Waits until a chamber is on screen and takes answers."""
    page.wait_for_url(f"**{path(place, run)}")
    expect(page.locator(f'#item[data-url="{path(place, run)}"]')).to_be_visible()
    page.wait_for_timeout(SETTLED)


def saved(page):
    expect(page.locator("#save-status")).to_contain_text("Saved")


def ticked(page):
    return [int(box.get_attribute("value")) for box in page.locator("#item input[name=bad]:checked").all()]


def test_a_shift_with_the_keyboard_alone(shift, url, dw):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    expect(shift.locator(".why")).to_contain_text(
        "Why this one: layer 7: 0.51; 1st of 12 uncertain", use_inner_text=True
    )
    shift.keyboard.press("3")
    shift.keyboard.press("0")
    shift.keyboard.press("=")
    shift.keyboard.press("3")
    shift.keyboard.press("5")
    expect(shift.locator("#answer")).to_have_text("Submit: 3 bad: 5, 10, 12")
    shift.keyboard.press("Enter")
    at(shift, PLACES[1])
    assert ticked(shift) == []
    saved(shift)
    shift.keyboard.press("c")
    shift.keyboard.type("12 a n s u: not keys")
    shift.keyboard.press("Enter")
    assert ticked(shift) == []
    shift.keyboard.press("a")
    assert len(ticked(shift)) == 12
    shift.keyboard.press("n")
    shift.keyboard.press("Enter")
    at(shift, PLACES[2])
    shift.keyboard.press("s")
    shift.keyboard.press("2")
    at(shift, PLACES[3])
    shift.keyboard.press("s")
    shift.keyboard.press("s")
    at(shift, PLACES[4])
    wait_until(lambda: len(labels(dw)) == 4)
    said = {event.place: event for event in labels(dw)}
    assert [(said[p].kind, said[p].bad, said[p].reason, said[p].comment) for p in PLACES[:4]] == [
        ("label", (5, 10, 12), "", ""),
        ("label", (), "", "12 a n s u: not keys"),
        ("skip", (), "low_statistics", ""),
        ("skip", (), "", ""),
    ]
    assert said[PLACES[0]].chosen["strategy"] == "certain"
    assert said[PLACES[0]].by == "ann"
    assert 0.2 < said[PLACES[0]].seconds < 60


def test_undo_brings_the_last_chamber_back_with_its_ticks(shift, url, dw):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    shift.keyboard.press("4")
    shift.keyboard.press("Enter")
    at(shift, PLACES[1])
    saved(shift)
    expect(shift.locator("#mine li")).to_have_count(1)
    shift.keyboard.press("u")
    at(shift, PLACES[0])
    assert ticked(shift) == [4]
    shift.keyboard.press("4")
    shift.keyboard.press("6")
    shift.keyboard.press("Enter")
    at(shift, PLACES[1])
    saved(shift)
    assert [(event.kind, event.bad) for event in dw.labelling.history(RUN, PLACES[0], "ann")] == [
        ("label", (4,)),
        ("undo", ()),
        ("label", (6,)),
    ]
    assert dw.labelling.history(RUN, PLACES[0], "ann")[-1].chosen["strategy"] == "certain"


def test_what_a_page_held_is_free_for_the_next_one_of_its_tab_even_if_the_beacon_is_lost(shift, url, dw):
    shift.add_init_script("navigator.sendBeacon = () => true")
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    wait_until(lambda: len(dw.labelling.held_by("ann")) == 2)
    shift.goto(f"{url}/problems/")
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    wait_until(lambda: {claimed.item.place for claimed in dw.labelling.held_by("ann")} == set(PLACES[:2]))


def test_the_last_labels_are_shown_and_can_be_opened_again(shift, url):
    shift.goto(f"{url}/eval/")
    for place in PLACES[:3]:
        at(shift, place)
        shift.keyboard.press("2")
        shift.keyboard.press("Enter")
    at(shift, PLACES[3])
    expect(shift.locator("#mine li")).to_have_count(3)
    pictures = shift.locator("#mine img")
    wait_until(lambda: pictures.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth > 0)"))
    shift.locator("#mine li a").last.click()
    at(shift, PLACES[0])
    expect(shift.locator(".why")).to_contain_text("Labelled by ann: bad: 2", use_inner_text=True)
    assert ticked(shift) == [2]


def test_the_digits_go_by_the_place_of_the_key(shift, url):
    """On a French keyboard the key of the 3 gives a quotation mark, and the two right of the 0 give ) and =."""
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    for code, key in (("Digit3", '"'), ("Digit0", "à"), ("Minus", ")"), ("Equal", "=")):
        shift.evaluate(
            "([code, key]) => document.body.dispatchEvent(new KeyboardEvent('keydown', { code, key, bubbles: true }))",
            [code, key],
        )
    assert ticked(shift) == [12, 11, 10, 3]


def test_the_list_of_keys_names_every_key(shift, url):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    keys = shift.eval_on_selector_all(
        "#content [aria-keyshortcuts]:not(dialog *), .goto [aria-keyshortcuts]",
        "all => all.map((one) => one.getAttribute('aria-keyshortcuts'))",
    )
    shift.keyboard.press("?")
    listed = shift.locator("#keys-dialog").inner_text().lower()
    arrows = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowDown": "↓", "ArrowUp": "↑"}
    assert [key for key in keys if arrows.get(key, key.lower()) not in listed.split()] == []
    shift.keyboard.press("3")
    shift.keyboard.press("Escape")
    expect(shift.locator("#keys-dialog")).to_be_hidden()
    assert ticked(shift) == []


def test_a_click_on_a_row_ticks_it_and_it_is_marked_by_more_than_colour(shift, url):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    row = shift.locator('tr[data-row="6"]')
    expect(row.locator(".says")).to_be_hidden()
    row.locator('rect[data-cell="30"]').click()
    assert ticked(shift) == [6]
    expect(row.locator(".says")).to_be_visible()
    hatching = row.locator(".picture").evaluate("cell => getComputedStyle(cell, '::after').backgroundImage")
    assert hatching.startswith("repeating-linear-gradient")
    expect(shift.locator("#profile-layer")).to_have_text("6")
    row.locator(".verdict").click()
    assert ticked(shift) == []
    row.locator("input").check()
    assert ticked(shift) == [6]


def test_ticks_survive_a_reload_and_the_chamber_stays_mine(shift, url, dw):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    shift.keyboard.press("8")
    shift.locator("#comment").fill("half of it")
    shift.reload()
    at(shift, PLACES[0])
    assert ticked(shift) == [8]
    expect(shift.locator("#comment")).to_have_value("half of it")
    expect(shift.locator(".why")).to_contain_text("Why this one", use_inner_text=True)
    wait_until(lambda: {c.item.place for c in dw.labelling.held_by("ann")} == {PLACES[0], PLACES[1]})
    shift.locator("body").press("Enter")
    at(shift, PLACES[1])
    saved(shift)
    (event,) = labels(dw)
    assert (event.bad, event.comment, event.chosen["strategy"]) == ((8,), "half of it", "certain")


def test_who_leaves_gives_back_what_they_held(shift, url, dw):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    wait_until(lambda: len(dw.labelling.held_by("ann")) == 2)
    shift.goto(f"{url}/data/net_scores/")
    wait_until(lambda: dw.labelling.held_by("ann") == [])


@pytest.mark.parametrize("twice", ["a double click", "two strokes", "a key held down"])
def test_a_hasty_hand_gives_one_label(shift, url, dw, twice):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    if twice == "a double click":
        shift.locator("#submit").dblclick()
    elif twice == "two strokes":
        shift.keyboard.press("Enter")
        shift.keyboard.press("Enter")
    else:
        for _ in range(5):
            shift.keyboard.down("Enter")
        shift.keyboard.up("Enter")
    at(shift, PLACES[1])
    wait_until(lambda: len(labels(dw)) == 1)
    assert labels(dw)[0].place == PLACES[0]


def test_the_strategy_is_chosen_in_the_head_and_remembered(shift, url):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    shift.get_by_label("Strategy").select_option("score")
    at(shift, PLACES[-1])
    shift.locator("#queue [name=wheel]").select_option("0")
    at(shift, PLACES[7])
    shift.goto(url)
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[7])
    expect(shift.get_by_label("Strategy")).to_have_value("score")
    expect(shift.locator("#queue [name=wheel]")).to_have_value("0")


def test_nothing_left_is_told_from_held_by_others(browser, shift, url, dw, sign_in):
    for place in PLACES[:-2]:
        submit(dw, "eve", place, [])
    other = browser.new_context()
    sign_in(other, "shifter", "bob", at=url)
    bob = other.new_page()
    bob.goto(f"{url}/eval/")
    at(bob, PLACES[-2])
    wait_until(lambda: len(dw.labelling.held_by("bob")) == 2)
    shift.goto(f"{url}/eval/")
    expect(shift.get_by_role("heading", level=1)).to_have_text("Others hold the rest")
    for place in PLACES[-2:]:
        at(bob, place)
        bob.keyboard.press("Enter")
    expect(bob.get_by_role("heading", level=1)).to_have_text("Nothing is left to label")
    shift.get_by_role("button", name="Get worst estimation").click()
    expect(shift.get_by_role("heading", level=1)).to_have_text("Nothing is left to label")
    other.close()


def test_two_people_never_get_the_same_chamber(browser, shift, url, dw, sign_in):
    other = browser.new_context()
    sign_in(other, "shifter", "bob", at=url)
    bob = other.new_page()
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    wait_until(lambda: len(dw.labelling.held_by("ann")) == 2)
    bob.goto(f"{url}/eval/")
    at(bob, PLACES[2])
    for page, mine in ((shift, PLACES[1]), (bob, PLACES[3]), (shift, PLACES[4])):
        page.keyboard.press("Enter")
        at(page, mine)
    wait_until(lambda: len(labels(dw)) == 3)
    assert len({event.place for event in labels(dw)}) == 3
    other.close()


@pytest.mark.parametrize("mine", [True, False])
def test_a_stale_answer_shows_both_and_the_person_decides(shift, url, dw, mine):
    shift.goto(url + path(PLACES[5]))
    at(shift, PLACES[5])
    submit(dw, "bob", PLACES[5], [2, 7])
    shift.keyboard.press("7")
    shift.keyboard.press("9")
    shift.keyboard.press("Enter")
    at(shift, PLACES[0])
    shift.errors.clear()  # a 409 is an error to the browser
    shift.get_by_role("button", name="Compare").click()
    dialog = shift.locator("#conflict-dialog")
    expect(dialog.locator("dl")).to_contain_text("layers 7, 9 bad")
    expect(dialog.locator("dl")).to_contain_text("layers 2, 7 bad")
    expect(dialog.locator("dl")).not_to_contain_text("scored again")
    assert dialog.locator("tr.differs td:first-child").all_inner_texts() == ["9", "2"]
    shift.keyboard.press("Enter" if mine else "Escape")
    if not mine:
        shift.get_by_role("button", name="Compare").click()
        shift.get_by_role("button", name="Leave it as it is").click()
    expect(shift.locator("#trouble p")).to_have_count(0)
    if mine:
        saved(shift)
    evaluation = dw.store.items.get(RUN, PLACES[5]).evaluation
    assert (evaluation["by"], list(evaluation["bad"])) == (("ann", [7, 9]) if mine else ("bob", [2, 7]))


def test_an_answer_to_scores_that_are_gone_is_a_conflict_too(shift, url, dw):
    shift.goto(url + path(PLACES[5]))
    at(shift, PLACES[5])
    score(dw, {PLACES[5]: {7: 0.99}})
    shift.keyboard.press("Enter")
    shift.get_by_role("button", name="Compare").click()
    shift.errors.clear()
    expect(shift.locator("#conflict-dialog")).to_contain_text("scored again")
    assert "0.990" in shift.locator("#conflict-parts").inner_text()


class Server:
    """The application on one port, to be stopped and started again."""

    def __init__(self, app):
        self.app, self.port = app, 0

    @contextmanager
    def running(self):
        server = waitress.create_server(self.app, host="127.0.0.1", port=self.port, threads=8)
        self.port = server.effective_port
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{self.port}"
        finally:
            server.task_dispatcher.shutdown()
            server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
            thread.join()


def test_a_label_waits_in_sight_while_the_server_is_away(page, queue_app, dw):
    server = Server(queue_app)
    with server.running() as url:
        dw.accounts.add("root", Role.ADMIN, by="tests")
        dw.accounts.add("ann", Role.SHIFTER, by="tests")
        page.goto(f"{url}/sign-in/link/{dw.accounts.new_link('ann', by='tests')}")
        page.locator("main button").click()
        with page.expect_response(lambda got: f"{path(PLACES[1])}?part=item" in got.url) as ahead:
            page.goto(f"{url}/eval/")
            at(page, PLACES[0])
        ahead.value.finished()
        page.wait_for_timeout(SETTLED)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    at(page, PLACES[1])
    expect(page.locator("#save-status")).to_contain_text("waiting to be saved: 1")
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    expect(page.locator("#save-status")).to_contain_text("waiting to be saved: 2")
    assert labels(dw) == []
    with server.running():
        saved(page)
        at(page, PLACES[2])
    page.errors.clear()
    assert {(event.place, event.bad) for event in labels(dw)} == {(PLACES[0], (3,)), (PLACES[1], (5,))}


def test_a_label_whose_answer_was_lost_is_sent_again_and_counts_once(page, queue_app, dw, serve, sign_in):
    inner, lost = queue_app.wsgi_app, []

    def lossy(environ, start_response):
        if environ["PATH_INFO"] == "/api/v1/labels" and len(lost) < 2:
            lost.append(list(inner(environ, lambda status, headers, exc_info=None: lost.append(status))))
            start_response("502 Bad Gateway", [])
            return [b""]
        return inner(environ, start_response)

    queue_app.wsgi_app = lossy
    url = serve(queue_app)
    sign_in(page, "shifter", "ann", at=url)
    page.goto(f"{url}/eval/")
    at(page, PLACES[0])
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    wait_until(lambda: len(lost) == 2)
    assert lost[0] == "201 CREATED"
    expect(page.locator("#save-status")).to_contain_text("waiting to be saved: 1")
    saved(page)
    page.errors.clear()
    assert [event.bad for event in labels(dw)] == [(3,)]


def test_labels_that_wait_are_sent_after_a_reload(page, queue_app, dw, serve, sign_in):
    inner, broken = queue_app.wsgi_app, [True]

    def away(environ, start_response):
        if environ["PATH_INFO"] == "/api/v1/labels" and broken:
            start_response("503 Service Unavailable", [])
            return [b""]
        return inner(environ, start_response)

    queue_app.wsgi_app = away
    url = serve(queue_app)
    sign_in(page, "shifter", "ann", at=url)
    page.goto(f"{url}/eval/")
    at(page, PLACES[0])
    page.keyboard.press("Enter")
    expect(page.locator("#save-status")).to_contain_text("waiting to be saved: 1")
    page.reload()
    expect(page.locator("#save-status")).to_contain_text("waiting to be saved: 1")
    broken.clear()
    saved(page)
    page.errors.clear()
    assert len(labels(dw)) == 1


def test_who_was_signed_out_loses_nothing(shift, url, dw, sign_in):
    shift.goto(f"{url}/eval/")
    at(shift, PLACES[0])
    shift.keyboard.press("6")
    shift.context.clear_cookies()
    shift.keyboard.press("Enter")
    expect(shift.locator("#save-status")).to_contain_text("You are signed out; nothing is lost.")
    assert labels(dw) == []
    sign_in(shift, "shifter", "ann", at=url)
    shift.goto(f"{url}/eval/")
    saved(shift)
    shift.errors.clear()
    assert [event.bad for event in labels(dw)] == [(6,)]


def test_a_second_opinion_is_given_unseeing(page, make_app, serve, sign_in):
    app = make_app(control_share=0, second_opinions=1)
    dw = app.extensions["driftwatch"]
    load_queue(dw)
    submit(dw, "bob", PLACES[0], [2], comment="a secret")
    url = serve(app)
    sign_in(page, "shifter", "ann", at=url)
    page.goto(f"{url}/eval/")
    at(page, PLACES[0])
    assert "a secret" not in page.content()
    assert "Labelled by" not in page.content()
    assert ticked(page) == []
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    at(page, PLACES[1])
    saved(page)
    assert dw.store.items.get(RUN, PLACES[0]).evaluation["state"] == "disputed"
    page.goto(url + path(PLACES[0]))
    expect(page.locator("#context")).to_contain_text("a secret")


def test_an_expert_marks_a_known_problem_and_the_queue_can_leave_it_out(page, url, dw, sign_in):
    sign_in(page, "expert", "eva", at=url)
    page.goto(url + path(PLACES[0]))
    page.get_by_text("Add a known problem").click()
    page.get_by_label("Layers").fill("5-8")
    page.get_by_label("Cells from").fill("5")
    page.get_by_label("to", exact=True).fill("8")
    page.get_by_label("What is wrong, and why").fill("dead since 2016")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url(f"**{path(PLACES[0])}")
    expect(page.locator("#context")).to_contain_text("layers 5–8, cells 5–8: dead since 2016")
    assert page.locator(".known-cells").count() == 4
    frame = page.locator('tr[data-row="6"] .known-cells').bounding_box()
    first, last = (page.locator(f'rect[data-layer="6"][data-cell="{cell}"]').bounding_box() for cell in (5, 8))
    assert frame["x"] == pytest.approx(first["x"], abs=1.5)
    assert frame["x"] + frame["width"] == pytest.approx(last["x"] + last["width"], abs=1.5)
    page.get_by_label("leave out known problems").check()
    page.get_by_role("button", name="Get worst estimation").click()
    at(page, PLACES[1])
    page.goto(url + path(PLACES[0]))
    page.get_by_text("End it").click()
    page.get_by_role("button", name="End", exact=True).click()
    page.wait_for_url(f"**{path(PLACES[0])}")
    assert dw.labelling.problems.list()[0].ended_by == "eva"


def test_a_phone_can_do_it(browser, url, dw, sign_in):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    sign_in(context, "shifter", "ann", at=url)
    page = context.new_page()
    page.goto(f"{url}/eval/")
    at(page, PLACES[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for target in ("#submit", "#skip", ".tick label", '#item [aria-keyshortcuts^="Arrow"]', "#comment", "#all"):
        for box in (one.bounding_box() for one in page.locator(target).all()):
            assert box["height"] >= 44, target
    submit = page.locator("#submit").bounding_box()
    assert submit["y"] + submit["height"] <= 844
    page.locator('tr[data-row="2"] .tick label').tap()
    page.locator('rect[data-layer="9"][data-cell="20"]').tap()
    assert ticked(page) == [9, 2]
    page.locator("#submit").tap()
    at(page, PLACES[1])
    saved(page)
    page.locator("#skip").tap()
    page.get_by_role("button", name="Plot broken").tap()
    at(page, PLACES[2])
    wait_until(lambda: len(labels(dw)) == 2)
    assert [(event.bad, event.reason) for event in labels(dw)][::-1] == [((2, 9), ""), ((), "plot_broken")]
    context.close()


def test_all_of_it_without_scripts(browser, url, dw, sign_in):
    context = browser.new_context(java_script_enabled=False)
    sign_in(context, "shifter", "ann", at=url)
    page = context.new_page()
    page.goto(f"{url}/eval/")
    page.get_by_role("button", name="Get worst estimation").click()
    page.wait_for_url(f"**{path(PLACES[0])}")
    page.locator("input[name=bad][value='3']").check()
    page.get_by_label("Comment").fill("by hand")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(f"**{path(PLACES[1])}")
    page.locator("[name=reason]").select_option("unclear")
    page.get_by_role("button", name="Skip").click()
    page.wait_for_url(f"**{path(PLACES[2])}")
    submit(dw, "bob", PLACES[2], [2])
    page.locator("input[name=bad][value='4']").check()
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".note")).to_contain_text("bob")
    assert ticked(page) == [4]
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(f"**{path(PLACES[3])}")
    page.get_by_role("button", name=f"Undo W−1 S7 MB2, run {RUN}").click()
    page.wait_for_url(f"**{path(PLACES[2])}")
    said = {(event.place, event.kind): (event.bad, event.reason) for event in labels(dw, by="ann")}
    assert said == {
        (PLACES[0], "label"): ((3,), ""),
        (PLACES[1], "skip"): ((), "unclear"),
        (PLACES[2], "label"): ((4,), ""),
        (PLACES[2], "undo"): ((), ""),
    }
    context.close()


def test_a_viewer_sees_the_chamber_and_no_boxes(page, url):
    page.goto(url + path(PLACES[0]))
    expect(page.locator("#item")).to_be_visible()
    assert page.locator("input[name=bad], #submit").count() == 0
    page.goto(f"{url}/eval/")
    expect(page.get_by_role("button", name="Load")).to_be_visible()
