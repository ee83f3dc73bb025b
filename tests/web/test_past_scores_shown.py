"""What models said of a chamber before is on its page and in the API."""

import pytest
from queue_of_chambers import PLACES, RUN, load, path, score

PLACE = PLACES[0]


@pytest.fixture
def scored_twice(driftwatch):
    load(driftwatch, {PLACE: {3: 0.91}, PLACES[1]: {}})
    driftwatch.activate("row-cnn-1", by="tests")
    score(driftwatch, {PLACE: {3: 0.12}})


def test_a_chamber_that_another_model_scored_before_shows_what_it_said(client, scored_twice):
    page = client.get(path(PLACE)).text
    assert "Scores by other models" in page
    row = page[page.index("past-title") :]
    assert 'href="/models/chamber-scan-1/"' in row
    assert 'class="number bad">0.91<span class="unseen"> bad</span>' in row
    assert "0.12" not in row  # these are the ones it has


def test_a_chamber_that_one_model_scored_has_no_such_table(client, scored_twice):
    assert "Scores by other models" not in client.get(path(PLACES[1])).text


def test_the_api_has_the_scores_of_every_model_those_that_are_shown_first(client, scored_twice):
    place = f"{PLACE.wheel}/{PLACE.sector}/{PLACE.station}"
    now, before = client.get(f"/api/v1/runs/{RUN}/chambers/{place}/scores").json["scores"]
    assert (now["model"], now["shown"], now["worst"]) == ("row-cnn-1", True, 0.12)
    assert (before["model"], before["shown"], before["scores"][2]) == ("chamber-scan-1", False, 0.91)
    assert before["verdicts"][2] == "bad"
    assert client.get(f"/api/v1/runs/{RUN}/chambers/2/14/1/scores").status_code == 400
    assert client.get("/api/v1/runs/5/chambers/0/1/1/scores").status_code == 404
