"""Signing in and out, sessions, and what keeps them from others."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.accounts import PER_NAME, Role
from app.web.shared.sessions import secret_key
from config import Settings

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def accounts(driftwatch):
    driftwatch.accounts.add("boss", Role.ADMIN, "tests")
    driftwatch.accounts.add("ann", Role.SHIFTER, "boss", PASSWORD)
    return driftwatch.accounts


def sign_in(client, name="ann", password=PASSWORD, where="", **more):
    return client.post("/sign-in/", data={"name": name, "password": password, "next": where}, **more)


def cookie_name(client):
    return client.application.session_interface.get_cookie_name(client.application)


def who(client):
    """The name in the head of a page."""
    found = re.search(r"<summary><b>(\S+)</b> <small>(\w+)</small>", client.get("/").text)
    return found.groups() if found else None


def test_with_name_and_password_one_is_in_until_one_signs_out(anonymous):
    assert who(anonymous) is None
    answer = sign_in(anonymous)
    assert (answer.status_code, answer.location) == (303, "/")
    assert who(anonymous) == ("ann", "shifter")
    answer = anonymous.post("/sign-in/out")
    assert (answer.status_code, answer.location) == (303, "/")
    assert who(anonymous) is None


def test_signing_out_takes_a_post(anonymous):
    sign_in(anonymous)
    assert anonymous.get("/sign-in/out").status_code == 405
    assert who(anonymous) == ("ann", "shifter")


@pytest.mark.parametrize(
    ("name", "password"), [("ann", "wrong password"), ("nobody", PASSWORD), ("", ""), ("boss", "")]
)
def test_what_does_not_fit_is_refused_in_the_same_words_and_the_name_stays_in_the_form(anonymous, name, password):
    answer = sign_in(anonymous, name, password)
    assert answer.status_code == 403
    assert "There is no account of this name with this password." in answer.text
    assert f'name="name" value="{name}"' in answer.text
    assert not password or password not in answer.text
    assert who(anonymous) is None


def test_too_many_attempts_are_told_how_long_to_wait(anonymous):
    for _ in range(PER_NAME.amount):
        assert sign_in(anonymous, password="wrong password").status_code == 403
    answer = sign_in(anonymous)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= PER_NAME.get_expiry()
    assert "tried too often" in answer.text


@pytest.mark.parametrize(
    ("where", "to"),
    [
        ("/fetch/?page=2", "/fetch/?page=2"),
        ("/eval/302635/-1/2/1/", "/eval/302635/-1/2/1/"),
        ("", "/"),
        ("https://elsewhere.org/", "/"),
        ("//elsewhere.org/", "/"),
        ("/\\elsewhere.org/", "/"),
        ("\\\\elsewhere.org/", "/"),
        ("/\t/elsewhere.org/", "/"),
        ("javascript:alert(1)", "/"),
        ("elsewhere", "/"),
    ],
)
def test_after_signing_in_one_is_where_one_wanted_to_be_and_never_on_another_site(anonymous, where, to):
    assert sign_in(anonymous, where=where).location == to


def test_a_page_that_needs_a_sign_in_asks_for_it_and_comes_back(anonymous):
    answer = anonymous.get("/account/?x=1")
    assert (answer.status_code, answer.location) == (303, "/sign-in/?next=/account/?x%3D1")
    form = anonymous.get(answer.location).text
    assert 'name="next" value="/account/?x=1"' in form
    assert sign_in(anonymous, where="/account/?x=1").location == "/account/?x=1"


# --- the cookie ---


def cookie_of(answer):
    (cookie,) = answer.headers.getlist("Set-Cookie")
    return cookie


def test_the_cookie_is_out_of_reach_for_scripts_other_sites_and_plain_http(anonymous):
    cookie = cookie_of(sign_in(anonymous))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie  # this was plain HTTP: the browser would not send it back
    assert "Secure" in cookie_of(sign_in(anonymous, base_url="https://localhost"))


def test_who_only_looks_gets_no_cookie(anonymous):
    for path in ("/", "/fetch/", "/api/v1/runs", "/static/app.css", "/sign-in/"):
        with anonymous.get(path) as answer:
            assert "Set-Cookie" not in answer.headers


def test_a_cookie_that_was_tampered_with_or_signed_by_another_key_is_nobodys(anonymous, make_app, driftwatch):
    sign_in(anonymous)
    name = cookie_name(anonymous)
    value = anonymous.get_cookie(name).value
    anonymous.set_cookie(name, value[:-4] + ("AAAA" if value[-4:] != "AAAA" else "BBBB"))
    assert who(anonymous) is None
    other = make_app(mongodb_uri=driftwatch.settings.mongodb_uri).test_client()
    other.set_cookie(name, value)
    assert who(other) is None


def test_with_one_secret_key_a_session_holds_in_every_process(anonymous, make_app, driftwatch):
    uri, key = driftwatch.settings.mongodb_uri, "k" * 32
    one, two = (make_app(mongodb_uri=uri, secret_key=key, port=port).test_client() for port in (8080, 8081))
    sign_in(one)
    for _ in range(3):  # as a balancer sends one browser now here, now there
        two._cookies = one._cookies
        assert who(two) == who(one) == ("ann", "shifter")


def test_two_installations_on_one_host_do_not_sign_each_other_out(anonymous, make_app, accounts):
    elsewhere = make_app(secret_key="k" * 32)
    elsewhere.extensions["driftwatch"].accounts.add("ann", Role.ADMIN, "elsewhere", PASSWORD)
    there = elsewhere.test_client()
    sign_in(anonymous)
    there._cookies = anonymous._cookies  # one browser, which tells no ports apart
    sign_in(there)
    assert (who(anonymous), who(there)) == (("ann", "shifter"), ("ann", "admin"))


def test_programs_that_ask_a_new_database_at_once_get_one_name_for_it(make_app):
    uri = make_app().extensions["driftwatch"].settings.mongodb_uri
    stores = [make_app(mongodb_uri=uri).extensions["driftwatch"].store for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda store: store.installation, stores))
    assert len(names) == 1
    assert names != {make_app().extensions["driftwatch"].store.installation}


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path):
    settings = Settings(data_dir=tmp_path / "data")
    key = secret_key(settings)
    assert len(key) >= 32
    assert secret_key(settings) == key
    (file,) = (tmp_path / "data").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("secret_key", 0o600)


def test_a_session_that_somebody_was_given_is_not_the_one_that_he_signs_in_with(anonymous):
    with anonymous.session_transaction() as session:
        session["planted"] = "by somebody else"
    sign_in(anonymous)
    with anonymous.session_transaction() as session:
        assert "planted" not in session


def test_what_a_signed_in_person_saw_is_not_kept_for_the_next(anonymous):
    sign_in(anonymous)
    for path in ("/", "/fetch/", "/api/v1/runs"):
        answer = anonymous.get(path)
        assert "no-cache" in answer.headers["Cache-Control"]
        assert "Cookie" in answer.headers["Vary"]


def test_a_session_ends_when_the_account_is_disabled_or_its_password_changes(anonymous, accounts):
    sign_in(anonymous)
    accounts.disable("ann", by="boss")
    assert who(anonymous) is None
    accounts.enable("ann", by="boss")
    assert who(anonymous) is None
    sign_in(anonymous)
    accounts.set_password("ann", PASSWORD + "2", by="boss")
    assert who(anonymous) is None


def test_a_role_counts_from_the_next_request_on(anonymous, accounts):
    sign_in(anonymous)
    assert anonymous.get("/users/").status_code == 403
    accounts.set_role("ann", Role.ADMIN, by="boss")
    assert anonymous.get("/users/").status_code == 200
    accounts.set_role("ann", Role.VIEWER, by="boss")
    assert anonymous.get("/users/").status_code == 403


def test_another_site_cannot_sign_anybody_in_or_out(anonymous, accounts):
    token = accounts.new_link("boss", by="boss")
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert sign_in(anonymous, headers=elsewhere).status_code == 403
    assert anonymous.post(f"/sign-in/link/{token}", headers=elsewhere).status_code == 403
    sign_in(anonymous)
    assert anonymous.post("/sign-in/out", headers=elsewhere).status_code == 403
    assert who(anonymous) == ("ann", "shifter")


def test_a_session_is_renewed_now_and_then_and_not_by_every_answer(anonymous):
    sign_in(anonymous)
    assert "Set-Cookie" not in anonymous.get("/api/v1/runs").headers
    with anonymous.session_transaction() as session:
        session["renewed"] -= 3601
    assert "Expires=" in cookie_of(anonymous.get("/api/v1/runs"))
    assert "Set-Cookie" not in anonymous.get("/api/v1/runs").headers


# --- links ---


def test_a_link_asks_for_one_press_and_works_once(anonymous, accounts):
    address = f"/sign-in/link/{accounts.new_link('boss', by='tests')}"
    for _ in range(2):  # a preview of it does not use it up
        page = anonymous.get(address)
        assert (page.status_code, "Sign in as boss" in page.text) == (200, True)
        assert who(anonymous) is None
    answer = anonymous.post(address)
    assert (answer.status_code, answer.location) == (303, "/")
    assert who(anonymous) == ("boss", "admin")
    for again in (anonymous.get(address), anonymous.post(address)):
        assert again.status_code == 403
        assert "used already" in again.text


# --- one's own account ---


def change(client, old=PASSWORD, new="another good one", again=None):
    return client.post("/account/password", data={"old": old, "new": new, "again": new if again is None else again})


def test_one_changes_ones_own_password_and_stays_in_but_is_out_elsewhere(app, anonymous):
    elsewhere = app.test_client()
    sign_in(elsewhere)
    sign_in(anonymous)
    assert change(anonymous).location == "/account/?changed="
    assert "The password is changed" in anonymous.get("/account/?changed=").text
    assert who(anonymous) == ("ann", "shifter")
    assert who(elsewhere) is None
    assert sign_in(elsewhere).status_code == 403
    assert sign_in(elsewhere, password="another good one").status_code == 303


@pytest.mark.parametrize(
    ("wrong", "words", "status"),
    [
        ({"old": "not the old one"}, "The old password is another.", 403),
        ({"new": "short"}, "must be 10 to 1,000 characters long", 400),
        ({"again": "something else"}, "not written the same way twice", 400),
    ],
)
def test_a_password_change_that_cannot_be_says_why_and_changes_nothing(anonymous, wrong, words, status):
    sign_in(anonymous)
    answer = change(anonymous, **wrong)
    assert (answer.status_code, words in answer.text) == (status, True)
    assert sign_in(anonymous).status_code == 303


def test_who_came_by_a_link_sets_a_first_password(anonymous, accounts):
    anonymous.post(f"/sign-in/link/{accounts.new_link('boss', by='tests')}")
    assert "Set a password" in anonymous.get("/account/").text
    assert change(anonymous, old="").status_code == 303
    assert sign_in(anonymous, "boss", "another good one").status_code == 303


def test_the_old_password_can_be_tried_a_few_times_only(anonymous):
    sign_in(anonymous)
    answers = [change(anonymous, old="not the old one").status_code for _ in range(PER_NAME.amount + 1)]
    assert answers == [403] * PER_NAME.amount + [429]


# --- the database is away ---


def test_without_a_database_the_sign_in_page_and_a_session_answer_503(make_app):
    away = make_app(mongodb_uri="mongodb://127.0.0.1:1/x").test_client()
    assert sign_in(away).status_code == 503
    with away.session_transaction() as session:
        session["_user_id"] = "stamp/ann"
    answer = away.get("/fetch/")
    assert answer.status_code == 503
    assert "The database is away" in answer.text


def test_without_a_key_for_sessions_pages_can_be_looked_at_and_nobody_can_sign_in(make_app, tmp_path):
    (tmp_path / "file").touch()
    app = make_app(data_dir=tmp_path / "file")
    client, accounts = app.test_client(), app.extensions["driftwatch"].accounts
    assert client.get("/fetch/").status_code == 200
    app.extensions["driftwatch"].store.users.add("somebody", Role.SHIFTER, None, "tests", "tests")
    answer = client.post(f"/sign-in/link/{accounts.new_link('somebody', by='tests')}")
    assert answer.status_code == 503
    assert "the key that signs sessions cannot be kept there" in answer.text
