import hashlib
import json
import re
import shutil

import pytest

from app.errors import ModelRefused
from app.ml.models import CARD_FILE, MODEL_FILE, SHIFTER, Card, default_model, load_card, verified_file
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.training import SCORES
from config import ROOT

SHIPPED = ROOT / "models" / "row-cnn-1"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(SHIPPED, tmp_path / SHIPPED.name)


def change_card(folder, **fields):
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps({**card, **fields}))


@pytest.mark.slow
def test_the_model_in_use_ships_with_a_card_that_is_true_of_it():
    folder = default_model(ROOT / "models")
    card = load_card(folder)
    assert hashlib.sha256(verified_file(folder, card).read_bytes()).hexdigest() == card.sha256
    assert card.parameters == architecture(card.architecture).build().count_params()
    assert card.takes == architecture(card.architecture).takes
    assert card.threshold == SCORES[SHIFTER]
    assert card.created.utcoffset().total_seconds() == 0


def test_the_card_has_the_command_that_makes_the_model_again():
    trained_on = load_card(SHIPPED).trained_on
    assert trained_on.command == (
        f"flask train --architecture row-cnn --seed {trained_on.seed} --chambers {trained_on.chambers} "
        "--out models/row-cnn-1"
    )


def test_a_card_survives_being_written_and_read():
    card = load_card(SHIPPED)
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_a_file_that_is_not_its_cards_is_refused(folder):
    with (folder / MODEL_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelRefused, match=r"row-cnn-1 is not the one on its card: its sha256 is [0-9a-f]{12}…"):
        verified_file(folder, load_card(folder))


def test_a_missing_card_is_refused(folder):
    (folder / CARD_FILE).unlink()
    with pytest.raises(ModelRefused, match=r"row-cnn-1 has no card: .*card\.json is missing"):
        load_card(folder)


def test_a_missing_file_is_refused(folder):
    (folder / MODEL_FILE).unlink()
    with pytest.raises(ModelRefused, match=r"row-cnn-1 has no file: .*model\.keras is missing"):
        verified_file(folder, load_card(folder))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"colour": "blue"}, "colour: Extra inputs"),
        ({"sha256": "abc"}, "sha256: String should match"),
        ({"parameters": "many"}, "parameters: Input should be a valid integer"),
        ({"created": "2026-11-22T01:00:00"}, "created: Input should have timezone"),
        (
            {"thresholds": {"shifter": {"score": 1.5, "false_alarms": 0}}},
            "thresholds.shifter.score: Input should be less",
        ),
        ({"thresholds": {}}, "no threshold for the shifter"),
        ({"name": "another"}, "belongs to another"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_card_that_cannot_be_used_is_refused_with_what_is_wrong(folder, fields, said):
    change_card(folder, **fields)
    with pytest.raises(ModelRefused, match=re.escape(said)):
        load_card(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"name": "row-cnn-1"}'])
def test_a_card_that_is_no_card_is_refused(folder, text):
    (folder / CARD_FILE).write_text(text)
    with pytest.raises(ModelRefused, match="cannot be used"):
        load_card(folder)


def test_the_model_in_use_is_the_one_that_the_file_active_names(tmp_path):
    for name in ("row-cnn-1", "row-cnn-2"):
        (tmp_path / name).mkdir()
    (tmp_path / "active").write_text("row-cnn-2\n")
    assert default_model(tmp_path) == tmp_path / "row-cnn-2"


def test_without_the_file_active_no_model_is_in_use_however_many_there_are(tmp_path):
    (tmp_path / "row-cnn-1").mkdir()
    with pytest.raises(ModelRefused, match="No model is active"):
        default_model(tmp_path)


@pytest.mark.parametrize("text", ["", "row-cnn-9", "../models", "..", "."])
def test_the_file_active_must_name_a_model_beside_it(tmp_path, text):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "active").write_text(text)
    with pytest.raises(ModelRefused, match="does not exist"):
        default_model(folder)


def test_a_card_and_the_name_of_the_model_in_use_may_begin_with_a_byte_order_mark(folder):
    path = folder / CARD_FILE
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_card(folder).name == folder.name
    (folder.parent / "active").write_bytes(b"\xef\xbb\xbf" + folder.name.encode())
    assert default_model(folder.parent) == folder


def test_a_card_or_a_file_of_a_model_that_is_too_large_is_refused_with_the_bound(folder):
    card = load_card(folder)
    with (folder / MODEL_FILE).open("r+b") as file:
        file.truncate(15_000_001)
    with pytest.raises(ModelRefused, match="has more than 15,000,000 bytes"):
        verified_file(folder, card)
    (folder / CARD_FILE).write_bytes(b" " * 1_000_001)
    with pytest.raises(ModelRefused, match="has more than 1,000,000 bytes"):
        load_card(folder)
