import pytest

ASK = {"json": {"runs": "302635"}}


def answer(client, **headers):
    return client.post("/api/v1/runs", headers={k.replace("_", "-"): v for k, v in headers.items()}, **ASK)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1234"},
    ],
)
def test_a_page_of_another_site_can_change_nothing(client, driftwatch, headers):
    assert answer(client, **headers).status_code == 403
    assert driftwatch.store.runs.count() == 0


@pytest.mark.parametrize("headers", [{}, {"Sec_Fetch_Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_our_own_pages_and_programs_can(client, driftwatch, headers):
    assert answer(client, **headers).status_code == 202
    assert driftwatch.store.runs.count() == 1


def test_on_loopback_no_other_host_name_is_answered(client):
    assert client.get("/fetch/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/fetch/", headers={"Host": "localhost:8080"}).status_code == 200


def test_a_host_name_of_ours_can_be_trusted(make_app):
    client = make_app(trusted_hosts="dqm.example.org").test_client()
    assert client.get("/fetch/", headers={"Host": "dqm.example.org"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/fetch/", "/data/net_scores/", "/nowhere", "/healthz"])
def test_every_answer_says_what_its_page_may_load(client, path):
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_no_get_changes_anything(client, driftwatch, app):
    driftwatch.ask_for_run(302635, by="ann")
    token = driftwatch.accounts.new_link("tests", by="tests")
    assert driftwatch.models.all()  # those that ship are kept in a new database when they are first asked for

    def everything():
        database = driftwatch.store._database
        return {name: list(database[name].find()) for name in database.list_collection_names()}

    before = everything()
    values = {"run": 302635, "wheel": 0, "sector": 1, "station": 1, "filename": "app.css", "token": token}
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods:
            known = {key: str(values.get(key, "x")) for key in rule.arguments}
            client.get(app.url_map.bind("localhost").build(rule.endpoint, known)).close()
    assert everything() == before
