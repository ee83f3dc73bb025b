"""Signing in as a person does it: by the keyboard, on a phone, without JavaScript."""

import pytest
from playwright.sync_api import expect

from app.accounts import Role

PASSWORD = "correct horse battery"


@pytest.fixture
def url(app, driftwatch, serve):
    driftwatch.accounts.add("boss", Role.ADMIN, "tests", PASSWORD)
    driftwatch.accounts.add("ann", Role.SHIFTER, "boss", PASSWORD)
    return serve(app)


def sign_in_by_keyboard(page, name, password=PASSWORD):
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_by_the_keyboard_alone_one_gets_in_where_one_was_and_out_again(page, url):
    page.goto(f"{url}/fetch/?size=100")
    page.locator(".sign-in-link").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    sign_in_by_keyboard(page, "ann", "wrong password")
    expect(page.get_by_role("alert")).to_contain_text("no account of this name with this password")
    expect(page.get_by_label("Password")).to_be_focused()
    page.errors.clear()  # the browser reports a 403 as an error of its own
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/fetch/?size=100")
    menu = page.locator("summary", has_text="ann")
    expect(menu).to_have_text("ann shifter")
    menu.focus()
    page.keyboard.press("Enter")
    out = page.get_by_role("button", name="Sign out")
    expect(out).to_be_visible()
    page.keyboard.press("Escape")
    expect(out).to_be_hidden()
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    out.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".sign-in-link")).to_be_visible()
    page.go_back()  # what was seen signed in is not shown again from the browser's memory
    expect(page.locator(".sign-in-link")).to_be_visible()


def test_a_menu_closes_when_one_presses_elsewhere_or_tabs_out_of_it(page, url, sign_in):
    sign_in(page, "shifter", at=url)
    page.goto(url)
    menu = page.locator("details.account")
    for leave in (lambda: page.locator("main").click(), lambda: page.get_by_role("link", name="API").focus()):
        menu.locator("summary").click()
        expect(menu).to_have_attribute("open", "")
        leave()
        expect(menu).not_to_have_attribute("open", "")


def test_two_people_at_once_are_each_themselves(browser, url, sign_in):
    contexts = [browser.new_context() for _ in range(2)]
    for context, role in zip(contexts, ("shifter", "expert"), strict=True):
        sign_in(context, role, at=url)
    pages = [context.new_page() for context in contexts]
    for page, role in zip(pages, ("shifter", "expert"), strict=True):
        page.goto(url)
        expect(page.locator(".account summary")).to_have_text(f"{role} {role}")
    for context in contexts:
        context.close()


def test_without_javascript_an_admin_lets_somebody_in(browser, url):
    admin, ann = (browser.new_context(java_script_enabled=False) for _ in range(2))
    page = admin.new_page()
    page.goto(f"{url}/users/")  # asks for a sign-in first
    page.get_by_label("Name").fill("boss")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/users/")
    page.get_by_label("Name").fill("cleo")
    page.get_by_role("button", name="Add").click()
    link = page.locator("#link").text_content()
    other = ann.new_page()
    other.goto(link)
    expect(other.get_by_role("heading", level=1)).to_have_text("Sign in as cleo")
    other.get_by_role("button", name="Sign in").click()
    expect(other.locator(".account summary")).to_have_text("cleo shifter")
    page.get_by_role("button", name="Disable cleo").click()
    other.reload()
    expect(other.locator(".sign-in-link")).to_be_visible()
    admin.close()
    ann.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/sign-in/", "/account/", "/users/"])
def test_axe_finds_nothing(browser, url, sign_in, scheme, path):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(color_scheme=scheme)
    sign_in(context, "admin", at=url)
    page = context.new_page()
    page.goto(url + path)
    page.locator(".account summary").click()
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found] == []
    context.close()
