"""Export, then import into an empty database, is the identity."""

import pytest
from filled_database import whole

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
