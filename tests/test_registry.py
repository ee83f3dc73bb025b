import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import keras2_files
import numpy as np
import pytest
from waiting import wait_until

from app.domain.models import ModelState
from app.errors import Conflict, InvalidInput, ModelRefused, NotFound
from app.ml import models as files
from app.ml.backend import keras, numpy_2_forgiven
from app.registry import Registry
from app.subsystems.dt.preprocess import layer_bins, row_scaled
from app.subsystems.dt.simulate import simulate_run
from config import ROOT

SHIPPED = ROOT / "models"


@pytest.fixture
def registry(driftwatch):
    return driftwatch.models


@pytest.fixture
def another(tmp_path):
    """A model of another name, with the file and the card of one that ships."""
    folder = tmp_path / "another-1"
    shutil.copytree(files.default_model(SHIPPED), folder)
    card = files.load_card(files.default_model(SHIPPED)).model_copy(update={"name": folder.name})
    (folder / files.CARD_FILE).write_text(card.model_dump_json())
    return folder


def test_a_new_database_has_the_models_that_ship_and_uses_the_one_that_they_name(registry):
    assert {model.name for model in registry.all()} == {path.parent.name for path in SHIPPED.glob("*/card.json")}
    assert registry.active == files.default_model(SHIPPED).name
    assert [model.name for model in registry.all() if model.state is ModelState.ACTIVE] == [registry.active]


def test_a_model_that_was_added_is_a_candidate_until_it_is_activated_and_exactly_one_is_active(registry, another):
    before = registry.active
    assert registry.add(another, by="ann").state is ModelState.CANDIDATE
    assert registry.active == before
    registry.activate("another-1")
    states = {model.name: model.state for model in registry.all()}
    assert states["another-1"] is ModelState.ACTIVE
    assert list(states.values()).count(ModelState.ACTIVE) == 1
    assert states[before] is ModelState.CANDIDATE


def test_the_choice_of_the_database_outlives_what_ships(registry, another, driftwatch):
    registry.add(another, by="ann")
    registry.activate("another-1")
    again = Registry(driftwatch.store, SHIPPED, driftwatch.settings.data_dir / "models")
    assert again.active == "another-1"


def test_adding_the_same_model_twice_is_adding_it_once_and_another_of_its_name_is_a_conflict(registry, another):
    registry.add(another, by="ann")
    count = len(registry.all())
    registry.add(another, by="bob")
    assert len(registry.all()) == count
    file = another / files.MODEL_FILE
    file.write_bytes(file.read_bytes() + b"x")
    card = files.load_card(another).model_copy(update={"sha256": files.sha256(file)})
    (another / files.CARD_FILE).write_text(card.model_dump_json())
    with pytest.raises(Conflict, match="already another model another-1"):
        registry.add(another, by="bob")


def test_the_active_model_cannot_be_retired_and_a_retired_one_comes_back_by_activation(registry, another):
    with pytest.raises(Conflict, match="is active"):
        registry.retire(registry.active)
    registry.add(another, by="ann")
    assert registry.retire("another-1").state is ModelState.RETIRED
    assert registry.activate("another-1").state is ModelState.ACTIVE


def test_a_model_that_is_not_there_names_those_that_are(registry):
    for action in (registry.get, registry.activate, registry.retire):
        with pytest.raises(NotFound, match=registry.active):
            action("@active")


def test_a_file_that_is_not_its_cards_is_refused_and_nothing_is_kept(registry, another):
    (another / files.MODEL_FILE).write_bytes(b"x")
    with pytest.raises(ModelRefused, match="is not the one on its card"):
        registry.add(another, by="ann")
    with pytest.raises(NotFound):
        registry.get("another-1")


def test_a_machine_that_has_no_file_gets_it_from_the_database_and_mends_a_damaged_one(
    registry, another, driftwatch, tmp_path
):
    registry.add(another, by="ann")
    elsewhere = Registry(driftwatch.store, SHIPPED, tmp_path / "elsewhere" / "models")
    assert elsewhere.scorer("another-1").version == "another-1"
    (tmp_path / "elsewhere" / "models" / "another-1" / files.MODEL_FILE).write_bytes(b"damaged")
    once_more = Registry(driftwatch.store, SHIPPED, tmp_path / "elsewhere" / "models")
    assert once_more.scorer("another-1").version == "another-1"


@pytest.fixture
def of_2018(tmp_path):
    """A Keras 2 file in the layout of 2018, and a network of today's Keras with the same weights."""
    network, weights = keras2_files.twin(keras2_files.twin_of_2018())
    path = tmp_path / "CNN 2018.h5"
    keras2_files.write(path, keras2_files.bare(keras2_files.of_2018()), weights)
    return path, network


def test_a_model_of_2018_is_imported_as_a_row_model_and_scores_as_it_did(registry, of_2018):
    path, network = of_2018
    assert registry.import_keras2(path, None, by="ann").name == "cnn-2018"
    card = files.Card.model_validate(registry.get("cnn-2018").card)
    assert (card.architecture, card.parameters, card.figures) == ("row-cnn", 786, None)
    assert path.name in card.origin
    scorer = registry.scorer("cnn-2018")
    simulated = list(simulate_run(302640).values())[:30]
    rows = row_scaled(layer_bins([s.occupancy for s in simulated]))
    expected = network.predict(rows[0], verbose=0)[:, 1]
    judged = scorer.judge([s.occupancy for s in simulated])[0]
    for layer, (score, verdict) in enumerate(zip(judged.scores, judged.verdicts, strict=True)):
        if verdict in ("good", "bad"):
            assert score == pytest.approx(expected[layer], abs=1e-6)


@pytest.mark.parametrize("name", ["../evil", "Row CNN", "", "@active", "x" * 100])
def test_an_imported_model_needs_a_name_that_a_model_can_have(registry, of_2018, name):
    with pytest.raises(InvalidInput, match="name is"):
        registry.import_keras2(of_2018[0], name or ".", by="ann")


def test_a_file_that_is_refused_leaves_nothing(registry, tmp_path):
    path = tmp_path / "broken.h5"
    path.write_bytes(b"no HDF5")
    before = registry.all()
    with pytest.raises(ModelRefused, match=r"broken\.h5 cannot be used"):
        registry.import_keras2(path, None, by="ann")
    assert registry.all() == before


def test_what_another_model_scored_is_scored_again_when_it_is_asked_for_again(driftwatch, another, demo):
    driftwatch.start()
    driftwatch.ask_for_run(302640, by="ann")
    wait_until(lambda: not driftwatch.store.runs.get(302640).busy and not driftwatch.store.jobs.active())
    old, before = driftwatch.model, demo.requests
    driftwatch.models.add(another, by="ann")
    driftwatch.activate("another-1", by="ann")
    driftwatch.ask_for_run(302640, by="ann")
    wait_until(lambda: not driftwatch.store.runs.get(302640).busy and not driftwatch.store.jobs.active())
    assert driftwatch.store.runs.get(302640).model == "another-1" != old
    assert {item.model for item in driftwatch.store.items.of_run(302640)} == {"another-1"}
    assert demo.requests == before


def network(last="softmax", also=(), bins=47):
    layers = keras().layers
    return keras().Sequential([keras().Input((bins,)), *also, layers.Dense(4), layers.Dense(2, activation=last)])


def with_a_lambda():
    return network(also=[keras().layers.Lambda(lambda x: 2 * x)])


def with_nan_weights():
    made = network()
    made.set_weights([np.full_like(weights, np.nan) for weights in made.get_weights()])
    return made


def with_logits_for_scores():
    made = network("linear")
    made.set_weights([np.full_like(weights, 3) for weights in made.get_weights()])
    return made


def with_other_inputs():
    return network(bins=12)


UNUSABLE = [
    (with_a_lambda, "cannot be loaded: .*Lambda"),
    (with_nan_weights, "gave nan for a score"),
    (with_logits_for_scores, "gave .* for a score"),
    (with_other_inputs, r"takes \(None, 12\)"),
]


@pytest.fixture
def unusable(tmp_path):
    """Makes the folder of a model with such a network and a sound card."""

    def make(made):
        folder = tmp_path / "broken-1"
        shutil.copytree(SHIPPED / "row-cnn-1", folder)
        with numpy_2_forgiven():
            made.save(folder / files.MODEL_FILE)
        card = files.load_card(SHIPPED / "row-cnn-1")
        changed = {"name": "broken-1", "sha256": files.sha256(folder / files.MODEL_FILE)}
        (folder / files.CARD_FILE).write_text(card.model_copy(update=changed).model_dump_json())
        return folder

    return make


@pytest.mark.parametrize(("make", "said"), UNUSABLE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_model_that_cannot_judge_is_not_put_into_use(registry, unusable, make, said):
    before = registry.active
    assert registry.add(unusable(make()), by="ann").state is ModelState.CANDIDATE
    with pytest.raises(Conflict, match=f"broken-1 cannot be put into use: .*{said}"):
        registry.activate("broken-1")
    assert registry.active == before


def test_a_page_that_cannot_put_a_model_into_use_says_why(client, registry, unusable):
    registry.add(unusable(with_other_inputs()), by="ann")
    answer = client.post("/models/broken-1/activate")
    assert answer.status_code == 409
    assert "should take (None, 47)" in answer.text


def test_a_model_that_can_judge_is_tried_once_and_put_into_use(registry, unusable, monkeypatch):
    registry.add(unusable(network()), by="ann")
    assert registry.activate("broken-1").state is ModelState.ACTIVE
    registry.activate("row-cnn-1")
    monkeypatch.setattr("app.subsystems.dt.learning.offer.LearningOfChambers.require_working", None)
    assert registry.activate("broken-1").works


def test_a_database_that_comes_from_elsewhere_puts_no_model_into_use_that_cannot_judge(driftwatch, tmp_path, unusable):
    folder = unusable(with_nan_weights())
    driftwatch.models.add(folder, by="ann")
    driftwatch.store._database["models"].update_one({"_id": "@active"}, {"$set": {"name": "broken-1"}})
    exported = driftwatch.exporting.export(["models"], "jsonl", "ann")
    (tmp_path / "models.jsonl").write_bytes(b"".join(exported.pieces))
    driftwatch.store._database["models"].delete_many({})
    found = driftwatch.importing.check(tmp_path / "models.jsonl", "models.jsonl", "ann")
    bad = {row.title: row.why for row in driftwatch.store.imports.rows(found.id) if row.why}
    assert list(bad) == ["broken-1"]
    assert "gave nan for a score" in bad["broken-1"]


def test_a_card_without_the_shifters_threshold_or_with_one_that_is_nothing_is_refused_in_an_import_too(
    driftwatch, tmp_path
):
    assert driftwatch.models.all()  # those that ship are kept when they are first asked for
    lines = b"".join(driftwatch.exporting.export(["models"], "jsonl", "ann").pieces).splitlines()
    for thresholds, said in (({}, "card"), ({"shifter": {"score": 1e-278, "false_alarms": None}}, "card.thresholds")):
        row = json.loads(lines[1])
        row["card"]["thresholds"] = thresholds
        (tmp_path / "models.jsonl").write_bytes(b"\n".join([lines[0], json.dumps(row).encode(), *lines[2:]]) + b"\n")
        found = driftwatch.importing.check(tmp_path / "models.jsonl", "models.jsonl", "ann")
        first = next(iter(driftwatch.store.imports.rows(found.id)))
        assert first.why.startswith(said)


def is_right(folder, model):
    return (folder / files.CARD_FILE).exists() and files.sha256(folder / files.MODEL_FILE) == model.sha256


def test_many_who_unpack_a_model_at_once_make_it_once_and_who_reads_it_meanwhile_sees_it_whole(driftwatch, tmp_path):
    name, unpacked, many = driftwatch.model, tmp_path / "models", 8
    model = driftwatch.models.get(name)
    (unpacked / name).mkdir(parents=True)
    (unpacked / name / files.MODEL_FILE).write_bytes(b"what a program left that was killed while it copied")
    at_once = threading.Barrier(many)

    def unpack(_):
        registry = Registry(driftwatch.store, SHIPPED, unpacked)
        registry.get(name)
        at_once.wait()
        folder = registry.folder(name)
        return [is_right(folder, model) for _ in range(50)]

    with ThreadPoolExecutor(many) as pool:
        assert all(all(looks) for looks in pool.map(unpack, range(many)))
    assert {path.name for path in unpacked.iterdir() if path.is_dir()} == {name}


def test_a_model_that_is_there_and_right_is_left_as_it_is(driftwatch, tmp_path):
    first, second = (Registry(driftwatch.store, SHIPPED, tmp_path / "models") for _ in range(2))
    folder = first.folder(driftwatch.model)
    before = [path.stat().st_ino for path in (folder, *sorted(folder.iterdir()))]
    assert second.folder(driftwatch.model) == folder
    assert [path.stat().st_ino for path in (folder, *sorted(folder.iterdir()))] == before
