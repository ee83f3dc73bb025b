"""The pages of the models: what they show is what the registry has, and only experts change it."""

import json
import re
import shutil

import pytest

from app.errors import Conflict
from app.ml import models
from app.subsystems.dt.learning import evaluation
from app.subsystems.dt.learning import evaluation_pictures as pictures
from app.subsystems.dt.learning.evaluation_figures import Evaluation
from app.subsystems.dt.learning.known_chambers import LabelledChamber, simulated_test_set
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.learning.yardsticks import simple_statistics
from app.subsystems.dt.simulate import simulate_chambers
from app.web.shared.display import percent
from config import ROOT

SHIPPED = ROOT / "models"
ROW = SHIPPED / "row-cnn-1"


@pytest.fixture(scope="module")
def found():
    """An evaluation with simulated and real chambers; without the simpler methods, which take long to fit."""
    scorer = Scorer(ROW)
    chambers = [LabelledChamber(one.occupancy, one.bad) for one in simulate_chambers(80, seed=5, faulty=0.6)]
    compared = evaluation.compare(chambers, [scorer], [], 7, lambda line: None)
    return Evaluation(simulator_version=2, seed=7, resamples=200, simulated=compared, real=compared)


@pytest.fixture
def kept(driftwatch, found):
    driftwatch.models.keep_evaluation(
        models.load_card(ROW), found.model_dump_json(), pictures.pictures(found), by="ann"
    )
    return found


def test_the_list_has_every_model_with_its_state_and_what_its_card_says(client, driftwatch):
    page = client.get("/models/").text
    for model in driftwatch.models.all():
        assert f'href="/models/{model.name}/"' in page
        assert f"{model.card['parameters']:,}" in page
    states = re.findall(r'<span class="state is-\w+">.*?<span>(\w+)</span></span>', page)
    assert states.count("active") == 1
    assert "0.9198" in page  # the row network's area on all faults, not the one on what it was trained on
    assert "as shipped" in page


COLUMNS = ("model", "state", "architecture", "parameters", "area", "found", "threshold", "false_alarms", "runs")


@pytest.mark.parametrize("sort", [*COLUMNS, "added", "activated", "evaluation"])
def test_the_models_sort_by_each_column(client, driftwatch, sort):
    driftwatch.store.runs.request(1, "tests", 250)
    driftwatch.store.runs.update(1, state="finished", done=250, model="row-cnn-1")
    driftwatch.activate("row-cnn-1", by="eva")
    orders = []
    for descending, word in (("false", "ascending"), ("true", "descending")):
        page = client.get(f"/models/?sort={sort}&descending={descending}").text
        assert page.count(f'aria-sort="{word}"') == 1
        orders.append(re.findall(r'<th scope="row"><a href="/models/([^/]*)/"', page))
    assert sorted(orders[0]) == sorted(orders[1]) == ["chamber-scan-1", "row-cnn-1"]
    ties = ("threshold", "added", "evaluation")  # of the two that are shipped
    without = "activated"  # who was not, comes last either way
    if sort not in (*ties, without):
        assert orders[0] == orders[1][::-1]
    if sort in ("parameters", "area", "found"):
        assert orders[1] == ["chamber-scan-1", "row-cnn-1"]
    if sort in ("runs", without):
        assert orders[1] == ["row-cnn-1", "chamber-scan-1"]
    wrong = client.get("/models/?sort=colour")
    assert (wrong.status_code, "is not possible here" in wrong.text) == (400, True)


@pytest.fixture
def two_methods(driftwatch):
    """An evaluation of two networks on layers of known kinds of fault."""
    scorers = [Scorer(ROW), Scorer(SHIPPED / "chamber-scan-1")]
    compared = evaluation.compare(simulated_test_set(80, 5), scorers, [], 7, lambda line: None)
    found = Evaluation(simulator_version=2, seed=7, resamples=200, simulated=compared, real=compared)
    driftwatch.models.keep_evaluation(models.load_card(ROW), found.model_dump_json(), {}, by="ann")
    return compared


def test_the_tables_of_an_evaluation_sort_by_each_column(client, two_methods):
    methods, address = two_methods.methods, "/models/row-cnn-1/"
    columns = dict.fromkeys(re.findall(r"sort=((?:simulated|real)_\w+)", client.get(address).text))
    assert len(columns) == 2 * (2 + 3 + 2 + len(methods) + 8)
    for column in columns:
        page = client.get(f"{address}?sort={column}&descending=true").text
        assert page.count("aria-sort") == 1
        part = column.partition("_")[0]
        assert f'sort={column}&amp;descending=false#{part}"' in page
        assert page.count(f' id="{part}"') == 1

    def rows(column, words):
        """The heads of the rows of the table with these words, by a column downward; and its first number in each."""
        page = client.get(f"{address}?sort=simulated_{column}&descending=true").text
        body = page[page.index(words) :].partition("</table>")[0].partition("<tbody>")[2]
        return re.findall(r'<th scope="row">([^<]*?) ?<.*?<td class="number">([\d,.]*)', body, re.DOTALL)

    areas = {method.name: method.area.value for method in methods}
    assert [name for name, _ in rows("area", "What each method finds")] == sorted(areas, key=areas.get, reverse=True)
    layers = [int(number) for _, number in rows("layers", "by kind of fault")]
    assert len(layers) == len(two_methods.kinds) + 1 > 3
    assert layers[:-1] == sorted(layers[:-1], reverse=True)
    assert layers[-1] == methods[0].layers()  # all of them, always last
    marked = [float(number) for _, number in rows("at_score", "At the threshold")]
    assert marked == sorted(marked, reverse=True)
    wrong = client.get(f"{address}?sort=colour")
    assert (wrong.status_code, "is not possible here" in wrong.text) == (400, True)


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("/models/training/", "/models/"),
        ("/models/row-cnn-1/thresholds", "/models/row-cnn-1/"),
        ("/models/row-cnn-1/override", "/models/row-cnn-1/"),
    ],
)
def test_where_a_form_was_refused_the_headings_still_lead_to_its_page(client, address, page):
    answer = client.get(f"{address}?sort=model&descending=true")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{page}?sort=model&descending=true")


def test_a_model_has_its_card_thresholds_and_the_command_that_makes_it_again(anonymous, driftwatch):
    page = anonymous.get("/models/chamber-scan-1/").text
    card = models.load_card(SHIPPED / "chamber-scan-1")
    assert card.sha256 in page
    assert card.trained_on.command in page
    for threshold in card.thresholds.values():
        assert f'<td class="number">{threshold.score:g}</td>' in page
        assert f"{100 * threshold.false_alarms:.2g} %" in page
    assert "flask evaluate-model chamber-scan-1 --keep" in page
    assert anonymous.get("/models/none-such/").status_code == 404


def test_what_was_kept_of_an_evaluation_is_shown_with_its_pictures_and_its_numbers(client, kept):
    page = client.get("/models/row-cnn-1/").text
    method = kept.simulated.methods[0]
    assert f"{method.area.value:.4f}" in page
    assert "Real chambers" in page
    shown = {name for name in ("roc", "reliability", "found-by-kind", "roc-real") if f"/{name}.svg" in page}
    drawn = pictures.pictures(kept)
    assert shown == set(drawn)
    for name, svg in drawn.items():
        answer = client.get(f"/models/row-cnn-1/{name}.svg")
        assert answer.mimetype == "image/svg+xml"
        assert answer.data == svg
    assert client.get("/models/row-cnn-1/nothing.svg").status_code == 404
    assert json.loads(client.get("/models/row-cnn-1/evaluation.json").data) == json.loads(kept.model_dump_json())
    assert client.get("/models/chamber-scan-1/evaluation.json").status_code == 404
    assert ">stored</a>" in client.get("/models/").text


def test_what_a_shifter_meets_stands_first_by_kind_and_statistics(client, driftwatch):
    found = evaluation.compare(simulated_test_set(300, 7), [Scorer(ROW)], [simple_statistics()], 7, lambda line: None)
    kept = Evaluation(simulator_version=3, seed=7, resamples=200, simulated=found, real=None)
    driftwatch.models.keep_evaluation(models.load_card(ROW), kept.model_dump_json(), {}, by="ann")
    page = client.get("/models/row-cnn-1/").text
    at = found.network("row-cnn-1").shipped
    table = page[page.index("What a shifter meets") :].partition("</table>")[0]
    assert page.index("What a shifter meets") < page.index("area under ROC") < page.index("What each method finds")
    for kind in found.kinds:
        assert kind.replace("_", " ") in table
        assert percent(at.called_bad(kind, "from 6")) in table
    assert "good layers called bad" in table
    assert percent(at.good_called_bad()) in table
    beside = page[page.index("Beside the simple statistics") :].partition("</table>")[0]
    for kind in found.behind(found.network("row-cnn-1")):
        assert re.search(rf"{kind.replace('_', ' ')}</th>.*?find more", beside, re.DOTALL)
    assert found.behind(found.network("row-cnn-1"))  # the network of 2018 does not see them


def test_the_command_keeps_what_it_found_for_the_page(make_app, sign_in):
    app = make_app(driftwatch_user="eva")
    client = app.test_client()
    sign_in(client, "expert", "eva")
    ran = app.test_cli_runner().invoke(args=["evaluate-model", "row-cnn-1", "--chambers", "60", "--keep"])
    assert ran.exit_code == 0, ran.output
    page = client.get("/models/row-cnn-1/").text
    assert "60 chambers" in page
    assert "isolation forest" in page
    assert "roc.svg" in page


def test_figures_that_this_version_cannot_read_are_said_to_be_so(client, driftwatch, kept):
    driftwatch.store.models.keep_evaluation("row-cnn-1", '{"of": "another version"}', {}, by="ann")
    page = client.get("/models/row-cnn-1/")
    assert page.status_code == 200
    assert "Another version of the program" in page.text


def test_an_evaluation_of_another_file_of_the_same_name_is_not_kept(driftwatch, found):
    card = models.load_card(ROW).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(Conflict, match="another one"):
        driftwatch.models.keep_evaluation(card, found.model_dump_json(), {}, by="ann")


def test_an_expert_activates_and_retires_and_the_page_says_who_and_when(app, driftwatch, sign_in):
    client = app.test_client()
    sign_in(client, "expert", "berta")
    assert "Activate</button>" not in client.get("/models/chamber-scan-1/").text  # it is active
    assert client.post("/models/row-cnn-1/activate").status_code == 303
    assert driftwatch.model == "row-cnn-1"
    assert "<b>activated</b> by berta" in client.get("/models/row-cnn-1/").text
    assert "berta" in client.get("/models/").text
    assert client.post("/models/row-cnn-1/retire").status_code == 409  # the active one
    assert client.post("/models/chamber-scan-1/retire").status_code == 303
    page = client.get("/models/chamber-scan-1/").text
    assert "<b>retired</b> by berta" in page
    assert "Retire</button>" not in page
    assert client.post("/models/none-such/activate").status_code == 404


@pytest.mark.parametrize("action", ["activate", "retire"])
@pytest.mark.parametrize("role", [None, "viewer", "shifter"])
def test_nobody_below_an_expert_changes_which_model_is_used(app, driftwatch, sign_in, role, action):
    client = app.test_client()
    if role:
        sign_in(client, role)
    assert client.post(f"/models/row-cnn-1/{action}").status_code == (403 if role else 401)
    assert client.get(f"/models/row-cnn-1/{action}").status_code == 405
    page = client.get("/models/row-cnn-1/").text
    assert "Activate</button>" not in page
    assert "Retire</button>" not in page
    assert driftwatch.models.get("row-cnn-1").state == "candidate"


def test_a_model_without_training_or_figures_has_a_page_too(client, driftwatch, tmp_path):
    folder = tmp_path / "elsewhere-1"
    shutil.copytree(ROW, folder)
    changes = {"name": "elsewhere-1", "trained_on": None, "figures": None, "figures_all_faults": None, "origin": "2018"}
    unknown = {"shifter": models.Threshold(score=0.5, false_alarms=None)}
    card = models.load_card(ROW).model_copy(update={**changes, "thresholds": unknown})
    (folder / models.CARD_FILE).write_text(card.model_dump_json())
    driftwatch.models.add(folder, by="ann")
    assert client.get("/models/").status_code == 200
    page = client.get("/models/elsewhere-1/").text
    assert "Comes from" in page
    assert "Made by" not in page
