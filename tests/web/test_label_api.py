import uuid

import pytest
from queue_of_chambers import PLACES, RUN, load_queue, score

from app.domain.labels import Seen


@pytest.fixture
def driftwatch(make_app):
    app = make_app(control_share=0)
    load_queue(app.extensions["driftwatch"])
    app.extensions["driftwatch"].app = app
    return app.extensions["driftwatch"]


@pytest.fixture
def ann(driftwatch, sign_in):
    client = driftwatch.app.test_client()
    sign_in(client, "shifter", "ann")
    return client


@pytest.fixture
def bob(driftwatch, sign_in):
    client = driftwatch.app.test_client()
    sign_in(client, "shifter", "bob")
    return client


def place_of(place):
    return {"run": RUN, "wheel": place.wheel, "sector": place.sector, "station": place.station}


def claim(client, **wish):
    answer = client.post("/api/v1/queue/claim", json=wish)
    assert answer.status_code == 200
    return answer.json


def label(driftwatch, place, bad=(), **more):
    seen = Seen.of(driftwatch.store.items.get(RUN, place))
    seen = {"seq": seen.seq, "model": seen.model, "scored_at": seen.scored_at.isoformat()}
    return {"key": str(uuid.uuid4()), **place_of(place), "bad": list(bad), "seen": seen, **more}


def test_claim_answer_and_the_next(ann, driftwatch):
    first = claim(ann)
    assert first["item"] == place_of(PLACES[0])
    assert first["url"] == "/eval/302635/-1/1/2/"
    assert first["why"] == "layer 7: 0.51; 1st of 12 uncertain"
    assert first["seen"]["seq"] == 0
    ahead = claim(ann, besides=[first["item"]])
    assert ahead["item"] == place_of(PLACES[1])
    body = {"key": str(uuid.uuid4()), **first["item"], "bad": [7, 3], "seen": first["seen"], "seconds": 2.5}
    answer = ann.post("/api/v1/labels", json=body)
    assert answer.status_code == 201
    kept = answer.json
    assert (kept["bad"], kept["by"], kept["seq"], kept["seconds"]) == ([3, 7], "ann", 1, 2.5)
    assert kept["chosen"]["strategy"] == "certain"
    assert claim(ann)["item"] == place_of(PLACES[1])


def test_the_answer_does_not_tell_a_control(make_app, sign_in):
    app = make_app(control_share=1)
    load_queue(app.extensions["driftwatch"])
    client = app.test_client()
    sign_in(client, "shifter")
    answer = client.post("/api/v1/queue/claim", json={})
    assert answer.json["item"]
    assert "control" not in answer.text
    assert "random" not in answer.text
    place = answer.json["url"]
    assert "control" not in client.get(f"{place}?part=item").text


def test_the_same_label_twice_is_one(ann, driftwatch):
    body = label(driftwatch, PLACES[2], [1])
    answers = [ann.post("/api/v1/labels", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len(driftwatch.labelling.history(RUN, PLACES[2], "ann")) == 1


def test_a_stale_label_is_a_conflict_with_both_sides(ann, bob, driftwatch):
    mine, theirs = label(driftwatch, PLACES[2], [1]), label(driftwatch, PLACES[2], [5])
    assert bob.post("/api/v1/labels", json=theirs).status_code == 201
    score(driftwatch, {PLACES[2]: {7: 0.9}})
    answer = ann.post("/api/v1/labels", json=mine)
    assert answer.status_code == 409
    assert answer.mimetype == "application/problem+json"
    assert answer.json["code"] == "stale-label"
    current = answer.json["current"]
    assert [(event["by"], event["bad"]) for event in current["events"]] == [("bob", [5])]
    assert current["scores"][6] == 0.9
    again = ann.post("/api/v1/labels", json={**mine, "seen": current["seen"]})
    assert again.status_code == 201
    assert driftwatch.store.items.get(RUN, PLACES[2]).evaluation["bad"] == [1]


def test_undo_withdraws_my_own_label_only(ann, bob, driftwatch):
    kept = ann.post("/api/v1/labels", json=label(driftwatch, PLACES[0], [4])).json
    undo = f"/api/v1/labels/{kept['id']}/undo"
    assert bob.post(undo, json={"key": str(uuid.uuid4())}).status_code == 404
    assert ann.get("/api/v1/labels/mine").json["labels"] == [kept]
    answer = ann.post(undo, json={"key": str(uuid.uuid4())})
    assert (answer.status_code, answer.json["undoes"]) == (201, kept["id"])
    assert ann.get("/api/v1/labels/mine").json["labels"] == []
    assert driftwatch.store.items.get(RUN, PLACES[0]).evaluation is None


def test_renewing_and_giving_back(ann, bob):
    first = claim(ann)["item"]
    assert ann.post("/api/v1/queue/renew", json={"items": [first]}).json["items"] == [first]
    assert bob.post("/api/v1/queue/renew", json={"items": [first]}).json["items"] == []
    assert bob.post("/api/v1/queue/release", json={"items": [first]}).status_code == 204
    assert claim(bob)["item"] == place_of(PLACES[1])
    assert ann.post("/api/v1/queue/release", json={"items": [first]}).status_code == 204
    bob.post("/api/v1/queue/release", json={"items": [place_of(PLACES[1])]})
    assert claim(bob)["item"] == first


def test_when_nothing_is_left_it_says_so(ann):
    answer = claim(ann, run=1)
    assert (answer["item"], answer["nothing"]) == (None, "done")
    assert answer["text"].endswith(".")


WRONG = [
    ("bad", [13], "bad"),
    ("bad", [0], "bad"),
    ("bad", ["x"], "bad.0"),
    ("key", "short", "key"),
    ("wheel", 3, "wheel"),
    ("sector", 13, "sector"),
    ("run", 0, "run"),
    ("seconds", -1, "seconds"),
    ("comment", "x" * 2_001, "comment"),
    ("reason", "bored", "reason"),
    ("seen", {"seq": -1, "model": "m"}, "seen.seq"),
    ("strategy", "control", "strategy"),
]


@pytest.mark.parametrize(("name", "value", "field"), WRONG, ids=lambda value: str(value)[:20])
def test_what_cannot_be_is_refused_by_its_field(ann, driftwatch, name, value, field):
    answer = ann.post("/api/v1/labels", json={**label(driftwatch, PLACES[0]), name: value})
    assert answer.status_code == 400
    assert answer.json["field"] == field
    assert driftwatch.labelling.history(RUN, PLACES[0], "ann") == []


def test_a_chamber_without_superlayer_2_has_no_layer_5(ann, driftwatch):
    seen = {"seq": 0, "model": "m"}
    body = {"key": str(uuid.uuid4()), "run": RUN, "wheel": 0, "sector": 1, "station": 4, "bad": [5], "seen": seen}
    answer = ann.post("/api/v1/labels", json=body)
    assert (answer.status_code, answer.json["field"]) == (400, "bad")


def test_a_run_that_is_not_loaded_cannot_be_labelled(ann, driftwatch):
    assert ann.post("/api/v1/labels", json={**label(driftwatch, PLACES[0]), "run": 7}).status_code == 404


@pytest.mark.parametrize("path", ["queue/claim", "queue/renew", "queue/release", "labels", "labels/x/undo"])
def test_labelling_is_for_shifters(driftwatch, sign_in, path):
    client = driftwatch.app.test_client()
    assert client.post(f"/api/v1/{path}", json={}).status_code == 401
    sign_in(client, "viewer")
    assert client.post(f"/api/v1/{path}", json={}).status_code == 403


@pytest.mark.parametrize("path", ["next", "undo/x", "302635/-1/1/2/label"])
def test_the_forms_are_for_shifters_too(driftwatch, sign_in, path):
    client = driftwatch.app.test_client()
    assert client.post(f"/eval/{path}").status_code == 401
    sign_in(client, "viewer")
    assert client.post(f"/eval/{path}").status_code == 403


def test_a_wish_in_a_strange_cookie_is_left_alone(ann):
    ann.set_cookie("queue", "strategy=best&run=x&wheel=9")
    assert "least certain" in ann.get("/eval/").text


def test_the_small_picture_can_be_kept(ann):
    answer = ann.get("/eval/302635/-1/1/2/small.svg")
    assert answer.mimetype == "image/svg+xml"
    assert "immutable" in answer.headers["Cache-Control"]
    assert len(answer.data) < 20_000
