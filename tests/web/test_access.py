"""Who may do what, on every page and in the API: the table of actions, held against the routes there are."""

import pytest

from app.accounts import Role

OPEN = {"signin", "static", "health"}
OWN = {"account"}  # for whoever is signed in
# POSTs that only read: what they take does not fit into an address.
READING: set[str] = set()


def routes(app, *methods):
    """(method, path, blueprint) of every route, its parts filled in with something."""
    for rule in app.url_map.iter_rules():
        values = {argument: "1" for argument in rule.arguments}
        with app.test_request_context():
            path = app.url_map.bind("localhost").build(rule.endpoint, values, append_unknown=False)
        blueprint = rule.endpoint.split(".")[0]
        for method in sorted(rule.methods & set(methods)):
            yield method, path, blueprint


def changing(app):
    return [
        (m, p, b) for m, p, b in routes(app, "POST", "PUT", "PATCH", "DELETE") if b not in OPEN and p not in READING
    ]


def test_whoever_is_not_signed_in_can_change_nothing(app, anonymous):
    found = changing(app)
    assert len(found) > 8
    for method, path, _ in found:
        assert anonymous.open(path, method=method, json={}).status_code == 401, (method, path)


def test_a_viewer_can_change_nothing_but_his_own_account(app, anonymous, sign_in):
    sign_in(anonymous, "viewer")
    for method, path, blueprint in changing(app):
        if blueprint not in OWN:
            assert anonymous.open(path, method=method, json={}).status_code == 403, (method, path)


def test_the_start_page_of_nobody_is_the_sign_in_where_nobody_may_look(make_app, demo):
    app = make_app(dqm_url=demo.url, anonymous="nobody")
    client = app.test_client()
    for method, path, blueprint in routes(app, "GET"):
        answer = client.open(path, method=method)
        if blueprint in OPEN:
            assert answer.status_code not in (303, 401), path
        elif path.startswith("/api/"):
            assert (answer.status_code, answer.json["code"]) == (401, "sign-in-needed"), path
        else:
            assert (answer.status_code, answer.location[:10]) == (303, "/sign-in/?"), path
    assert client.get("/healthz").json["status"] == "ok"
    assert "/fetch/" not in client.get("/sign-in/").text  # no pages in its head
    assert client.get("/nowhere").status_code == 404


def test_where_nobody_may_look_a_viewer_may(make_app, demo, sign_in):
    client = make_app(dqm_url=demo.url, anonymous="nobody").test_client()
    sign_in(client, "viewer")
    for path in ("/", "/fetch/", "/api/v1/runs"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("role", "ask", "delete"), [("viewer", 403, 403), ("shifter", 403, 403), ("expert", 202, 403), ("admin", 202, 202)]
)
def test_the_api_asks_the_table(anonymous, sign_in, driftwatch, role, ask, delete):
    name = sign_in(anonymous, role)
    driftwatch.store.runs.request(302600, "tests", 250)
    answer = anonymous.post("/api/v1/runs", json={"runs": "302634"})
    assert answer.status_code == ask
    if ask == 403:
        assert answer.json["code"] == "forbidden"
        assert answer.json["detail"] == f"This takes the role expert; {name} has the role {role}."
        assert driftwatch.store.runs.count() == 1
    else:
        assert driftwatch.store.runs.get(302634).requested_by == name
    assert anonymous.delete("/api/v1/runs/302600").status_code == delete


def test_a_program_that_is_not_signed_in_is_told_so_in_its_own_form(anonymous):
    answer = anonymous.post("/api/v1/runs", json={"runs": "302634"})
    assert (answer.status_code, answer.mimetype, answer.json["code"]) == (
        401,
        "application/problem+json",
        "sign-in-needed",
    )
    assert answer.headers["WWW-Authenticate"].startswith("Session")


def test_a_form_sent_after_the_session_ended_changes_nothing_and_says_why(anonymous, driftwatch):
    answer = anonymous.post("/fetch/", data={"runs": "302634"})
    assert answer.status_code == 401
    assert "Sign in first: this takes the role expert." in answer.text
    assert driftwatch.store.runs.count() == 0


@pytest.mark.parametrize("role", [None, *Role])
def test_a_page_offers_only_what_its_reader_may_do(anonymous, sign_in, driftwatch, role):
    driftwatch.store.runs.request(302634, "tests", 250)
    driftwatch.store.runs.update(302634, state="failed", why="The server refused.")
    if role:
        sign_in(anonymous, role)
    page = anonymous.get("/fetch/").text
    assert ("Load again" in page) == ('name="runs"' in page) == (role in (Role.EXPERT, Role.ADMIN))
    assert ("Delete run 302634" in page) == ("delete-dialog" in page) == (role is Role.ADMIN)
    assert ('href="/users/"' in page) == (role is Role.ADMIN)
    assert ('href="/sign-in/?next=/fetch/"' in page) == (role is None)


def test_an_account_that_the_api_knows_not_is_anonymous(anonymous, sign_in, driftwatch):
    sign_in(anonymous, "expert", "gone")
    driftwatch.store.users._users.delete_one({"_id": "gone"})
    assert anonymous.post("/api/v1/runs", json={"runs": "302634"}).status_code == 401
