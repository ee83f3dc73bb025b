"""The models' pages, their API and the commands for a subsystem that the program was not written for."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from toy import TOY, Region, app_with_toy
from toy_learning import ToyLearning
from waiting import wait_until

from app.domain.labels import Seen

RUN = 302635
DT_WORDS = re.compile(r"wheel|sector|station|chamber|superlayer|layer", re.IGNORECASE)


@pytest.fixture
def make(make_app, demo, tmp_path, monkeypatch):
    """Makes an application with the drift tubes and a toy."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # of the process that trains and evaluates
    return partial(app_with_toy, make_app, tmp_path, dqm_url=demo.url, driftwatch_user="eva")


@pytest.fixture
def app(make):
    return make()


@pytest.fixture
def expert(app, sign_in):
    client = app.test_client()
    sign_in(client, "admin", "eva")
    return client


@pytest.fixture
def toy(app):
    return app.extensions["driftwatch"].of("toy")


@pytest.fixture
def fetched(toy):
    """The toy with a run, at work in the background."""
    toy.start()
    toy.ask_for_run(RUN, by="ann")
    wait_until(lambda: not toy.store.jobs.active())
    return toy


@pytest.fixture
def run_command(app, sign_in):
    sign_in(app.test_client(), "admin", "eva")

    def run(*arguments, **more):
        return app.test_cli_runner().invoke(args=list(arguments), **more)

    return run


def label(toy, place, bad):
    """Have somebody call channels of a region bad."""
    toy.labelling.submit("ann", RUN, place, bad, str(uuid.uuid4()), Seen.of(toy.store.items.get(RUN, place)))


def ended(toy, client, answer):
    """What the page of a job shows that a form asked for, once it is over; and the form's address was the toy's."""
    assert answer.status_code == 303
    assert "subsystem=toy" in answer.location
    wait_until(lambda: not toy.store.jobs.active())
    page = client.get(answer.location)
    assert page.status_code == 200
    return page.text


def content(page):
    """What a page says, without the frame that all pages have."""
    return page[page.index("<main") : page.index("</main>")]


def test_each_subsystem_lists_its_own_models_and_its_links_stay_with_it(expert, app):
    of_toy, of_dt = (expert.get(f"/models/{query}").text for query in ("?subsystem=toy", ""))
    assert 'href="/models/toy-1/?subsystem=toy"' in of_toy
    assert 'href="/api/v1/openapi.json?subsystem=toy"' in of_toy
    assert "row-cnn-1" not in of_toy
    assert 'href="/models/row-cnn-1/"' in of_dt
    assert "toy-1" not in of_dt
    assert expert.get("/models/row-cnn-1/?subsystem=toy").status_code == 404
    assert expert.get("/models/toy-1/").status_code == 404
    assert expert.get("/models/?subsystem=rpc").status_code == 400


def test_a_models_page_shows_its_card_thresholds_and_history(expert, app):
    page = expert.get("/models/toy-1/?subsystem=toy").text
    for words in ("active", "made by a test", "Thresholds", "0.6", "Limits", "It was not evaluated.", "added"):
        assert words in page
    assert "trained on is not known" not in page  # its card says where it comes from
    card = expert.get("/models/toy-1/card.md?subsystem=toy").text
    for words in ("# toy-1", "## Data", "made by a test", "## Thresholds", "| shifter | 0.6 |", "## Limits"):
        assert words in card


def test_an_expert_activates_retires_and_sets_a_threshold_of_a_model_of_one_subsystem_alone(expert, app, toy):
    dt = app.extensions["driftwatch"]
    before = dt.model
    assert expert.post("/models/toy-2/activate?subsystem=toy").location == "/models/toy-2/?subsystem=toy"
    assert (toy.model, dt.model) == ("toy-2", before)
    assert expert.post("/models/toy-1/retire?subsystem=toy").status_code == 303
    assert toy.models.get("toy-1").state == "retired"

    wrong = expert.post("/models/toy-2/thresholds?subsystem=toy", data={"score": "2", "use": "shifter"})
    assert wrong.status_code == 400
    assert "&#39;2&#39; is not possible here: it must be a number from 0 to 1." in wrong.text
    given = {"score": "0.3", "use": "shifter", "why": "quieter"}
    assert expert.post("/models/toy-2/thresholds?subsystem=toy", data=given).status_code == 303
    assert toy.models.bad_from("toy-2") == 0.3
    page = expert.get("/models/toy-2/?subsystem=toy").text
    assert "quieter" in page
    assert "<b>activated</b> by eva" in page


def test_runs_of_another_model_are_re_evaluated_from_the_models_page(expert, fetched):
    fetched.activate("toy-2", by="eva")
    page = expert.get("/models/toy-2/?subsystem=toy").text
    (address,) = re.findall(r'action="(/reevaluations/[^"]*)"', page)
    assert address == "/reevaluations/?subsystem=toy"
    assert expert.post(address, data={"all": "true"}).status_code == 303
    wait_until(lambda: fetched.store.runs.get(RUN).model == "toy-2")


def test_a_model_is_trained_from_labels_with_a_seed_and_a_note(expert, fetched):
    page = expert.get("/models/training/?subsystem=toy", follow_redirects=True).text
    assert 'name="seed"' in page
    assert 'name="note"' in page
    assert 'name="chambers"' not in page
    refused = expert.post("/models/training/?subsystem=toy", data={"seed": "5"})
    assert refused.status_code == 409
    assert "Too few labels: 0 good channels and 0 bad ones" in refused.text
    wrong = expert.post("/models/training/?subsystem=toy", data={"seed": "5000000"})
    assert wrong.status_code == 400
    assert "5000000 is not possible here: it must be" in wrong.text

    label(fetched, Region(1, 1), [3])
    answer = expert.post("/models/training/?subsystem=toy", data={"seed": "5", "note": "the first"})
    page = ended(fetched, expert, answer)
    for words in ("Training of a toy", "the first", "toy-3", "good channels", "done"):
        assert words in page
    part = expert.get(answer.location.replace("?", "?part=progress&")).text
    assert "<html" not in part
    model = fetched.models.get("toy-3")
    assert (model.state, model.card["thresholds"]["shifter"]["score"]) == ("candidate", 0.75)
    assert "seed 5, note the first" in expert.get("/models/?subsystem=toy").text
    job = answer.location.split("/")[3]
    assert expert.get(f"/models/training/{job}/").status_code == 404  # it is not the drift tubes'
    assert "/models/toy-3/" not in expert.get("/models/").text


def test_a_candidate_that_forgot_something_is_refused_until_an_expert_overrides_that(expert, fetched):
    fetched.activate("toy-2", by="eva")
    label(fetched, Region(1, 1), [3])  # its channel 1, half dead, is good
    label(fetched, Region(2, 1), [1, 3])  # and here it is bad
    ended(fetched, expert, expert.post("/models/training/?subsystem=toy", data={}))
    assert fetched.models.get("toy-3").refused
    page = expert.get("/models/toy-3/?subsystem=toy").text
    for words in ("Refused.", "What it was found to forget", "against", "toy-2", "Override the refusal"):
        assert words in page
    assert expert.post("/models/toy-3/activate?subsystem=toy").status_code == 409
    without = expert.post("/models/toy-3/override?subsystem=toy", data={})
    assert (without.status_code, "why it may be used" in without.text) == (400, True)
    assert expert.post("/models/toy-3/override?subsystem=toy", data={"reason": "labels"}).status_code == 303
    assert "eva overrode that" in expert.get("/models/toy-3/?subsystem=toy").text


def test_a_model_is_evaluated_and_its_figures_and_pictures_are_shown(expert, fetched):
    assert "Not evaluated yet." in expert.get("/models/toy-1/?subsystem=toy").text
    page = ended(fetched, expert, expert.post("/models/toy-1/evaluate?subsystem=toy"))
    for words in ('<th scope="row">false alarms</th><td>0</td>', '<th scope="row">found</th><td>0.75</td>'):
        assert words in page
    (picture,) = re.findall(r'<img src="([^"]*)"', page)
    assert expert.get(picture.replace("&amp;", "&")).mimetype == "image/svg+xml"
    assert expert.get("/models/toy-1/evaluation.json?subsystem=toy").json["items"] == 2
    figures = expert.get("/api/v1/models/toy-1/evaluation?subsystem=toy").json["figures"]
    assert figures["found"] == 0.75


def test_two_models_are_compared_and_the_figures_and_pictures_are_shown(expert, fetched):
    address = "/models/toy-2/compare/?subsystem=toy"
    page = expert.get(address).text
    assert "Not compared yet." in page
    assert "row-cnn-1" not in page
    assert '<input type="hidden" name="subsystem" value="toy">' in page  # a browser forgets the query of the address
    page = ended(fetched, expert, expert.post(address, data={"with": "toy-1", "runs": "3"}))
    for words in ("runs 1 run", str(RUN), '<th scope="row">runs 1 channels that differ</th><td>3</td>'):
        assert words in page
    (picture,) = re.findall(r'<img src="([^"]*)"', page)
    assert expert.get(picture.replace("&amp;", "&")).mimetype == "image/svg+xml"
    figures = expert.get("/api/v1/models/toy-2/comparisons/toy-1?subsystem=toy").json["figures"]
    assert figures["models"] == ["toy-2", "toy-1"]


def test_the_api_trains_evaluates_and_compares_models_of_a_second_subsystem(expert, fetched):
    label(fetched, Region(1, 1), [3])
    asked = expert.post("/api/v1/trainings?subsystem=toy", json={"seed": 7})
    assert (asked.status_code, asked.json["plan"]) == (202, {"seed": 7, "note": ""})
    wait_until(lambda: not fetched.store.jobs.active())
    training = expert.get(f"/api/v1/trainings/{asked.json['id']}?subsystem=toy").json
    assert (training["state"], training["model"]) == ("done", "toy-3")
    assert expert.get(f"/api/v1/trainings/{asked.json['id']}").status_code == 404
    assert expert.get("/api/v1/trainings").json == {"trainings": []}
    assert expert.post("/api/v1/trainings?subsystem=toy", json={"chambers": 500}).status_code == 400
    assert expert.post("/api/v1/trainings?subsystem=toy", json={"seed": 5_000_000}).status_code == 400
    assert expert.post("/api/v1/models/toy-3/evaluation?subsystem=toy").status_code == 202
    assert expert.post("/api/v1/models/toy-3/comparisons/toy-1?subsystem=toy", json={}).status_code == 202
    thresholds = expert.get("/api/v1/models/toy-3/thresholds?subsystem=toy").json["thresholds"]
    assert [(one["use"], one["score"]) for one in thresholds] == [("shifter", 0.75)]


def test_no_page_about_models_of_another_speaks_of_drift_tubes(expert, fetched):
    label(fetched, Region(1, 1), [3])
    fetched.evaluate("toy-1", by="eva")
    fetched.compare("toy-2", "toy-1", 3, by="eva")
    training = fetched.train(fetched.subsystem.learning().plan_of({"seed": 1}), by="eva")
    wait_until(lambda: not fetched.store.jobs.active())
    pages = ("", "toy-1/", "toy-2/", "toy-3/", "toy-2/compare/", f"training/{training.id}/", "toy-1/card.md")
    for page in pages:
        text = expert.get(f"/models/{page}?subsystem=toy").text
        said = content(text) if "<main" in text else text
        assert not DT_WORDS.findall(said), page
    assert expert.get("/models/training/labels?subsystem=toy").status_code == 400  # the drift tubes' own
    assert expert.get("/models/toy-1/curve.json?subsystem=toy").status_code == 400


class Unteachable(ToyLearning):
    cannot: Mapping[str, str] = {
        "train": "Models of the toy are not trained.",
        "evaluate": "Models of the toy are not evaluated.",
        "compare": "Models of the toy are not compared.",
        "convert": "Models of the toy come from nowhere else.",
    }


def test_what_a_subsystem_cannot_do_is_said_in_a_sentence_on_its_pages_by_the_api_and_by_commands(make, sign_in):
    app = make(toy=replace(TOY, learning=Unteachable))
    client, run = app.test_client(), app.test_cli_runner().invoke
    sign_in(client, "admin", "eva")
    for page, what, form in (
        ("/models/", "train", "Train a candidate"),
        ("/models/toy-1/", "evaluate", "Evaluate</button>"),
        ("/models/toy-2/compare/", "compare", "Compare</button>"),
    ):
        text = client.get(f"{page}?subsystem=toy").text
        assert Unteachable.cannot[what] in text
        assert form not in text
    for address, what, given in (
        ("/models/training/", "train", {"data": {"seed": "1"}}),
        ("/models/toy-1/evaluate", "evaluate", {}),
        ("/api/v1/trainings", "train", {"json": {}}),
        ("/api/v1/models/toy-1/evaluation", "evaluate", {}),
        ("/api/v1/models/toy-1/comparisons/toy-2", "compare", {"json": {}}),
    ):
        answer = client.post(f"{address}?subsystem=toy", **given)
        assert (answer.status_code, Unteachable.cannot[what] in answer.text) == (409, True), address
    for command, what in (
        (["train"], "train"),
        (["evaluate-model"], "evaluate"),
        (["models", "compare", "toy-2"], "compare"),
        (["models", "import", __file__], "convert"),
    ):
        ran = run(args=[*command, "--subsystem", "toy"])
        assert (ran.exit_code, ran.output.strip()) == (1, f"Error: {Unteachable.cannot[what]}")


def test_commands_about_models_take_the_subsystem(run_command, app, tmp_path):
    def said(*arguments):
        ran = run_command(*arguments, "--subsystem", "toy")
        assert ran.exit_code == 0, ran.output
        return ran.output

    assert [line.split()[0] for line in said("models", "list").splitlines()] == ["toy-1", "toy-2"]
    assert "toy" not in run_command("models", "list").output
    assert said("models", "show", "toy-1", "--markdown").startswith("# toy-1\n")
    assert said("models", "activate", "toy-2") == "toy-2: active\n"
    assert said("models", "threshold", "toy-2", "--score", "0.3", "--why", "x") == "toy-2: shifter 0.3\n"
    file = tmp_path / "theirs.json"
    file.write_text('{"bad_from": 0.8}')
    assert said("models", "import", str(file)) == "theirs: added\n"
    assert said("models", "retire", "theirs") == "theirs: retired\n"
    assert run_command("models", "retire", "theirs").output.startswith("Error: There is no model 'theirs'")
    evaluated = said("evaluate-model", "toy-1", "--keep", "--pictures", str(tmp_path / "svg"))
    assert re.search(r"^found +0\.75$", evaluated, re.MULTILINE)
    assert (tmp_path / "svg" / "found.svg").exists()
    assert json.loads(run_command("evaluate-model", "--subsystem=toy", "--json").stdout)["bad_from"] == 0.3


def test_runs_are_fetched_labelled_trained_from_compared_and_deleted_by_commands(run_command, app, tmp_path):
    toy = app.extensions["driftwatch"].of("toy")

    def said(*arguments):
        ran = run_command(*arguments, "--subsystem", "toy")
        assert ran.exit_code == 0, ran.output
        return ran.output

    assert said("fetch", str(RUN), "--wait").startswith(f"run {RUN}: finished, 5 regions, ")
    assert json.loads(said("runs", "--json"))["total"] == 6
    assert run_command("runs", "--json").output == ""
    too_few = run_command("train", "--subsystem", "toy")
    assert "Error: Too few labels" in too_few.output
    label(toy, Region(1, 1), [3])
    assert '"name": "toy-3"' in said("train", "--seed", "5", "--note", "by hand")
    assert re.search(r"^runs 1 channels that differ +3$", said("models", "compare", "toy-2"), re.MULTILINE)
    said("models", "activate", "toy-2")
    assert "1 of 1 runs" in said("reevaluate", "--all", "--wait")
    assert said("reevaluations", "list").count("toy-2") == 1
    assert "no other has" not in said("drift")
    said("export", "labels", "--out", str(tmp_path / "labels.jsonl"))
    assert said("delete", str(RUN), "--yes") == f"run {RUN}: deleted\n"
    root = run_command("fetch", "--root", "x.root", "--subsystem", "toy")
    assert root.exit_code == 1
    assert "runs of the toy detector come from a server." in root.output


def test_an_unknown_subsystem_and_a_command_that_another_has_are_one_clear_sentence(run_command, app):
    for command in (["models", "list"], ["train"], ["runs"], ["reevaluate", "--all"], ["drift"]):
        ran = run_command(*command, "--subsystem", "rpc")
        assert (ran.exit_code, ran.output) == (1, "Error: subsystem is 'rpc', but must be one of dt, toy.\n"), command
    ran = run_command("score", "-", "--subsystem", "toy")
    assert (ran.exit_code, ran.output) == (1, "Error: subsystem is 'toy', but must be dt: no other has this command.\n")


def test_a_command_shows_the_options_that_it_has_for_the_subsystem(run_command, app):
    assert "--without" in run_command("train", "--help").output
    of_toy = run_command("train", "--subsystem", "toy", "--help").output
    assert "--note" in of_toy
    assert "--without" not in of_toy
