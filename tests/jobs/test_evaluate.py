"""Evaluating a model in the background: its page gets figures and a curve, whatever happens on the way."""

import pytest
from killed import is_alive, killed_while
from waiting import wait_until

from app.domain.jobs import JobState
from app.errors import NotFound

ROW, CHAMBER = "row-cnn-1", "chamber-scan-1"
FEW = 60  # simulated chambers


def ended(driftwatch, job):
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    return driftwatch.store.jobs.get(job.id)


def test_an_expert_asks_for_it_and_the_page_shows_that_it_is_coming_and_then_has_it(client, driftwatch):
    here = f"/models/{CHAMBER}/"
    assert client.get(f"{here}curve.json").status_code == 404
    job = driftwatch.evaluate(CHAMBER, by="eva", chambers=FEW)
    assert driftwatch.evaluate(CHAMBER, by="bob", chambers=FEW).id == job.id
    assert "Being evaluated: waiting for its turn" in client.get(here).text
    assert client.get(f"/api/v1{here}evaluation").json["under_way"]
    driftwatch.start()
    job = ended(driftwatch, job)
    assert (job.state, job.why) == (JobState.DONE, "")
    assert job.progress["words"] == "drawing the pictures"
    kept = driftwatch.models.known(CHAMBER)
    assert kept.stored.by == "eva"
    assert {method.name for method in kept.evaluation.simulated.methods} > {CHAMBER, ROW, "isolation forest"}
    assert kept.evaluation.simulated.chambers == FEW
    page = client.get(here).text
    assert "Evaluate again" in page
    assert "60 chambers" in page
    assert client.get(f"{here}roc.svg").status_code == 200
    assert len(client.get(f"{here}curve.json").json["points"]) == len(kept.method.curve) > 0
    out = client.get(f"/api/v1{here}evaluation").json
    assert (out["under_way"], out["by"], out["figures"]["simulated"]["chambers"]) == (False, "eva", FEW)
    asked = [event["by"] for event in driftwatch.store.events.of_models(CHAMBER) if "evaluation" in event["what"]]
    assert asked == ["eva"]


def test_the_page_and_the_api_ask_for_the_same_job(client, driftwatch):
    answer = client.post(f"/models/{ROW}/evaluate")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/models/{ROW}/#evaluation")
    answer = client.post(f"/api/v1/models/{ROW}/evaluation")
    assert (answer.status_code, answer.json["under_way"], answer.json["figures"]) == (202, True, None)
    (job,) = driftwatch.store.jobs.active()
    assert (job.args["model"], job.args["chambers"], job.by) == (ROW, 4_000, "tests")
    assert client.post("/models/none-such/evaluate").status_code == 404
    with pytest.raises(NotFound):
        driftwatch.evaluate("none-such", by="eva")


@pytest.mark.parametrize("role", [None, "viewer", "shifter"])
def test_nobody_below_an_expert_asks_for_it(app, driftwatch, sign_in, role):
    client = app.test_client()
    if role:
        sign_in(client, role)
    refused = 403 if role else 401
    assert client.post(f"/models/{ROW}/evaluate").status_code == refused
    assert client.post(f"/api/v1/models/{ROW}/evaluation").status_code == refused
    assert ">Evaluate<" not in client.get(f"/models/{ROW}/").text
    assert driftwatch.store.jobs.active() == []


def test_one_that_fails_says_why_and_can_be_asked_for_again(client, driftwatch):
    driftwatch.start()
    job = ended(driftwatch, driftwatch.evaluate(ROW, by="eva", chambers=10))
    assert job.state is JobState.FAILED
    page = client.get(f"/models/{ROW}/").text
    assert "The last evaluation failed: chambers is 10, but must be a whole number, 50 or more." in page
    assert ">Evaluate<" in page
    assert "50 or more" in client.get(f"/api/v1/models/{ROW}/evaluation").json["why"]


@pytest.mark.soak
def test_killed_in_the_midst_it_begins_anew_and_nothing_of_it_goes_on(driftwatch, tmp_path):
    job = driftwatch.evaluate(ROW, by="eva", chambers=FEW)
    started = killed_while(driftwatch, tmp_path, lambda: driftwatch.store.jobs.get(job.id).progress.get("words"))
    assert driftwatch.store.models.evaluation(ROW) is None
    assert started
    wait_until(lambda: not any(map(is_alive, started)))
    driftwatch.start()
    assert ended(driftwatch, job).state is JobState.DONE
    assert driftwatch.store.models.evaluation(ROW).by == "eva"
