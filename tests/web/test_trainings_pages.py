"""Training on the pages and by the API: what is asked for there is what the background gets."""

import shutil

import labelled_chambers
import pytest

from app.ml.models import CARD_FILE, load_card
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.forgetting import Forgetting, KindFound
from app.subsystems.dt.learning.networks import ARCHITECTURES
from app.web.models.loss_curves import LossCurves
from config import ROOT

FORM = {"runs": "302641–302645", "architecture": "row-cnn", "seed": "0", "chambers": "400", "simulated_weight": "0,5"}
JSON = {"architecture": "row-cnn", "seed": 4, "chambers": 500, "simulated_weight": 2.5, "runs": "302641-302645"}


@pytest.fixture
def expert(app, sign_in):
    client = app.test_client()
    sign_in(client, "expert", "eva")
    return client


@pytest.fixture
def labelled(driftwatch):
    labelled_chambers.label_all(driftwatch)
    return driftwatch


@pytest.fixture
def refused(driftwatch, tmp_path):
    """A candidate that forgot low rates."""
    folder = tmp_path / "row-cnn-2"
    shutil.copytree(ROOT / "models" / "row-cnn-1", folder)
    card = load_card(ROOT / "models" / "row-cnn-1").model_copy(update={"name": folder.name})
    (folder / CARD_FILE).write_text(card.model_dump_json())
    kinds = (
        KindFound(kind="all", layers=900, active=0.98, candidate=0.96),
        KindFound(kind="low_rate", layers=200, active=0.9, candidate=0.2),
    )
    found = Forgetting(against="chamber-scan-1", chambers=400, seed=1, tolerance=0.03, kinds=kinds)
    return driftwatch.models.add_candidate(folder, found, by="eva")


def jobs(driftwatch):
    return driftwatch.store.jobs.newest("train", 10)


def test_an_expert_asks_for_a_training_follows_and_stops_it(expert, anonymous, labelled):
    answer = expert.post("/models/training/", data=FORM)
    assert answer.status_code == 303
    (job,) = jobs(labelled)
    assert answer.location == f"/models/training/{job.id}/"
    plan = Plan.of_args(job.args)
    assert (plan.choice.runs, plan.choice.resolved_only) == ("302641-302645", False)
    assert (plan.architecture, plan.seed, plan.chambers, plan.simulated_weight) == ("row-cnn", 0, 400, 0.5)
    assert job.by == "eva"

    page = expert.get(answer.location).text
    assert "Training of a row-cnn" in page
    assert "waiting for its turn" in page
    assert "Stop</button>" in page
    assert "Stop</button>" not in anonymous.get(answer.location).text
    assert f"/models/training/{job.id}/" in anonymous.get("/models/").text

    labelled.store.jobs.note(job, losses=[[1, 0.5, 0.6], [2, 0.4, 0.7]], epochs=50, words="epoch 2")
    part = expert.get(f"{answer.location}?part=progress").text
    assert "<html" not in part
    assert part.count("<polyline") == 2
    assert "best 0.6000, epoch 1" in part
    assert "data-coming" in part

    assert expert.post(f"{answer.location}stop").status_code == 303
    page = expert.get(answer.location).text
    assert "Stopped; nothing of it is kept." in page
    assert "Stop</button>" not in page
    assert "data-coming" not in page
    assert labelled.store.jobs.active() == []


@pytest.mark.parametrize(
    ("field", "wrong", "accepted"),
    [
        ("runs", "7-3", "a run or a range of runs"),
        ("architecture", "resnet", f"one of {', '.join(ARCHITECTURES)}"),
        ("seed", "-1", "a whole number from 0 to 4,294,967,295"),
        ("chambers", "399", "a whole number from 400 to 100,000"),
        ("simulated_weight", "nan", "a number from 0.1 to 100"),
        ("simulated_weight", "many", "a number from 0.1 to 100"),
    ],
)
def test_what_cannot_be_trained_is_said_beside_its_field(expert, driftwatch, field, wrong, accepted):
    answer = expert.post("/models/training/", data=FORM | {field: wrong})
    assert answer.status_code == 400
    assert accepted in answer.text
    assert f'id="{field}-wrong"' in answer.text
    assert jobs(driftwatch) == []


def test_too_few_labels_are_refused_with_what_is_missing_and_the_form_is_kept(expert, driftwatch):
    answer = expert.post("/models/training/", data=FORM | {"resolved_only": "true"})
    assert answer.status_code == 409
    assert "Too few labels: training has 0 of at least 20 chambers" in answer.text
    assert 'value="302641–302645"' in answer.text
    assert 'name="resolved_only" value="true" checked' in answer.text
    assert jobs(driftwatch) == []


def test_before_a_training_is_asked_for_its_labels_are_counted_and_the_others_explained(expert, labelled):
    page = expert.get("/models/").text
    assert 'data-address="/models/training/labels?part=labels"' in page
    part = expert.get("/models/training/labels?part=labels").text
    assert "<html" not in part
    assert "<b>76 of 76 labelled chambers would count</b>" in part
    for name, chambers in (("training", 48), ("validation", 14), ("test", 14)):
        assert f'<tr><th scope="row">{name}</th><td class="number">{chambers}</td>' in part
    assert "Too few labels" not in part

    (place, *_), tested = labelled_chambers.simulated()[302641], 302645
    occupancy = labelled_chambers.simulated()[302641][place].occupancy
    labelled.store.items.store(tested, [(place, occupancy)], "tests")
    labelled_chambers.say(labelled, "ann", tested, place, [])
    part = expert.get("/models/training/labels?part=labels&runs=302642-302645").text  # counted anew
    assert "<b>60 of 61 labelled chambers would count</b>, of the runs 302642–302645" in part
    assert "<li>1 chamber: the run is for the test and the chamber is not" in part
    part = expert.get("/models/training/labels?part=labels&resolved_only=true").text
    assert "<b>0 of 0 labelled chambers would count</b>, only resolved ones" in part
    assert "<li>77 chambers: no expert ended a disagreement</li>" in part
    assert "Too few labels: training has 0 of at least 20 chambers" in part

    assert "<h1>Labels for a training</h1>" in expert.get("/models/training/labels?runs=&chambers=400").text
    assert "a run or a range of runs" in expert.get("/models/training/labels?part=labels&runs=x").text
    assert expert.get("/models/training/labels?runs=x").status_code == 400


@pytest.mark.parametrize("role", [None, "viewer", "shifter"])
def test_nobody_below_an_expert_trains_stops_or_overrides(app, labelled, refused, sign_in, role):
    job = labelled.train(Plan(architecture="row-cnn", chambers=400), by="eva")
    client = app.test_client()
    if role:
        sign_in(client, role)
    denied = 403 if role else 401
    for address, json in (
        ("/models/training/", None),
        (f"/models/training/{job.id}/stop", None),
        ("/models/row-cnn-2/override", None),
        ("/api/v1/trainings", JSON),
        (f"/api/v1/trainings/{job.id}/stop", None),
        ("/api/v1/models/row-cnn-2/override", {"reason": "mine"}),
    ):
        assert client.post(address, json=json).status_code == denied, address
    assert "Train a candidate" not in client.get("/models/").text
    assert "Override the refusal" not in client.get("/models/row-cnn-2/").text
    assert labelled.store.jobs.get(job.id).active
    assert labelled.models.get("row-cnn-2").refused


def test_what_is_no_training_is_not_found(expert, driftwatch):
    other = driftwatch.store.jobs.ask("explain", 7, "explain", "ann")
    for job in (other.id, "x", "0" * 24):
        assert expert.get(f"/models/training/{job}/").status_code == 404
        assert expert.post(f"/models/training/{job}/stop").status_code == 404
        assert expert.get(f"/api/v1/trainings/{job}").status_code == 404
        assert expert.post(f"/api/v1/trainings/{job}/stop").status_code == 404


def test_a_training_that_failed_says_why(expert, labelled):
    job = labelled.train(Plan(architecture="row-cnn", chambers=400), by="eva")
    claimed = labelled.store.jobs.claim("somebody")
    labelled.store.jobs.end(claimed, "failed", "Too few labels: test has none.")
    assert "Too few labels: test has none." in expert.get(f"/models/training/{job.id}/").text


def test_a_refused_model_shows_what_it_forgot_and_is_activated_only_after_an_override_with_a_reason(expert, refused):
    page = expert.get("/models/row-cnn-2/").text
    assert "<b>Refused.</b>" in page
    assert "low rate" in page
    assert "−70.0" in page
    assert page.count("<b>forgotten</b>") == 1
    assert "Activate</button>" not in page
    assert expert.post("/models/row-cnn-2/activate").status_code == 409
    answer = expert.post("/models/row-cnn-2/override", data={"reason": "  "})
    assert answer.status_code == 400
    assert 'id="reason-wrong"' in answer.text
    assert expert.post("/models/row-cnn-2/override", data={"reason": "for a test <b>"}).status_code == 303
    page = expert.get("/models/row-cnn-2/").text
    assert "<q>for a test &lt;b&gt;</q>" in page
    assert "Activate</button>" in page
    assert "<b>refusal overridden</b> by eva" in page
    assert expert.post("/models/row-cnn-2/override", data={"reason": "again"}).status_code == 409
    assert expert.post("/models/row-cnn-2/activate").status_code == 303


def test_the_api_asks_follows_and_stops_as_the_pages_do(expert, anonymous, labelled):
    answer = expert.post("/api/v1/trainings", json=JSON)
    assert answer.status_code == 202
    made = answer.json
    assert made["plan"] == JSON | {"resolved_only": False}
    assert (made["state"], made["asked_by"], made["losses"], made["model"]) == ("queued", "eva", [], None)
    (job,) = jobs(labelled)
    labelled.store.jobs.note(job, losses=[[1, 0.5, 0.6]], epochs=50, words="epoch 1")
    address = f"/api/v1/trainings/{made['id']}"
    followed = anonymous.get(address).json
    assert followed["losses"] == [{"epoch": 1, "training": 0.5, "validation": 0.6}]
    assert (followed["epochs"], followed["doing"]) == (50, "epoch 1")
    assert anonymous.get("/api/v1/trainings").json["trainings"] == [followed]
    assert expert.post(f"{address}/stop").json["state"] == "cancelled"
    assert expert.post(f"{address}/stop").status_code == 202


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"architecture": "resnet"}, 400, "architecture"),
        ({"seed": -1}, 400, "seed"),
        ({"chambers": 3}, 400, "chambers"),
        ({"simulated_weight": 0}, 400, "simulated_weight"),
        ({"runs": "x"}, 400, "runs"),
        ({"epochs": 3}, 400, "epochs"),
        ({}, 409, None),
    ],
)
def test_the_api_names_what_it_cannot_take(expert, driftwatch, change, status, field):
    answer = expert.post("/api/v1/trainings", json=JSON | change)
    assert answer.status_code == status
    assert answer.json.get("field") == field
    assert answer.json["code"] == ("too-few-labels" if status == 409 else "invalid-input")
    assert jobs(driftwatch) == []


def test_the_api_overrides_a_refusal_and_shows_it_with_the_model(expert, refused):
    address = "/api/v1/models/row-cnn-2"
    assert expert.get(address).json["state"] == "refused"
    assert expert.get(address).json["check"]["against"] == "chamber-scan-1"
    assert expert.post(f"{address}/override", json={"reason": ""}).json["field"] == "reason"
    answer = expert.post(f"{address}/override", json={"reason": "needed"})
    assert (answer.status_code, answer.json["state"], answer.json["refused"]) == (200, "candidate", False)
    assert answer.json["override"]["reason"] == "needed"
    assert expert.post(f"{address}/override", json={"reason": "needed"}).status_code == 409
    assert expert.post("/api/v1/models/none/override", json={"reason": "x"}).status_code == 404


def test_curves_stay_within_their_picture_and_their_names_apart():
    for losses in ([], [[1, 0.0, 0.0]], [[1, 0.7, 0.71], [2, 0.01, 0.0101]], [[i, 1 / i, 1 / i] for i in range(1, 51)]):
        curves = LossCurves(losses, 50)
        for curve in curves.curves:
            for point in curve.points.split():
                x, y = map(float, point.split(","))
                assert curves.left <= x <= curves.right
                assert curves.top <= y <= curves.bottom
            assert curve.name_y <= curves.bottom
        if losses:
            assert abs(curves.curves[0].name_y - curves.curves[1].name_y) >= 16
