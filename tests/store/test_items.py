import numpy as np
import pytest

from app.domain.items import ItemQuery, ItemState
from app.domain.judgement import Judgement, Verdict
from app.errors import NotFound, Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.simulate import simulate_run
from app.subsystems.dt.summary import spread, unpack

CHAMBERS = [Chamber(wheel=w, station=st, sector=sec) for w, st, sec in [(-2, 1, 1), (-1, 4, 13), (0, 2, 7), (2, 3, 12)]]


@pytest.fixture
def items(driftwatch):
    return driftwatch.store.items


@pytest.fixture
def lists(driftwatch):
    return driftwatch.store.lists


@pytest.fixture(scope="module")
def occupancies():
    simulated = simulate_run(302635)
    return {chamber: simulated[chamber].occupancy for chamber in CHAMBERS}


@pytest.fixture
def many_runs(items, lists, occupancies):
    """40 runs: in each two chambers judged, one not scored, one missing."""
    for run in range(1, 41):
        items.store(run, list(occupancies.items())[:3], "test")
        items.store(run, [(CHAMBERS[3], UnusableHistogram(Reason.ABSENT, "gone"))], "test")
        items.keep_scores(run, [(c, judgement(0.9 - run / 100), []) for c in (CHAMBERS[0], CHAMBERS[2])], "m1")
    return lists


def judgement(*scores: float | None) -> Judgement:
    """A judgement of 12 layers that begin with the given scores and end with 0.1."""
    full = (*scores, *[0.1] * (12 - len(scores)))
    verdicts = tuple(Verdict.UNJUDGED if s is None else Verdict.BAD if s >= 0.5 else Verdict.GOOD for s in full)
    known = [abs(0.5 - s) for s in full if s is not None]
    return Judgement(scores=full, verdicts=verdicts, reasons=("",) * 12, certainty=min(known, default=None))


def test_what_is_stored_comes_back_cell_for_cell(items, occupancies):
    items.store(1, occupancies.items(), "test")
    for chamber, occupancy in occupancies.items():
        item = items.get(1, chamber)
        assert item.histogram.counts.tolist() == occupancy.counts.tolist()
        assert (item.state, item.hits, item.judgement) == (ItemState.UNSCORED, occupancy.hits, None)


def test_storing_twice_is_storing_once(items, occupancies):
    for _ in range(2):
        items.store(1, occupancies.items(), "test")
    assert len(items.of_run(1)) == len(CHAMBERS)


def test_a_reason_never_replaces_a_histogram_but_a_histogram_replaces_a_reason(items, occupancies):
    chamber = CHAMBERS[0]
    items.store(1, [(chamber, UnusableHistogram(Reason.NOT_JSON, "it was empty"))], "test")
    missing = items.get(1, chamber)
    assert (missing.state, missing.missing, missing.detail) == (ItemState.MISSING, Reason.NOT_JSON, "it was empty")
    items.store(1, [(chamber, occupancies[chamber])], "test")
    items.store(1, [(chamber, UnusableHistogram(Reason.ABSENT, "gone"))], "test")
    found = items.get(1, chamber)
    assert (found.state, found.missing) == (ItemState.UNSCORED, None)
    assert found.histogram is not None


def test_fetching_and_scoring_again_never_touch_what_people_said(items, occupancies):
    items.store(1, occupancies.items(), "test")
    said = {"bad": [3, 12], "by": "ann"}
    items._collection.update_many({}, {"$set": {"evaluation": said}})
    items.store(1, occupancies.items(), "test")
    items.keep_scores(1, [(chamber, judgement(0.9), []) for chamber in CHAMBERS], "m1")
    items.keep_scores(1, [(chamber, judgement(0.2), []) for chamber in CHAMBERS], "m2")
    items.store(1, occupancies.items(), "test")
    assert [item.evaluation for item in items.of_run(1)] == [said] * len(CHAMBERS)


def test_scores_of_a_deleted_item_bring_nothing_back(items, occupancies):
    items.store(1, occupancies.items(), "test")
    items.remove_run(1)
    items.keep_scores(1, [(CHAMBERS[0], judgement(0.9), [])], "m1")
    assert items.of_run(1) == []


def test_only_what_a_model_has_not_scored_is_to_be_scored(items, occupancies):
    items.store(1, occupancies.items(), "test")
    items.keep_scores(1, [(CHAMBERS[0], judgement(0.9), [])], "m1")
    assert {chamber for chamber, _ in items.to_score(1, "m1")} == set(CHAMBERS[1:])
    assert {chamber for chamber, _ in items.to_score(1, "m2")} == set(CHAMBERS)


def test_a_list_ranks_by_one_model_only_least_certain_first(items, lists, occupancies):
    items.store(1, occupancies.items(), "test")
    for chamber, score in zip(CHAMBERS, (0.9, 0.45, 0.52, None), strict=True):
        scores = judgement(*[None] * 12) if score is None else judgement(score)
        items.keep_scores(1, [(chamber, scores, [])], "m1")
    items.keep_scores(1, [(CHAMBERS[0], judgement(0.5), [])], "m2")
    assert [item.place for item in lists.find(ItemQuery(model="m1"))] == [CHAMBERS[2], CHAMBERS[1]]
    assert [item.place for item in lists.find(ItemQuery(model="m2"))] == [CHAMBERS[0]]
    unjudged = ItemQuery(model="m1", states=frozenset({ItemState.UNJUDGED}))
    assert [item.place for item in lists.find(unjudged)] == [CHAMBERS[3]]


@pytest.mark.parametrize("sort", ["certainty", "score", "state", "run", "wheel", "station", "sector"])
@pytest.mark.parametrize("descending", [False, True])
def test_every_order_of_a_list_is_read_from_an_index_and_only_as_far_as_shown(many_runs, sort, descending):
    query = ItemQuery(model="m1", states=frozenset(ItemState), sort=sort, descending=descending)
    order = [(name, -1 if descending else 1) for name in many_runs.SORTS[sort]]
    explained = many_runs._collection.find(many_runs._filter(query)).sort(order)
    explained = explained.hint(many_runs._index(query, 5)).limit(5).explain()
    assert "'SORT'" not in str(explained["queryPlanner"]["winningPlan"])
    assert explained["executionStats"]["totalDocsExamined"] <= 10
    assert len(many_runs.find(query, limit=200)) == 160


def test_a_page_of_a_list_reads_only_its_own_documents_and_no_histogram(many_runs):
    query = ItemQuery(model="m1", place={"wheel": 0})
    found = (
        many_runs._collection.find(many_runs._filter(query))
        .sort([(name, 1) for name in many_runs.SORTS["certainty"]])
        .hint(many_runs._index(query, 5))
        .limit(5)
    )
    assert found.explain()["executionStats"]["totalDocsExamined"] == 5
    assert all(item.histogram is None for item in many_runs.find(query))


def test_filters_apply_together(items, lists, occupancies):
    for run in (1, 2):
        items.store(run, occupancies.items(), "test")
        items.keep_scores(run, [(c, judgement(0.2 * i), []) for i, c in enumerate(CHAMBERS)], "m1")
    query = ItemQuery(model="m1", run=2, place={"wheel": 0, "station": 2}, least=0.3, most=0.5)
    assert [(item.run, item.place) for item in lists.find(query)] == [(2, CHAMBERS[2])]
    assert lists.count(query) == 1
    assert lists.count(ItemQuery(model="m1", run=2, least=0.5)) == 1


def test_the_same_place_in_other_runs_comes_in_the_order_of_runs(items, occupancies):
    for run in (5, 1, 9, 3, 7):
        items.store(run, occupancies.items(), "test")
    assert [item.run for item in items.of_place(CHAMBERS[0], around=5, each_side=1)] == [3, 7]


def test_a_summary_counts_states_and_reasons(items, occupancies):
    items.store(1, occupancies.items(), "test")
    items.store(1, [(Chamber(wheel=1, station=1, sector=1), UnusableHistogram(Reason.ABSENT, "gone"))], "test")
    items.keep_scores(1, [(CHAMBERS[0], judgement(0.9, 0.8), []), (CHAMBERS[1], judgement(), [])], "m1")
    counts, reasons = items.tally(1).counts, items.tally(1).reasons
    expected = {"judged": 2, "unjudged": 0, "unscored": 2, "missing": 1, "bad_items": 1, "bad_parts": 2}
    expected |= {"parts": 24, "bad_wheel_-2": 2, "bad_wheel_-1": 0, "bad_station_1": 2, "bad_kind_score": 2}
    assert ({name: counts[name] for name in expected}, reasons) == (expected, {"absent": 1})
    assert spread([counts["worst_scores"]])[0, 0].tolist() == [0] * 18 + [1, 0]  # 0.9, of wheel −2 and station 1
    assert spread([counts["certainties"]])[1, 3].tolist() == [0] * 8 + [1, 0]  # 0.4, of wheel −1 and station 4


def test_an_item_that_is_not_there_is_not_found(items):
    with pytest.raises(NotFound, match="Run 1 has no W-2 St1 Sec1"):
        items.get(1, CHAMBERS[0])


def test_a_place_through_all_runs_is_read_from_the_index_alone(items, many_runs):
    history = items.history(CHAMBERS[0], 5, 30)
    assert [run for run, *_ in history] == list(range(5, 31))
    assert [round(score, 3) for score in unpack([packed for _, _, packed, _ in history])[:, 0]] == [
        pytest.approx(0.9 - run / 100, abs=1e-3) for run in range(5, 31)
    ]
    wanted = {"subsystem": "dt", "wheel": -2, "station": 1, "sector": 1, "run": {"$gte": 5, "$lte": 30}}
    fields = {"_id": 0, "run": 1, "model": 1, "part_scores": 1, "part_rates": 1}
    plan = many_runs._collection.find(wanted, fields).sort("run", 1).hint("history").explain()["executionStats"]
    assert (plan["totalDocsExamined"], plan["totalKeysExamined"]) == (0, 26)
    assert items.history(CHAMBERS[3], 1, 40) == []  # missing everywhere


def test_rates_are_hits_over_the_cells_of_each_layer(items, occupancies):
    items.store(1, occupancies.items(), "test")
    for chamber, occupancy in occupancies.items():
        ((_, model, scores, rates),) = items.history(chamber, 1, 1)
        assert (model, scores) == (None, None)
        expected = {layer.number: occupancy.row(layer.number).mean() for layer in chamber.layers}
        for layer, rate in enumerate(unpack([rates])[0], start=1):
            assert rate == pytest.approx(expected[layer], rel=1e-3) if layer in expected else np.isnan(rate)


def test_what_is_older_than_trends_gets_what_they_read(driftwatch, items, occupancies):
    items.store(1, occupancies.items(), "test")
    items.keep_scores(1, [(c, judgement(0.9), []) for c in CHAMBERS], "m1")
    driftwatch.store.runs.request(1, "tests", 4)
    driftwatch.store.runs.update(1, state="finished", summary={"bad_items": 4})
    kept = {c: items.history(c, 1, 1) for c in CHAMBERS}
    items._collection.update_many({}, {"$unset": {"part_scores": "", "part_rates": ""}})
    assert items.history(CHAMBERS[0], 1, 1) == []
    items.upgrade_history()
    driftwatch.store.runs.upgrade(lambda run: items.tally(run).counts)
    assert {c: items.history(c, 1, 1) for c in CHAMBERS} == kept
    assert driftwatch.store.runs.get(1).summary["bad_station_4"] == 1
    assert [values[1] for values in driftwatch.store.runs.summaries(["bad_parts"], 1, 9)] == [4]
