"""Re-evaluations on their page, on the pages that rank by a model, in the API and as commands."""

import pytest
from queue_of_chambers import PLACES, RUN, THRESHOLD, load, path
from waiting import wait_until

NEW = "row-cnn-1"
RANKED = ["/", "/fetch/", "/data/net_scores/", "/data/new_net_scores/", "/data/contamination/", "/eval/"]
LINE = "lists show only chambers that it has scored"


@pytest.fixture
def scored(driftwatch):
    """Two runs scored by the old model while a new one is active."""
    for run in (RUN, RUN + 1):
        load(driftwatch, {PLACES[0]: {7: 0.51}}, run)
    driftwatch.activate(NEW, by="eve")
    return driftwatch


def test_the_page_says_what_is_to_do_begins_it_and_tells_how_far_it_is(client, scored):
    page = client.get("/reevaluations/").text
    assert "2 runs have scores of another model" in page
    assert "2 must be computed" in page
    assert client.post("/reevaluations/", data={"all": "true"}).status_code == 303
    page = client.get("/reevaluations/").text
    opened = scored.store.reevaluations.opened()
    assert "0 of 2 runs" in page
    for change, word in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert client.post(f"/reevaluations/{opened.id}/{change}").status_code == 303
        assert word in client.get("/reevaluations/").text
    late = client.post(f"/reevaluations/{opened.id}/pause")
    assert (late.status_code, "is cancelled" in late.text) == (409, True)
    assert client.post("/reevaluations/none-such/pause").status_code == 404


@pytest.mark.parametrize(
    ("written", "status", "said"),
    [
        ("", 400, "one or more run numbers"),
        ("x", 400, "it must be a whole number"),
        ("5", 404, "Run 5 is not loaded"),
    ],
)
def test_what_cannot_be_re_evaluated_is_refused_with_a_reason_and_nothing_begins(client, scored, written, status, said):
    answer = client.post("/reevaluations/", data={"runs": written})
    assert (answer.status_code, said in answer.text) == (status, True)
    assert f'value="{written}"' in answer.text
    assert scored.store.reevaluations.newest(5) == []


def test_pages_that_rank_by_the_model_say_how_far_it_is_while_it_is_under_way(client, scored):
    for address in (*RANKED, path(PLACES[0])):
        assert LINE not in client.get(address, follow_redirects=True).text
    scored.reevaluate(None, by="root")
    for address in (*RANKED, path(PLACES[0])):
        page = client.get(address, follow_redirects=True).text
        assert f"by {NEW}: 0 of 2 runs; {LINE}" in page, address
    scored.start()
    wait_until(lambda: not scored.store.reevaluations.opened())
    for address in RANKED:
        assert LINE not in client.get(address).text


def test_a_threshold_that_is_set_says_how_many_runs_are_of_another_and_offers_to_re_evaluate(client, driftwatch):
    for run in (RUN, RUN + 1):
        load(driftwatch, {PLACES[0]: {7: 0.51}}, run)
    assert "with verdicts of its threshold." in client.get("/reevaluations/").text
    here = f"/models/{driftwatch.model}"
    assert "verdicts of another threshold" not in client.get(f"{here}/").text
    for use, score in (("alarm", "1"), ("shifter", "0.6")):
        answer = client.post(f"{here}/thresholds", data={"use": use, "score": score, "why": "fewer alarms"})
        page = client.get(answer.headers["Location"]).text
        assert ("2 runs scored by chamber-scan-1 have verdicts of another threshold" in page) == (use == "shifter")
    assert "Re-evaluate all runs" in page
    assert "2 runs scored by chamber-scan-1 have verdicts of another threshold" in client.get("/reevaluations/").text
    assert client.get(f"/api/v1{here}/thresholds").json["runs_of_another"] == 2
    assert client.get(f"/api/v1/runs/{RUN}").json["threshold"] == THRESHOLD
    driftwatch.start()
    assert client.post("/reevaluations/", data={"all": "true"}).status_code == 303
    wait_until(lambda: not driftwatch.store.reevaluations.opened())
    assert "verdicts of another threshold" not in client.get(f"{here}/").text
    assert client.get(f"/api/v1{here}/thresholds").json["runs_of_another"] == 0
    assert client.get(f"/api/v1/runs/{RUN}").json["threshold"] == 0.6
    assert "bad from 0.6" in client.get(f"/run/{RUN}/").text


def test_only_an_admin_may_and_everybody_may_look(app, anonymous, sign_in, scored):
    expert = app.test_client()
    sign_in(expert, "expert")
    assert "Re-evaluate all runs" not in expert.get("/reevaluations/").text
    assert expert.post("/reevaluations/", data={"all": "true"}).status_code == 403
    assert anonymous.post("/api/v1/reevaluations", json={"runs": None}).status_code == 401
    asked = scored.reevaluate(None, by="root")
    for change in ("pause", "resume", "cancel"):
        assert expert.post(f"/reevaluations/{asked.id}/{change}").status_code == 403
        assert expert.post(f"/api/v1/reevaluations/{asked.id}/{change}").status_code == 403
    assert anonymous.get("/reevaluations/").status_code == 200
    assert anonymous.get("/api/v1/reevaluations").json["reevaluations"][0]["state"] == "running"


def test_the_api_does_the_same(client, scored):
    made = client.post("/api/v1/reevaluations", json={"runs": f"{RUN}-{RUN + 1}"})
    assert (made.status_code, made.json["runs"], made.json["total"]) == (202, [RUN + 1, RUN], 2)
    here = f"/api/v1/reevaluations/{made.json['id']}"
    assert client.post(f"{here}/pause").json["state"] == "paused"
    assert client.post("/api/v1/reevaluations", json={"runs": None}).status_code == 409
    assert client.post(f"{here}/cancel").json["state"] == "cancelled"
    assert client.post(f"{here}/resume").status_code == 409
    assert client.get(here).json["ended_at"]
    assert client.get("/api/v1/reevaluations/x").status_code == 404
    assert client.post("/api/v1/reevaluations", json={}).status_code == 400
    assert client.post("/api/v1/reevaluations", json={"runs": "5"}).status_code == 404


def test_a_model_that_was_activated_offers_to_re_evaluate_and_tells_what_is_kept(client, scored):
    page = client.get(f"/models/{NEW}/").text
    assert "Re-evaluate all runs" in page
    assert "for 0 the scores of row-cnn-1 are kept, 2 must be computed" in page
    scored.start()
    scored.reevaluate(None, by="root")
    wait_until(lambda: not scored.store.reevaluations.opened())
    assert "Re-evaluate all runs" not in client.get(f"/models/{NEW}/").text
    assert "2 of them have kept scores of this one" in client.get("/models/chamber-scan-1/").text
