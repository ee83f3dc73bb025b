"""Thresholds: what a score would mean, who sets it, and what it changes."""

import json

import numpy as np
import pytest

from app.domain.judgement import Verdict
from app.errors import InvalidInput, NotFound
from app.ml import models
from app.subsystems.dt.learning import evaluation
from app.subsystems.dt.learning.evaluation_figures import Evaluation
from app.subsystems.dt.learning.known_chambers import LabelledChamber
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import simulate_chambers, simulate_run
from app.web.shared.display import percent
from config import ROOT

pytestmark = pytest.mark.slow

ROW = "row-cnn-1"


@pytest.fixture(scope="module")
def chambers():
    return [LabelledChamber(one.occupancy, one.bad) for one in simulate_chambers(80, seed=5, faulty=0.6)]


@pytest.fixture(scope="module")
def scorer():
    return Scorer(ROOT / "models" / ROW)


@pytest.fixture(scope="module")
def found(chambers, scorer):
    compared = evaluation.compare(chambers, [scorer], [], 7, lambda line: None)
    return Evaluation(simulator_version=2, seed=7, resamples=200, simulated=compared, real=None)


@pytest.fixture
def kept(driftwatch, found):
    driftwatch.models.keep_evaluation(models.load_card(ROOT / "models" / ROW), found.model_dump_json(), {}, by="ann")
    return found


def truth_and_scores(chambers, scorer):
    scores = np.array([one.scores for one in scorer.judge([c.occupancy for c in chambers])], float)
    truth = np.stack([one.bad for one in chambers])
    counted = ~np.isnan(scores) & ((truth == 0) | (truth == 1))
    return truth[counted] == 1, scores[counted]


def test_the_curve_says_what_each_score_means_as_counted_by_hand(found, chambers, scorer):
    bad, scores = truth_and_scores(chambers, scorer)
    curve = found.of(ROW).curve
    assert len(curve) > 100
    assert [point.score for point in curve] == sorted((point.score for point in curve), reverse=True)
    for point in curve[::7]:
        assert point.false_alarms == pytest.approx((scores[~bad] >= point.score).mean())
        assert point.found == pytest.approx((scores[bad] >= point.score).mean())
        assert point.by_hits["all"] == pytest.approx(point.false_alarms)


def test_a_score_between_two_points_never_promises_fewer_false_alarms_than_it_gives(found, chambers, scorer):
    bad, scores = truth_and_scores(chambers, scorer)
    method = found.of(ROW)
    for score in np.linspace(0.001, 1, 50):
        assert method.meaning(score).false_alarms >= (scores[~bad] >= score).mean() - 1e-12
    for rate in (0.001, 0.01, 0.1, 1):
        point = method.for_false_alarms(rate)
        assert (scores[~bad] >= point.score).mean() <= rate
    assert method.meaning(1.0001).found == 0


def test_an_expert_sets_a_threshold_with_a_reason_and_the_page_says_what_it_means(client, driftwatch, kept):
    point = kept.of(ROW).for_false_alarms(0.05)
    answer = client.post(
        f"/models/{ROW}/thresholds", data={"use": "shifter", "score": f"{point.score:.6f}", "why": "fewer alarms <b>"}
    )
    assert answer.status_code == 303
    page = client.get(answer.headers["Location"]).text
    assert "by tests: fewer alarms &lt;b&gt;" in page
    assert f"<b>0.5 → {point.score:.6g}</b>" in page.replace("&#43;", "+")
    assert f'data-label="threshold">{point.score:.6g}<' in client.get("/models/").text
    (event, *_) = driftwatch.store.events.of_models(ROW)
    assert (event["what"], event["by"]) == ("threshold set", "tests")
    (standing,) = driftwatch.store.thresholds.of(ROW)
    assert standing.false_alarms == pytest.approx(point.false_alarms, abs=0.01)
    card = client.get(f"/models/{ROW}/card.md")
    assert card.mimetype == "text/markdown"
    assert "by tests: fewer alarms" in card.text
    assert driftwatch.models.get(ROW).card["thresholds"]["shifter"]["score"] == 0.5  # the card is never changed


def test_what_is_scored_from_then_on_is_judged_by_it_and_scores_do_not_change(driftwatch):
    occupancies = [one.occupancy for one in list(simulate_run(302635).values())[:60]]
    before = driftwatch.models.scorer(ROW).judge(occupancies)
    driftwatch.set_threshold(ROW, "alarm", 1.0, "room below", by="ann")
    driftwatch.set_threshold(ROW, "shifter", 0.99, "only what is certain", by="ann")
    after = driftwatch.models.scorer(ROW).judge(occupancies)
    assert [one.scores for one in after] == [one.scores for one in before]
    for one in after:
        for score, verdict in zip(one.scores, one.verdicts, strict=True):
            assert (verdict is Verdict.BAD) == (score is not None and score >= 0.99 and verdict is not Verdict.EMPTY)
    assert sum(one.bad for one in after) < sum(one.bad for one in before)


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"score": "1.2"}, "score", "a number from 0 to 1"),
        ({"score": "0"}, "score", "above 0"),
        ({"score": ""}, "score", "Needed: a score"),
        ({"score": "0.97"}, "score", "from which a person is called"),
        ({"use": "alarm", "score": "0.3"}, "score", "from which a part is bad"),
        ({"why": " "}, "why", "Needed: a reason"),
        ({"why": "x" * 501}, "why", "of up to 500 characters"),
        ({"use": "nobody"}, "use", "one of shifter, alarm"),
    ],
)
def test_what_cannot_be_a_threshold_is_said_at_its_field_and_nothing_is_kept(client, driftwatch, given, field, says):
    driftwatch.set_threshold(ROW, "alarm", 0.9, "there is one", by="ann")
    answer = client.post(f"/models/{ROW}/thresholds", data={"use": "shifter", "score": "0.6", "why": "so", **given})
    assert answer.status_code == 400
    assert f'id="{field}-wrong"' in answer.text
    assert says in answer.text
    assert len(driftwatch.store.thresholds.of(ROW)) == 1


def test_a_threshold_set_before_the_model_was_evaluated_has_its_meaning_from_then_on(client, driftwatch, found):
    driftwatch.set_threshold(ROW, "shifter", 0.7, "by hand", by="ann")
    assert 'data-label="false alarms">–<' in client.get("/models/").text.split(f"/models/{ROW}/")[1]
    driftwatch.models.keep_evaluation(models.load_card(ROOT / "models" / ROW), found.model_dump_json(), {}, by="ann")
    shown = percent(found.of(ROW).meaning(0.7).false_alarms)
    assert f'data-label="false alarms">{shown}<' in client.get("/models/").text.split(f"/models/{ROW}/")[1]
    assert f'<td>all</td><td class="number">{shown}</td>' in client.get(f"/models/{ROW}/").text


@pytest.mark.parametrize("role", [None, "viewer", "shifter"])
def test_nobody_below_an_expert_sets_one(app, driftwatch, sign_in, role):
    client = app.test_client()
    if role:
        sign_in(client, role)
    data = {"use": "shifter", "score": "0.6", "why": "so"}
    assert client.post(f"/models/{ROW}/thresholds", data=data).status_code == (403 if role else 401)
    assert client.post(f"/api/v1/models/{ROW}/thresholds", json=data | {"score": 0.6}).status_code in (401, 403)
    assert "Set threshold" not in client.get(f"/models/{ROW}/").text
    assert driftwatch.store.thresholds.of(ROW) == []


def test_a_rate_of_false_alarms_can_be_asked_for_in_the_address(client, kept):
    page = client.get(f"/models/{ROW}/?rate=1").text
    point = kept.of(ROW).for_false_alarms(0.01)
    assert f'data-shown="found">{100 * point.found:.1f} %' in page
    assert client.get(f"/models/{ROW}/?rate=many").status_code == 400
    assert client.get(f"/models/{ROW}/?score=2").status_code == 400
    document = json.loads(client.get(f"/models/{ROW}/curve.json").data)
    assert len(document["points"]) == len(kept.of(ROW).curve)
    for one in document["points"]:
        assert kept.of(ROW).meaning(float(one["text"])).false_alarms == one["false_alarms"]  # as it is written
    assert client.get("/models/chamber-scan-1/curve.json").status_code == 404


def test_the_api_and_the_command_set_them_too(app, client, driftwatch, kept, monkeypatch):
    answer = client.post(f"/api/v1/models/{ROW}/thresholds", json={"use": "alarm", "score": 0.9, "why": "by program"})
    assert answer.status_code == 200
    standing = {one["use"]: one for one in client.get(f"/api/v1/models/{ROW}/thresholds").json["thresholds"]}
    assert (standing["alarm"]["score"], standing["alarm"]["by"], standing["shifter"]["by"]) == (0.9, "tests", "")
    wrong = client.post(f"/api/v1/models/{ROW}/thresholds", json={"use": "alarm", "score": 0.1, "why": "no"})
    assert (wrong.status_code, wrong.json["field"]) == (400, "score")
    assert client.get("/api/v1/models/none-such/thresholds").status_code == 404


def test_commands_set_a_threshold_by_its_rate_and_write_the_card(make_app, sign_in, found):
    app = make_app(driftwatch_user="eva")
    sign_in(app.test_client(), "expert", "eva")
    driftwatch, run = app.extensions["driftwatch"], app.test_cli_runner().invoke
    args = ["models", "threshold", ROW, "--false-alarms", "0.05", "--why", "calmer"]
    assert "has no curve" in run(args=args).output
    driftwatch.models.keep_evaluation(models.load_card(ROOT / "models" / ROW), found.model_dump_json(), {}, by="eva")
    assert run(args=args).exit_code == 0
    assert driftwatch.models.thresholds(ROW)["shifter"] == found.of(ROW).for_false_alarms(0.05).score
    assert run(args=[*args, "--score", "0.5"]).exit_code == 2
    card = run(args=["models", "show", ROW, "--markdown"]).output
    for section in ("# row-cnn-1", "## Data", "## Figures", "## Thresholds", "## Limits"):
        assert section in card
    assert "by eva: calmer" in card
    assert "simulator version 2" in card.lower() or "version 2" in card
    with pytest.raises(NotFound):
        driftwatch.models.thresholds("none-such")
    with pytest.raises(InvalidInput, match="false alarms"):
        driftwatch.models.threshold_for(ROW, -1.0)
