"""Two models: no page ranks by both, and each says which it shows."""

import shutil

import pytest
from waiting import wait_until

from app.ml import models as files
from config import ROOT

SHIPPED = ROOT / "models"
RUN = 302641


@pytest.fixture
def two_models(driftwatch, tmp_path):
    """A run scored by the model that ships, and another model put into use since."""
    driftwatch.start()
    driftwatch.ask_for_run(RUN, by="ann")
    wait_until(lambda: not driftwatch.store.runs.get(RUN).busy and not driftwatch.store.jobs.active())
    folder = tmp_path / "another-1"
    shutil.copytree(files.default_model(SHIPPED), folder)
    card = files.load_card(files.default_model(SHIPPED)).model_copy(update={"name": folder.name})
    (folder / files.CARD_FILE).write_text(card.model_dump_json())
    old = driftwatch.model
    driftwatch.models.add(folder, by="ann")
    driftwatch.activate("another-1", by="ann")
    return old


def test_the_list_ranks_by_the_model_in_use_and_another_can_be_chosen(client, two_models):
    assert "No chamber is like this by the model another-1" in client.get("/data/net_scores/").text
    assert "1–20 of 250" in client.get(f"/data/net_scores/?model={two_models}").text
    assert client.get("/data/net_scores/?model=nonsense").status_code == 400


def test_the_api_does_the_same(client, two_models):
    assert client.get("/api/v1/scores").json["count"] == 0
    rows = client.get(f"/api/v1/scores?model={two_models}").json
    assert rows["count"] == 250
    assert {row["model"] for row in rows["scores"]} == {two_models}
    assert client.get("/api/v1/scores?model=nonsense").status_code == 404


def test_the_models_and_their_cards_are_in_the_api(client, two_models):
    models = {model["name"]: model for model in client.get("/api/v1/models").json["models"]}
    assert models["another-1"]["state"] == "active"
    assert models[two_models]["state"] == "candidate"
    assert client.get("/api/v1/models/another-1").json["card"]["sha256"] == models["another-1"]["sha256"]


def test_a_run_of_another_model_can_be_scored_again_from_the_page(client, driftwatch, two_models):
    assert "Score by another-1" in client.get("/fetch/").text
    assert client.post("/fetch/", data={"runs": str(RUN)}).status_code == 303
    wait_until(lambda: not driftwatch.store.runs.get(RUN).busy and not driftwatch.store.jobs.active())
    assert "1–20 of 250" in client.get("/data/net_scores/").text
    assert "Score by another-1" not in client.get("/fetch/").text
