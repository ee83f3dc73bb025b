"""What the store does for labelling besides: items of older databases, and embeddings."""

import numpy as np
import pytest

from app.domain.items import ItemQuery
from app.domain.judgement import Judgement, Verdict
from app.domain.labels import Seen
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.simulate import simulate_chamber

PLACE = Chamber(0, 1, 1)


@pytest.fixture
def judged(driftwatch):
    """One chamber with scores and an embedding."""
    items = driftwatch.store.items
    items.store(1, [(PLACE, simulate_chamber(302635, PLACE).occupancy)], "test")
    embedding = np.float16([1, 2, 3]).tobytes()
    judgement = Judgement((0.5,) * 12, (Verdict.BAD,) * 12, ("",) * 12, 0.0, embedding)
    items.keep_scores(1, [(PLACE, judgement, [])], driftwatch.model)
    return driftwatch


def test_an_embedding_is_kept_and_goes_with_the_scores_it_came_with(judged):
    queue, items = judged.store.queue, judged.store.items
    assert queue.embeddings([(1, PLACE)], judged.model) == [np.float16([1, 2, 3]).tobytes()]
    assert queue.embeddings([(1, PLACE)], "another") == []
    items.keep_scores(1, [(PLACE, Judgement((0.1,) * 12, (Verdict.GOOD,) * 12, ("",) * 12, 0.4), [])], judged.model)
    assert queue.embeddings([(1, PLACE)], judged.model) == []


def test_items_from_before_there_were_labels_can_be_labelled(judged, make_app):
    database = judged.store._database
    new = ("draw", "waiting", "labelled", "recheck", "held_until", "known")
    database["items"].update_many({}, {"$unset": dict.fromkeys(new, "")})
    database["upgrades"].delete_many({})
    assert judged.labelling.claim("ann").reason == "done"
    again = make_app(mongodb_uri=judged.settings.mongodb_uri).extensions["driftwatch"]
    assert again.labelling.claim("ann").item.place == PLACE
    assert [item.place for item in again.store.lists.find(ItemQuery(model=again.model, labelled=False))] == [PLACE]
    assert 0 <= database["items"].find_one()["draw"] < 1


def test_labels_from_before_lists_of_them_were_sorted_by_more_are_sorted_too(judged, make_app):
    seen = Seen.of(judged.store.items.get(1, PLACE))
    judged.labelling.submit("ann", 1, PLACE, [2, 3], "a-key-of-ann", seen)
    database = judged.store._database
    new = ("contaminated_score", "contaminated_bad", "called_bad", "scored_and_said")
    before = database["items"].find_one()
    database["items"].update_many({}, {"$unset": dict.fromkeys(new, "")})
    database["upgrades"].delete_many({})
    again = make_app(mongodb_uri=judged.settings.mongodb_uri).extensions["driftwatch"]
    again.store.ping()
    assert database["items"].find_one() == before
    assert [before[name] for name in new] == [0.5, False, 2, {"scores": [0.5] * 12, "bad": [2, 3]}]


def test_texts_that_look_like_the_databases_own_language_are_kept_as_they_are(judged):
    findings = [{"layer": 1, "text": "$model {$ne: 1} $$REMOVE"}]
    judgement = Judgement((0.1,) * 12, (Verdict.GOOD,) * 12, ("$worst",) * 12, 0.4)
    judged.store.items.keep_scores(1, [(PLACE, judgement, findings)], judged.model)
    item = judged.store.items.look(1, PLACE)
    assert (item.judgement.reasons[0], list(item.findings)) == ("$worst", findings)
