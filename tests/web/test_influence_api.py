import csv
import io

import numpy as np
import pytest
from csv_text import csv_text
from waiting import wait_until

from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.simulate import simulate_chamber

RUN = 302640
DEAD = Chamber(wheel=0, station=1, sector=4)
ABSENT = Chamber(wheel=0, station=4, sector=14)  # has no superlayer 2
URL = "/api/v1/runs/{}/chambers/{}/{}/{}/influence"


def url(chamber, ending="", run=RUN):
    return URL.format(run, chamber.wheel, chamber.sector, chamber.station) + ending


@pytest.fixture
def run(driftwatch):
    """Two chambers that are fetched and scored; in one, cells 20 to 31 of layer 6 are dead."""
    from app.subsystems.dt.histogram import Occupancy

    counts = np.random.default_rng(1).poisson(40, (12, DEAD.columns))
    counts[5, 19:31] = 0
    dead = Occupancy.from_rows(DEAD, np.where(DEAD.read_out, counts, -1))
    chambers = [(DEAD, dead), (ABSENT, simulate_chamber(RUN, ABSENT).occupancy)]
    store, model = driftwatch.store, driftwatch.model
    store.runs.request(RUN, "ann", total=2)
    store.items.store(RUN, chambers, "tests")
    judgements = driftwatch.models.scorer(model).judge([occupancy for _, occupancy in chambers])
    places = [place for place, _ in chambers]
    store.items.keep_scores(RUN, zip(places, judgements, [[], []], strict=True), model)
    store.runs.update(RUN, state="finished")
    return RUN


@pytest.fixture
def ready(driftwatch, run, anonymous):
    """Asks until the answer is there."""
    driftwatch.start()

    def get(address):
        wait_until(lambda: anonymous.get(address).status_code != 202)
        return anonymous.get(address)

    return get


def test_asked_for_first_it_is_coming_and_then_it_is_there_even_for_a_viewer(driftwatch, run, anonymous):
    answer = anonymous.get(url(DEAD))
    assert (answer.status_code, answer.json) == (202, {"state": "coming"})
    assert answer.headers["Retry-After"] == "1"
    assert anonymous.get(url(DEAD)).status_code == 202
    assert [job.kind for job in driftwatch.store.jobs.active()] == ["explain"]
    driftwatch.start()
    wait_until(lambda: anonymous.get(url(DEAD)).status_code == 200)
    wait_until(lambda: driftwatch.store.jobs.active() == [])  # a job ends a little later than what it makes is there


def test_a_dead_block_is_why_its_layer_is_bad(ready, driftwatch):
    answer = ready(url(DEAD)).json
    assert (answer["state"], answer["model"], answer["method"]) == ("ready", driftwatch.model, "occlusion")
    assert (answer["run"], answer["wheel"], answer["sector"], answer["station"]) == (RUN, 0, 4, 1)
    assert [layer["layer"] for layer in answer["layers"]] == list(range(1, 13))
    (bad,) = [layer for layer in answer["layers"] if layer["bad"]]
    assert bad["layer"] == 6
    assert bad["score"] > 0.5
    assert bad["logit"] > 0 > bad["expected"]
    strongest = max(zip(bad["influence"], bad["cells"], bad["counts"], strict=True))
    assert 20 <= strongest[1] <= 31
    assert (strongest[0] > 0, strongest[2]) == (True, 0)


def test_the_scores_are_those_of_the_chamber(ready, anonymous):
    layers = ready(url(DEAD)).json["layers"]
    scores = anonymous.get(url(DEAD).removesuffix("/influence")).json["scores"]
    assert [layer["score"] for layer in layers] == pytest.approx(scores, abs=1e-4)


def test_layers_and_cells_that_do_not_exist_have_none(ready, driftwatch):
    layers = ready(url(ABSENT)).json["layers"]
    assert [layer["layer"] for layer in layers] == [1, 2, 3, 4, 9, 10, 11, 12]
    cells = driftwatch.store.items.get(RUN, ABSENT).histogram.cells
    for layer in layers:
        assert layer["cells"] == (np.flatnonzero(cells[layer["layer"] - 1]) + 1).tolist()
        assert len(layer["cells"]) == len(layer["counts"]) == len(layer["influence"])


def test_the_file_has_the_same_numbers(ready):
    answer = ready(url(DEAD, "?model=row-cnn-1&method=gradient_input")).json
    file = ready(url(DEAD, ".csv?model=row-cnn-1&method=gradient_input"))
    assert file.mimetype == "text/csv"
    name = "influence_302640_W0_S4_St1_row-cnn-1_gradient_input.csv"
    assert file.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    rows = list(csv.reader(io.StringIO(csv_text(file))))
    assert rows[0] == ["layer", "cell", "count", "influence"]
    expected = [
        (layer["layer"], *values)
        for layer in answer["layers"]
        for values in zip(layer["cells"], layer["counts"], layer["influence"], strict=True)
    ]
    assert [(int(r[0]), int(r[1]), int(r[2]), float(r[3])) for r in rows[1:]] == expected


def test_a_file_that_is_not_there_yet_is_coming_too(run, anonymous):
    answer = anonymous.get(url(DEAD, ".csv"))
    assert (answer.status_code, answer.json) == (202, {"state": "coming"})


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        (url(DEAD, "?method=lime"), 400, "occlusion"),
        (url(DEAD, "?colour=red"), 400, "no such field"),
        (url(DEAD, "?model=lime"), 404, "There is no model 'lime'"),
        (url(DEAD, "?model="), 200, ""),
        (url(DEAD, run=7), 404, "Run 7 has no"),
        (url(Chamber(1, 1, 1)), 404, "not loaded"),
        (URL.format(RUN, 0, 13, 2), 400, "sector"),
        (URL.format("abc", 0, 1, 2), 400, "run"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_its_reason(ready, driftwatch, address, status, says):
    answer = ready(address)
    assert answer.status_code == status
    assert says in answer.json.get("detail", "")


def test_a_failure_is_an_answer_and_not_for_ever_coming(ready, driftwatch):
    driftwatch.models.all()
    models = driftwatch.store._database["models"]
    models.update_one({"_id": "row-cnn-1"}, {"$set": {"card.architecture": "resnet"}})
    answer = ready(url(DEAD, "?model=row-cnn-1"))
    assert (answer.status_code, answer.json["code"]) == (500, "not-explained")
    assert "resnet" in answer.json["detail"]


def test_it_is_described(anonymous):
    described = anonymous.get("/api/v1/openapi.json").json
    path = described["paths"]["/api/v1/runs/{run}/chambers/{wheel}/{sector}/{station}/influence"]["get"]
    assert {"200", "202", "404"} <= set(path["responses"])
    assert {p["name"] for p in path["parameters"]} >= {"model", "method"}
