import json

import pytest
from waiting import wait_until

from app.subsystems.dt.simulate import simulate_run

RUN = 302635
CHAMBER = f"/api/v1/runs/{RUN}/chambers/-1/2/1"


@pytest.fixture
def api(loaded):
    return loaded.test_client()


def problem(answer, status):
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["detail"]
    return answer.json


def test_runs_are_listed_newest_first_with_their_progress(api):
    listed = api.get("/api/v1/runs").json
    assert [run["number"] for run in listed["runs"]] == [302635, 302634]
    assert {run["state"] for run in listed["runs"]} == {"finished"}
    assert (listed["page"], listed["pages"], listed["count"]) == (1, 1, 2)
    assert [run["number"] for run in api.get("/api/v1/runs?descending=false").json["runs"]] == [302634, 302635]
    assert api.get("/api/v1/runs?state=failed").json["runs"] == []


def test_one_run_and_one_chamber_are_what_was_simulated(api):
    assert api.get(f"/api/v1/runs/{RUN}").json["done"] == 250
    chamber = api.get(CHAMBER).json
    simulated = next(s for c, s in simulate_run(RUN).items() if (c.wheel, c.sector, c.station) == (-1, 2, 1))
    assert chamber["occupancy"] == simulated.occupancy.counts.tolist()
    assert chamber["hits"] == simulated.occupancy.hits
    assert len(chamber["scores"]) == len(chamber["verdicts"]) == len(chamber["reasons"]) == 12


def test_layers_that_a_chamber_has_not_are_null_and_absent(api):
    chamber = api.get(f"/api/v1/runs/{RUN}/chambers/0/14/4").json
    assert chamber["scores"][4:8] == [None] * 4
    assert chamber["verdicts"][4:8] == ["absent"] * 4
    assert all(score is not None for score in chamber["scores"][:4] + chamber["scores"][8:])


def test_scores_come_least_certain_first_and_a_filter_narrows_them(api):
    listed = api.get("/api/v1/scores?size=100").json
    certainties = [row["certainty"] for row in listed["scores"]]
    assert certainties == sorted(certainties)
    assert listed["pages"] == -(-listed["count"] // 100)
    narrowed = api.get("/api/v1/scores?run=302635&wheel=-1&station=4&sector=13&state=any").json
    assert [(r["run"], r["wheel"], r["station"], r["sector"]) for r in narrowed["scores"]] == [(302635, -1, 4, 13)]
    bad = api.get("/api/v1/scores?least=0.5&sort=score&descending=true").json["scores"]
    worst = [max(score for score in row["scores"] if score is not None) for row in bad]
    assert worst == sorted(worst, reverse=True)
    assert min(worst) >= 0.5


def test_all_pages_together_have_every_chamber_once(api):
    seen = []
    for page in range(1, 7):
        rows = api.get(f"/api/v1/scores?state=any&size=100&page={page}").json["scores"]
        seen += [(r["run"], r["wheel"], r["station"], r["sector"]) for r in rows]
        if len(seen) == 500:
            break
    assert len(seen) == len(set(seen)) == 500


def test_a_client_that_has_the_newest_is_told_so(api):
    answer = api.get("/api/v1/runs")
    assert api.get("/api/v1/runs", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_a_run_is_asked_for_and_deleted(client, driftwatch):
    driftwatch.start()
    answer = client.post("/api/v1/runs", json={"runs": "302640"})
    assert answer.status_code == 202
    assert [run["state"] for run in answer.json["runs"]] == ["waiting"]
    wait_until(lambda: client.get("/api/v1/runs/302640").json["state"] == "finished")
    assert client.delete("/api/v1/runs/302640").status_code == 202
    wait_until(lambda: client.get("/api/v1/runs/302640").status_code == 404)
    assert driftwatch.store.items.of_run(302640) == []


@pytest.mark.parametrize("runs", [0, -5, 10**9, "abc", "", "7-3", None, [302635], 1.5, True])
def test_a_wrong_run_is_refused_and_nothing_is_stored(client, driftwatch, runs):
    found = problem(client.post("/api/v1/runs", json={"runs": runs}), 400)
    assert found["field"].startswith("runs")
    assert found["accepted"]
    assert driftwatch.store.runs.count() == 0


@pytest.mark.parametrize(
    ("body", "field"), [({}, "runs"), ({"runs": 302635, "force": True}, "force"), ([], "runs"), ([1], "the body")]
)
def test_json_with_missing_or_unknown_keys_is_refused_and_nothing_is_stored(client, driftwatch, body, field):
    assert problem(client.post("/api/v1/runs", json=body), 400)["field"] == field
    assert driftwatch.store.runs.count() == 0


def test_what_is_no_json_is_refused(client):
    problem(client.post("/api/v1/runs", data="{", content_type="application/json"), 400)
    problem(client.post("/api/v1/runs", data=b"\xff\xfe", content_type="application/json"), 400)


def test_a_form_where_json_is_wanted_is_refused(client, driftwatch):
    answer = client.post("/api/v1/runs", data={"runs": "302635"})  # as curl sends it without a header
    assert (answer.status_code, answer.json["field"], answer.json["accepted"]) == (
        400,
        "Content-Type",
        "application/json",
    )
    assert driftwatch.store.runs.count() == 0


def test_a_body_of_two_megabytes_is_too_large(client, driftwatch):
    body = json.dumps({"runs": "302635 " * 300_000})
    problem(client.post("/api/v1/runs", data=body, content_type="application/json"), 413)
    assert driftwatch.store.runs.count() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/runs/0",
        "/api/v1/runs/-5",
        "/api/v1/runs/1000000000",
        "/api/v1/runs/abc",
        "/api/v1/runs?page=-1",
        "/api/v1/runs?page=0",
        "/api/v1/runs?page=1000000000",
        "/api/v1/runs?size=1000",
        "/api/v1/runs?state=lost",
        "/api/v1/runs?sort=colour",
        "/api/v1/runs?colour=red",
        "/api/v1/scores?wheel=3",
        "/api/v1/scores?page=-1",
        "/api/v1/scores?page=1000000000",
        "/api/v1/scores?least=nan",
        "/api/v1/scores?least=2",
        f"/api/v1/runs/{RUN}/chambers/3/1/1",
        f"/api/v1/runs/{RUN}/chambers/0/13/2",
        f"/api/v1/runs/{RUN}/chambers/0/1/5",
        f"/api/v1/runs/{RUN}/chambers/x/1/1",
        f"/api/v1/runs/{RUN}/chambers/0/{'9' * 5000}/1",
    ],
)
def test_what_is_out_of_range_is_a_bad_request_that_says_what_is_accepted(api, path):
    found = problem(api.get(path), 400)
    assert found["accepted"]
    assert found["field"] in found["detail"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/runs/5", "/api/v1/runs/5/chambers/0/1/1", "/api/v1/runs?page=2", "/api/v1/scores?page=999", "/api/v1/x"],
)
def test_what_does_not_exist_is_not_found(api, path):
    problem(api.get(path), 404)


def test_a_method_that_is_not_there_says_which_are(api):
    answer = api.put(f"/api/v1/runs/{RUN}")
    problem(answer, 405)
    assert "DELETE" in answer.headers["Allow"]


def test_the_description_names_every_route_of_the_api_and_its_problems(loaded, api):
    described = api.get("/api/v1/openapi.json").json
    routes = {
        rule.rule.replace("<", "{").replace(">", "}")
        for rule in loaded.url_map.iter_rules()
        if rule.endpoint.startswith("api.") and rule.endpoint not in ("api.nothing_here", "api.describe")
    }
    assert routes == set(described["paths"])
    for path, methods in described["paths"].items():
        for method in methods.values():
            assert method["summary"], path
            assert method["responses"]["400"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorOut")


def test_health_tells_whether_the_database_answers(api, make_app):
    assert api.get("/healthz").json == {"status": "ok", "database": "ok"}
    away = make_app(mongodb_uri="mongodb://127.0.0.1:1/x").test_client()
    answer = away.get("/healthz")
    assert (answer.status_code, answer.json["status"]) == (503, "unavailable")
    problem(away.get("/api/v1/runs"), 503)
    assert "The database does not answer" in away.get("/").text
