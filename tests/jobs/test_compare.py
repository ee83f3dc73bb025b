"""Comparing two models in the background, whatever happens on the way. What is found: see `web/test_comparison`."""

import pytest
from killed import killed_while
from queue_of_chambers import PLACES, load
from waiting import wait_until

from app.domain.jobs import JobState

PAIR = "row-cnn-1", "chamber-scan-1"


@pytest.mark.soak
def test_killed_in_the_midst_it_begins_anew_and_comes_to_its_end(driftwatch, client, tmp_path):
    load(driftwatch, {place: {7: 0.51} for place in PLACES[:3]}, 7)
    job = driftwatch.compare(*PAIR, runs=1, by="eva", chambers=60)
    killed_while(driftwatch, tmp_path, lambda: driftwatch.store.jobs.get(job.id).progress.get("step"))
    assert driftwatch.store.comparisons.get(PAIR) is None
    address = f"/models/{PAIR[0]}/compare/?with={PAIR[1]}"
    assert "Being compared: " in client.get(address).text
    driftwatch.start()
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    assert driftwatch.store.jobs.get(job.id).state is JobState.DONE
    assert driftwatch.store.comparisons.get(PAIR).by == "eva"
    assert "Compare again" in client.get(address).text


def test_one_that_took_its_program_down_time_and_again_is_given_up_and_can_be_asked_for_again(driftwatch, client):
    job = driftwatch.compare(*PAIR, runs=1, by="eva", chambers=60)
    driftwatch.store.jobs._collection.update_many({}, {"$set": {"attempt": 5}})
    driftwatch.start()
    wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    page = client.get(f"/models/{PAIR[0]}/compare/?with={PAIR[1]}").text
    assert "The last comparison failed: Given up: 5 times its program was ended, or the database did not" in page
    assert driftwatch.compare(*PAIR, runs=1, by="eva", chambers=60).id != job.id


def test_the_command_asks_for_another_model_than_the_one_in_use(app):
    ran = app.test_cli_runner().invoke(args=["models", "compare", PAIR[1]])
    assert (ran.exit_code, "chamber-scan-1 is the active one: name another" in ran.output) == (2, True)
