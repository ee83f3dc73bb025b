import pytest
from filled_database import PLACES, RUN, fill

from app.ml import models
from config import ROOT


@pytest.fixture
def filled(driftwatch):
    """A Driftwatch with two runs, what people said of them, and a model that was evaluated."""
    fill(driftwatch)
    fill(driftwatch, RUN + 1, PLACES[2:5])
    driftwatch.models.retire("row-cnn-1")
    card = models.load_card(ROOT / "models" / "chamber-scan-1")
    driftwatch.models.keep_evaluation(card, '{"of": "=no version"}', {"roc": b"<svg/>"}, by="ann")
    driftwatch.set_threshold(card.name, "shifter", 0.6, "=fewer false alarms", by="ann")
    file = (ROOT / "models" / "row-cnn-1" / models.MODEL_FILE).read_bytes()
    for name in ("row-cnn-8", "row-cnn-9"):  # made from labels, and forgetful
        named = models.load_card(ROOT / "models" / "row-cnn-1").model_copy(update={"name": name})
        check = {"against": card.name, "chambers": 10, "seed": 1, "tolerance": 0.05, "kinds": []}
        driftwatch.store.models.add(name, named.model_dump(mode="json"), file, "ann", check, refused=True)
    driftwatch.override_refusal("row-cnn-8", "=it is good enough", by="ann")
    return driftwatch


@pytest.fixture
def empty(make_app):
    """A Driftwatch on an empty database."""
    driftwatch = make_app().extensions["driftwatch"]
    driftwatch.store.ping()  # makes the indexes
    return driftwatch


@pytest.fixture
def saved(tmp_path):
    """Saves an export: `saved(driftwatch, ["all"], "csv")` is its path."""

    def save(driftwatch, kinds, form="jsonl", **more):
        export = driftwatch.exporting.export(kinds, form, by="ann", **{"whole": True, **more})
        path = tmp_path / export.name
        path.write_bytes(b"".join(export.pieces))
        return path

    return save


@pytest.fixture
def imported():
    """Imports a file: `imported(driftwatch, path)` is what came of it."""

    def import_here(driftwatch, path, **more):
        checked = driftwatch.importing.check(path, path.name, by="root")
        return driftwatch.importing.write(checked.id, by="root", **more)

    return import_here
