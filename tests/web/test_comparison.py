"""Two models side by side: the job, what it keeps, and the page of it."""

import json

import numpy as np
import pytest
from labelled_chambers import RUNS, bad_layers, label_all, say, simulated
from waiting import wait_until

from app.domain.judgement import Verdict
from app.errors import InvalidInput, NotFound
from app.jobs import compare
from app.ml.split import Split
from app.subsystems.dt.learning.labelled_items import Choice, labelled_items
from app.subsystems.dt.learning.side_by_side import CELLS, SideBySide

PAIR = ROW, CHAMBER = "row-cnn-1", "chamber-scan-1"
CERTAIN = 0.9  # a score that leaves little doubt


@pytest.fixture(scope="module")
def compared(_made_apps, demo):
    """An application with labelled runs, of which one label is wrong, and two models compared. Look, do not change."""
    app = _made_apps(dqm_url=demo.url)
    driftwatch = app.extensions["driftwatch"]
    label_all(driftwatch)
    run, place = wrong_label(driftwatch)
    say(driftwatch, "bob", run, place, bad=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "app.subsystems.dt.learning.learning_curve.SIMULATED", 300
        )  # of the 1,500 that every fit sees besides
        driftwatch.start()
        job = driftwatch.compare(*PAIR, runs=2, by="ann", chambers=120)
        assert driftwatch.compare(*PAIR, runs=2, by="ben", chambers=120).id == job.id  # it is under way already
        wait_until(lambda: not driftwatch.store.jobs.get(job.id).active)
    assert driftwatch.store.jobs.get(job.id).why == ""
    return app


def wrong_label(driftwatch):
    """A chamber that people call bad, and both models too."""
    scorers = [driftwatch.models.scorer(name) for name in PAIR]
    for run in RUNS:
        chambers = [one.occupancy for one in simulated()[run].values()]
        for place, *judged in zip(simulated()[run], *(scorer.judge(chambers) for scorer in scorers), strict=True):
            scores = [one.scores for one in judged]
            if any(all((some[layer - 1] or 0) > CERTAIN for some in scores) for layer in bad_layers(run, place)):
                return run, place
    raise AssertionError("no chamber that both models call bad")


@pytest.fixture(scope="module")
def found(compared):
    kept = compared.extensions["driftwatch"].store.comparisons.get(PAIR)
    assert kept.by == "ann"
    return SideBySide.readable(kept.figures)


def test_both_models_are_measured_on_the_same_layers_of_every_set(found):
    assert [one.name for one in found.sets] == ["simulated", "labelled", "control"]
    for one in found.sets:
        assert [method.name for method in one.comparison.methods] == list(PAIR)
        for method, matrix in zip(one.comparison.methods, one.matrices, strict=True):
            counts = [cell.layers for cell in matrix.cells]
            assert sum(counts[:2]) == one.comparison.bad
            assert sum(counts[2:]) == one.comparison.good
            assert all(sum(cell.scores) == cell.layers for cell in matrix.cells)
            assert method.band or not method.area
    simulated_set = found.sets[0].comparison
    assert {"station 1", "wheel −2"} <= set(simulated_set.places)
    of_wheels = [simulated_set.methods[0].layers(place) for place in simulated_set.places if "wheel" in place]
    assert sum(of_wheels) == simulated_set.bad


def test_the_labelled_set_is_the_test_part_and_its_cells_name_the_chambers(compared, found):
    driftwatch = compared.extensions["driftwatch"]
    tested = labelled_items(driftwatch.store, Choice()).of(Split.TEST)
    labelled, control = found.sets[1:]
    assert labelled.comparison.chambers == len(tested)
    assert control.comparison.chambers == sum(one.drawn for one in tested)
    where = {(one.run, one.place.wheel, one.place.station, one.place.sector) for one in tested}
    for matrix in labelled.matrices:
        named = {(w.run, w.wheel, w.station, w.sector) for cell in matrix.cells for w in cell.chambers}
        assert named <= where
    threshold = driftwatch.models.thresholds(ROW)["shifter"]
    judged = driftwatch.models.scorer(ROW).judge([one.occupancy for one in tested])
    scores = np.array([one.scores for one in judged], float)
    targets = np.stack([one.targets for one in tested])
    cell = labelled.matrices[0].cells[CELLS.index("false alarms")]
    assert cell.layers == int(((targets == 0) & (scores >= threshold)).sum())


def test_estimates_on_the_control_have_intervals_that_hold_them(found):
    for estimate in found.sets[2].estimates:
        for figure in (estimate.false_alarms, estimate.found):
            assert figure is None or 0 <= figure.low <= figure.value <= figure.high <= 1


def test_a_label_that_both_contradict_is_offered_for_a_second_look(compared, found):
    run, place = wrong_label(compared.extensions["driftwatch"])
    at = {"run": run, "wheel": place.wheel, "station": place.station, "sector": place.sector}
    offered = [one for one in found.contradicted if one.where.model_dump() == at]
    assert offered
    assert all(one.label is False and min(one.scores) >= 0.5 for one in offered)
    differences = [min(abs(score - one.label) for score in one.scores) for one in found.contradicted]
    assert differences == sorted(differences, reverse=True)


def test_what_would_change_on_the_last_runs_is_what_the_verdicts_say(compared, found):
    driftwatch = compared.extensions["driftwatch"]
    assert [change.run for change in found.runs] == [RUNS[-1], RUNS[-2]]
    change = found.runs[0]
    items = [item for item in driftwatch.store.items.of_run(change.run, histograms=True)]
    bad = []
    for model in PAIR:
        judged = driftwatch.models.scorer(model).judge([item.histogram for item in items])
        bad.append(
            {
                (item.place, layer)
                for item, one in zip(items, judged, strict=True)
                for layer, verdict in enumerate(one.verdicts)
                if verdict in (Verdict.BAD, Verdict.EMPTY)
            }
        )
    assert (change.appear, change.go) == (len(bad[0] - bad[1]), len(bad[1] - bad[0]))
    assert change.appear + change.go > 0
    gaps = [abs(one.scores[0] - one.scores[1]) for one in found.disagreements]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.5


def test_the_learning_curve_is_of_a_model_without_labels_and_ends_with_all_of_the_training_part(compared, found):
    training = labelled_items(compared.extensions["driftwatch"].store, Choice()).of(Split.TRAINING)
    assert found.learning_of == CHAMBER
    assert [point.labels for point in found.learning] == [0, 10, 20, 40, len(training)]
    for point in found.learning:
        assert 0 <= point.found_least <= point.found <= point.found_most <= 1
    assert found.learning[0].found_least == found.learning[0].found_most  # no label yet: no order


def test_the_page_shows_it_all_with_pictures_and_links(compared, found):
    client = compared.test_client()
    page = client.get(f"/models/{ROW}/compare/?with={CHAMBER}")
    assert page.status_code == 200
    for words in ("Simulated test set", "Random control", "by wheel and station", "Labels that both contradict"):
        assert words in page.text
    where = found.contradicted[0].where
    assert f"/eval/{where.run}/{where.wheel}/{where.sector}/{where.station}/" in page.text
    for name in ("roc-simulated", "reliability-simulated"):
        assert client.get(f"/models/{ROW}/compare/{CHAMBER}/{name}.svg").mimetype == "image/svg+xml"
    assert client.get(f"/models/{ROW}/compare/{CHAMBER}/nothing.svg").status_code == 404
    assert json.loads(client.get(f"/models/{ROW}/compare/{CHAMBER}/comparison.json").data)["models"] == list(PAIR)
    assert "Not compared yet" in client.get(f"/models/{CHAMBER}/compare/").text
    assert client.get(f"/models/{ROW}/compare/?with=none-such").status_code == 404
    assert client.get("/models/none-such/compare/").status_code == 404


def test_an_expert_asks_for_it_on_the_page_and_mistakes_are_said_at_their_field(app, driftwatch, sign_in):
    client = app.test_client()
    sign_in(client, "shifter")
    assert client.post(f"/models/{ROW}/compare/", data={"with": CHAMBER}).status_code == 403
    sign_in(client, "expert")
    for given, field in (({"with": ROW}, "with"), ({"with": CHAMBER, "runs": "0"}, "runs"), ({"runs": "x"}, "runs")):
        answer = client.post(f"/models/{ROW}/compare/", data={"with": CHAMBER} | given)
        assert answer.status_code == 400
        assert f'id="{field}-wrong"' in answer.text
    assert driftwatch.store.jobs.active() == []
    assert client.post(f"/models/{ROW}/compare/", data={"with": CHAMBER, "runs": "3"}).status_code == 303
    (job,) = driftwatch.store.jobs.active()
    assert (job.kind, job.run, job.args["runs"]) == (compare.KIND, None, 3)
    assert "waiting for its turn" in client.get(f"/models/{ROW}/compare/?with={CHAMBER}").text


def test_the_api_asks_and_answers_the_same(compared, found, client, driftwatch):
    out = compared.test_client().get(f"/api/v1/models/{ROW}/comparisons/{CHAMBER}").json
    assert (out["under_way"], out["by"]) == (False, "ann")
    assert SideBySide.model_validate(out["figures"]) == found
    address = f"/api/v1/models/{ROW}/comparisons/{CHAMBER}"
    assert client.get(address).json["figures"] is None
    asked = client.post(address, json={"runs": 4})
    assert (asked.status_code, asked.json["under_way"]) == (202, True)
    assert client.post(address, json={"runs": 99}).json["field"] == "runs"
    assert client.post(f"/api/v1/models/{ROW}/comparisons/{ROW}", json={}).status_code == 400
    assert client.get(f"/api/v1/models/{ROW}/comparisons/none-such").status_code == 404
    (job,) = driftwatch.store.jobs.active()
    assert job.args["runs"] == 4


def test_figures_of_another_version_are_said_to_be_so(client, driftwatch):
    driftwatch.store.comparisons.keep(PAIR, '{"of": "another version"}', {}, by="ann")
    page = client.get(f"/models/{ROW}/compare/?with={CHAMBER}")
    assert page.status_code == 200
    assert "Another version of the program" in page.text


def test_what_cannot_be_compared_is_refused(driftwatch):
    with pytest.raises(InvalidInput, match="another model"):
        driftwatch.compare(ROW, ROW, runs=1, by="ann")
    with pytest.raises(InvalidInput, match="1 to 50"):
        driftwatch.compare(*PAIR, runs=51, by="ann")
    with pytest.raises(NotFound):
        driftwatch.compare(ROW, "none-such", runs=1, by="ann")
