"""Export, then import into an empty database, is the identity."""

import pytest
from filled_database import PLACES, RUN, whole

from app.store.imports import Outcome


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_an_export_imported_into_an_empty_database_is_the_same_database(filled, empty, saved, imported, form):
    before = whole(filled)
    done = imported(empty, saved(filled, ["all"], form))
    assert done.total(*Outcome) == done.total(Outcome.NEW) > 30
    after = whole(empty)
    for collection, documents in before.items():
        assert after[collection] == documents, collection
    assert whole(filled) == before


def test_runs_that_were_fetched_and_scored_are_the_same_in_another_database(loaded, empty, saved, imported):
    there = loaded.extensions["driftwatch"]
    done = imported(empty, saved(there, ["all"], "parquet"))
    assert done.counts["scores"] == {"new": 500}
    assert whole(empty) == whole(there)


def test_a_refused_model_stays_refused_and_thresholds_stand_in_another_database(filled, empty, saved, imported):
    imported(empty, saved(filled, ["all"]))
    assert [str(empty.models.get(name).state) for name in ("row-cnn-8", "row-cnn-9")] == ["candidate", "refused"]
    assert empty.models.thresholds("chamber-scan-1") == filled.models.thresholds("chamber-scan-1")


def test_past_scores_come_back_in_another_database_and_trends_are_drawn_there(filled, empty, saved, imported):
    imported(empty, saved(filled, ["all"]))
    place = PLACES[3]
    (past,) = empty.store.past_scores.of_item(RUN, place, but="row-cnn-1")
    assert past == filled.store.past_scores.of_item(RUN, place, but="row-cnn-1")[0]
    assert empty.store.items.history(place, 1, RUN) == filled.store.items.history(place, 1, RUN) != []
