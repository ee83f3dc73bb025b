"""The accounts on their page, as an admin uses it."""

import html
import re

import pytest

from app.accounts import Role


def link_in(page):
    return html.unescape(re.search(r'id="link">([^<]+)<', page)[1])


def test_an_admin_adds_somebody_and_the_link_lets_them_in(client, anonymous, driftwatch):
    answer = client.post("/users/", data={"name": "Ann", "role": "shifter"})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    link = link_in(answer.text)
    assert link.startswith("http://localhost/sign-in/link/")
    assert link not in client.get("/users/").text
    assert anonymous.post(link).status_code == 303
    assert "<b>ann</b> <small>shifter</small>" in anonymous.get("/").text
    assert driftwatch.accounts.get("ann").created_by == "tests"


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"name": "a b", "role": "shifter"}, 400, "1 to 40 letters"),
        ({"name": "tests", "role": "shifter"}, 409, "There is already an account tests."),
        ({"name": "ann", "role": "king"}, 400, "one of viewer, shifter, expert, admin"),
    ],
)
def test_what_cannot_be_added_says_why(client, driftwatch, given, status, words):
    answer = client.post("/users/", data=given)
    assert (answer.status_code, words in answer.text) == (status, True)
    assert [account.name for account in driftwatch.accounts.all()] == ["tests"]


def test_roles_states_and_links_are_changed_by_a_press(client, driftwatch):
    accounts = driftwatch.accounts
    accounts.add("ann", Role.SHIFTER, "tests")
    assert client.post("/users/ann/role", data={"role": "expert"}).status_code == 303
    assert accounts.get("ann").role is Role.EXPERT
    assert client.post("/users/ann/disable").status_code == 303
    assert accounts.get("ann").disabled
    assert "✕ disabled" in client.get("/users/").text
    assert client.post("/users/ann/link").status_code == 409
    assert client.post("/users/ann/enable").status_code == 303
    assert accounts.use_link(link_in(client.post("/users/ann/link").text).rsplit("/", 1)[1]).name == "ann"


@pytest.mark.parametrize("path", ["role", "disable", "enable", "link"])
def test_an_account_that_is_not_there_is_a_404(client, path):
    assert client.post(f"/users/nobody/{path}", data={"role": "viewer"}).status_code == 404


def test_the_last_admin_stays(client, driftwatch):
    for path in ("disable", "role"):
        answer = client.post(f"/users/tests/{path}", data={"role": "viewer"})
        assert (answer.status_code, "tests is the last admin" in answer.text) == (409, True)
    assert driftwatch.accounts.get("tests").may("users")
