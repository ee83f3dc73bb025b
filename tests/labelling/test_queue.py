import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest
from items import PLACES, judgement, key, load, score

from app.domain.strategies import Strategy
from app.errors import InvalidInput
from app.labelling.queue import NothingLeft
from app.store.queue import Order, QueueFilter


def finish(labelling, claimed, bad=(), person="ann", **more):
    return labelling.submit(person, claimed.item.run, claimed.item.place, bad, key(), claimed.seen, **more)


def test_the_least_certain_comes_first_and_nobody_gets_what_another_holds(labelling, ten):
    assert labelling.claim("ann").item.place == ten[0]
    assert labelling.claim("bob").item.place == ten[1]
    assert labelling.claim("eve").item.place == ten[2]


def test_a_reload_gives_back_what_i_hold_and_the_page_fetches_one_ahead(labelling, ten):
    first = labelling.claim("ann")
    assert labelling.claim("ann").item.place == first.item.place
    ahead = labelling.claim("ann", also_held=[(1, ten[0])])
    assert ahead.item.place == ten[1]
    assert labelling.claim("ann", also_held=[(1, ten[0])]).item.place == ten[1]
    assert [held.item.place for held in labelling.held_by("ann")] == ten[:2]
    assert [labelling.claim("ann").item.place for _ in range(2)] == [ten[0], ten[0]]
    assert [held.item.place for held in labelling.held_by("ann")] == [ten[0]]


def test_another_strategy_gives_back_what_the_former_one_gave(labelling, ten):
    labelling.claim("ann")
    assert labelling.claim("ann", Strategy.SCORE).item.place == ten[9]
    assert [held.item.place for held in labelling.held_by("ann")] == [ten[9]]
    assert labelling.claim("bob").item.place == ten[0]


def test_what_is_released_or_expired_is_free_again(labelling, ten, expire):
    labelling.claim("ann")
    labelling.release("ann", [(1, ten[0])])
    assert labelling.claim("bob").item.place == ten[0]
    expire()
    assert labelling.held_by("bob") == []
    assert labelling.claim("ann").item.place == ten[0]


def test_what_a_page_still_shows_is_not_given_again_though_it_was_given_back(labelling, ten):
    """The page is loaded again: what the old one gives back arrives after the new one was drawn."""
    labelling.claim("ann")
    labelling.release("ann", [(1, ten[0])])
    assert labelling.claim("ann", also_held=[(1, ten[0])]).item.place == ten[1]
    assert {held.item.place for held in labelling.held_by("ann")} == set(ten[:2])


def test_two_claims_of_one_person_at_the_same_moment_are_given_the_same(labelling, ten):
    for _ in range(20):
        with ThreadPoolExecutor(2) as pool:
            claims = [pool.submit(labelling.claim, "ann") for _ in range(2)]
        given = {claim.result().item.place for claim in claims}
        assert given == {ten[0]} == {held.item.place for held in labelling.held_by("ann")}
        labelling.release("ann", [(1, ten[0])])


def test_a_lease_is_renewed_by_its_holder_also_late_and_by_nobody_else(labelling, ten, expire):
    first = labelling.claim("ann")
    assert labelling.renew("ann", [(1, ten[0]), (1, ten[1])]) == [(1, ten[0])]
    assert labelling.held_by("ann")[0].held_until >= first.held_until
    assert labelling.renew("bob", [(1, ten[0])]) == []
    expire()
    assert labelling.renew("ann", [(1, ten[0])]) == [(1, ten[0])]
    expire()
    labelling.claim("bob")
    assert labelling.renew("ann", [(1, ten[0])]) == []
    assert labelling.renew("ann", []) == []


def test_two_tabs_of_one_person_get_a_chamber_each_and_closing_one_keeps_the_others(labelling, ten):
    one, two = (labelling.claim("ann", tab=tab).item for tab in ("tab-1", "tab-2"))
    assert (one.place, two.place) == (ten[0], ten[1])
    assert labelling.claim("ann", tab="tab-1").item.place == ten[0]
    labelling.release("ann", [(1, ten[0]), (1, ten[1])], tab="tab-1")
    assert [held.item.place for held in labelling.held_by("ann")] == [ten[1]]
    assert labelling.claim("bob").item.place == ten[0]
    assert labelling.claim("eve").item.place == ten[2]


def test_a_chamber_that_two_tabs_show_is_held_until_the_last_of_them_is_closed(labelling, ten):
    where = (1, labelling.claim("ann", tab="tab-1").item.place)
    assert labelling.renew("ann", [where], tab="tab-2") == [where]
    labelling.release("ann", [where], tab="tab-1")
    assert labelling.claim("bob").item.place == ten[1]
    labelling.release("ann", [where], tab="tab-2")
    assert labelling.claim("eve").item.place == ten[0]


def test_a_page_that_is_loaded_again_keeps_its_chamber_whichever_is_told_first(labelling, ten):
    where = (1, labelling.claim("ann", tab="before").item.place)
    labelling.renew("ann", [where], tab="after")
    labelling.release("ann", [where], tab="before")
    assert labelling.claim("bob").item.place == ten[1]
    labelling.release("ann", [where], tab="after")
    assert labelling.renew("ann", [where], tab="after once more") == [where]
    assert labelling.claim("eve").item.place == ten[2]


def test_a_tab_that_is_closed_gives_back_all_that_it_holds_also_what_it_had_not_been_told_of(labelling, ten):
    labelling.claim("ann", tab="tab-1")
    labelling.claim("ann", also_held=[(1, ten[0])], tab="tab-1")
    labelling.claim("ann", tab="tab-2")
    assert len(labelling.held_by("ann")) == 3
    labelling.release("ann", [], tab="tab-1")
    assert [held.item.place for held in labelling.held_by("ann")] == [ten[2]]
    labelling.release("ann", [])  # of no tab: nothing is meant
    assert len(labelling.held_by("ann")) == 1


def test_what_a_closed_tab_had_asked_for_and_is_answered_late_is_held_by_nobody(labelling, ten):
    where = (1, labelling.claim("ann", tab="tab-1").item.place)
    labelling.release("ann", [], tab="tab-1")
    assert labelling.renew("ann", [where], tab="tab-1") == []
    labelling.claim("ann", also_held=[where], tab="tab-1")
    assert labelling.held_by("ann") == []


def test_two_tabs_that_are_closed_at_the_same_moment_leave_nothing_held(labelling, ten):
    where = (1, ten[0])
    for _ in range(20):
        labelling.claim("ann", tab="tab-1")
        labelling.renew("ann", [where], tab="tab-2")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda tab: labelling.release("ann", [where], tab=tab), ("tab-1", "tab-2")))
        assert labelling.held_by("ann") == []


def test_what_is_left_in_another_tab_of_ones_own_is_told_as_held(driftwatch, labelling):
    load(driftwatch, 1, {PLACES[0]: judgement({3: 0.5})})
    labelling.claim("ann", tab="tab-1")
    nothing = labelling.claim("ann", tab="tab-2")
    assert (nothing.reason, nothing.held) == ("held", 1)
    assert nothing.text == "Nothing is free: others, or other tabs of yours, are working on the last 1."


def test_one_run_or_one_wheel_only(driftwatch, labelling, ten):
    other = [place for place in PLACES if place.wheel == -1][:2]
    load(driftwatch, 2, {place: judgement({5: 0.9}) for place in other})
    assert labelling.claim("ann", run=2).item.run == 2
    claimed = labelling.claim("bob", place={"wheel": -1})
    assert (claimed.item.place.wheel, claimed.item.run) == (-1, 2)
    assert claimed.why == "layer 5: 0.90; none is uncertain"
    for strategy in Strategy:
        labelling.claim("eve", strategy, run=2)


def test_an_unknown_strategy_is_refused_with_those_there_are(labelling, ten):
    with pytest.raises(InvalidInput, match="one of certain, random, score, contamination, diverse"):
        labelling.claim("ann", "alphabetical")


def test_only_what_the_model_in_use_has_judged_is_given_out(driftwatch, labelling):
    load(driftwatch, 1, {PLACES[0]: judgement(dict.fromkeys(range(1, 13)))})  # too few hits to judge
    score_other = {PLACES[1]: judgement({1: 0.5})}
    load(driftwatch, 1, score_other)
    score(driftwatch, 1, score_other, model="another")
    nothing = labelling.claim("ann")
    assert (nothing.reason, nothing.other_models) == ("done", 1)
    assert nothing.text == (
        "Nothing is left: everything requested is labelled. 1 of other runs are not scored by the active model."
    )


def test_the_person_is_told_whether_others_hold_the_rest_or_they_skipped_it_or_all_is_done(driftwatch, labelling):
    load(driftwatch, 1, {place: judgement({3: 0.5}) for place in PLACES[:2]})
    one, two = labelling.claim("ann"), labelling.claim("bob")
    held = labelling.claim("eve")
    assert (held.reason, held.held, held.text) == (
        "held",
        2,
        "Nothing is free: others, or other tabs of yours, are working on the last 2.",
    )
    finish(labelling, one, reason="unclear")
    finish(labelling, two, person="bob")
    skipped = labelling.claim("ann")
    assert (skipped.reason, skipped.skipped) == ("skipped", 1)
    last = labelling.claim("bob")
    finish(labelling, last, person="bob")
    assert [labelling.claim(person) for person in ("ann", "bob")] == [NothingLeft("done")] * 2


# --- strategies ---


def test_random_draws_from_all_and_all_are_drawn(driftwatch, labelling, ten):
    drawn = Counter()
    for person in range(60):
        claimed = labelling.claim(f"p{person}", Strategy.RANDOM)
        drawn[claimed.item.place] += 1
        assert claimed.why.endswith("; drawn at random")
        labelling.release(f"p{person}", [(1, claimed.item.place)])
    assert len(drawn) > 3


def test_controls_are_random_are_marked_and_read_the_same(make_driftwatch):
    driftwatch = make_driftwatch(control_share=1)
    load(driftwatch, 1, {place: judgement({3: 0.52 + 0.001 * i}) for i, place in enumerate(PLACES)})
    labelling = driftwatch.labelling
    claims = [labelling.claim(f"p{i}") for i in range(20)]
    assert all(claim.chosen["control"] for claim in claims)
    assert all(claim.why.endswith(" of 60 uncertain") for claim in claims)
    assert {claim.item.place for claim in claims} != set(PLACES[:20])
    assert len({claim.item.place for claim in claims}) == 20


def test_the_share_of_controls_is_the_setting(make_driftwatch):
    driftwatch = make_driftwatch(control_share=0.3)
    load(driftwatch, 1, {place: judgement({3: 0.52}) for place in PLACES})
    controls = 0
    for _ in range(100):
        claimed = driftwatch.labelling.claim("ann")
        controls += claimed.chosen["control"]
        driftwatch.labelling.release("ann", [(1, claimed.item.place)])
    assert 12 <= controls <= 50  # 30 ± 4.6; beyond these once in 10,000


def test_contamination_gives_the_greatest_disagreement_first_and_each_once(driftwatch, labelling, ten, submit):
    submit("ann", ten[0], [3])  # 0.49 off
    submit("ann", ten[5], [])  # 0.61 off
    submit("ann", ten[9], [3])  # 0.31 off
    first = labelling.claim("bob", Strategy.CONTAMINATION)
    assert (first.item.place, first.why) == (ten[5], "layer 3: 0.61; 1st of 3 to recheck")
    assert labelling.claim("eve", Strategy.CONTAMINATION).item.place == ten[0]
    finish(labelling, first, person="bob")
    assert labelling.claim("bob", Strategy.CONTAMINATION).item.place == ten[9]
    score(driftwatch, 1, {ten[5]: judgement({3: 0.99})}, model="another")
    score(driftwatch, 1, {ten[5]: judgement({3: 0.99})})  # a new model's opinion is new
    assert labelling.claim("dan", Strategy.CONTAMINATION).item.place == ten[5]


def test_diverse_items_are_uncertain_and_unlike_one_another(driftwatch, labelling):
    def at(x, y):
        return np.float16([x, y]).tobytes()

    corners = [at(0, 0), at(0, 1), at(9, 0), at(0, 9), at(9, 9), None]
    load(
        driftwatch,
        1,
        {p: judgement({3: 0.5 + i / 100}, e) for i, (p, e) in enumerate(zip(PLACES, corners, strict=False))},
    )
    done = []
    for _ in range(6):
        claimed = labelling.claim("ann", Strategy.DIVERSE)
        done.append(PLACES.index(claimed.item.place))
        finish(labelling, claimed)
    assert done[:2] == [0, 4]  # the least certain, then the farthest from it
    assert set(done[2:4]) == {2, 3}
    assert done[4:] == [1, 5]


def test_diverse_goes_on_with_the_least_certain_where_no_network_left_an_embedding(labelling, ten):
    first = labelling.claim("ann", Strategy.DIVERSE)
    finish(labelling, first)
    assert [first.item.place, labelling.claim("ann", Strategy.DIVERSE).item.place] == ten[:2]


def test_unlike_takes_the_chambers_first_that_are_farthest_from_what_was_seen_then_those_not_compared(
    labelling, ten, driftwatch
):
    driftwatch.store.items.keep_unlike(1, driftwatch.model, [(ten[3], 0.4), (ten[8], 3.0), (ten[6], 1.2)])
    done, why = [], []
    for _ in range(4):
        claimed = labelling.claim("ann", Strategy.UNLIKE)
        done.append(claimed.item.place)
        why.append(claimed.why.split("; ")[1])
        finish(labelling, claimed)
    assert done == [ten[8], ten[6], ten[3], ten[0]]
    assert why == [
        "1st of 2 unlike anything seen",
        "1st of 1 unlike anything seen",
        "none is unlike what was seen",
        "not compared with what the network has seen",
    ]


def test_unlike_keeps_to_a_run_and_a_wheel(labelling, ten, driftwatch):
    driftwatch.store.items.keep_unlike(1, driftwatch.model, [(place, 2.0 + i) for i, place in enumerate(ten)])
    wheel = ten[0].wheel
    assert labelling.claim("ann", Strategy.UNLIKE, run=1).item.place == ten[9]
    assert labelling.claim("bob", Strategy.UNLIKE, place={"wheel": wheel}).item.place.wheel == wheel
    assert isinstance(labelling.claim("eve", Strategy.UNLIKE, run=2), NothingLeft)


# --- known problems ---


def test_known_problems_can_be_left_out_and_come_back_when_they_end(driftwatch, labelling, ten):
    load(driftwatch, 2, {ten[0]: judgement({3: 0.5})})
    problem = labelling.problems.add("eve", ten[0], [5, 6, 7, 8], " dead since 2017 ", since=1, cells=(5, 8))
    assert labelling.problems.of(ten[0], 1) == [problem]
    assert (problem.text, problem.parts, problem.until) == ("dead since 2017", (5, 6, 7, 8), None)
    assert labelling.claim("ann", leave_out_known=True).item.place == ten[1]
    assert labelling.claim("bob").item.place == ten[0]
    labelling.release("bob", [(2, ten[0])])
    nothing = labelling.claim("ann", run=2, leave_out_known=True)
    assert (nothing.reason, nothing.known) == ("done", 1)
    assert nothing.text.endswith("1 with known problems are left out.")
    labelling.problems.end("eve", problem.id, until=1)
    assert labelling.problems.of(ten[0], 2) == []
    assert labelling.claim("ann", run=2, leave_out_known=True).item.place == ten[0]


def test_a_run_that_comes_later_knows_the_problems(driftwatch, labelling, ten):
    labelling.problems.add("eve", ten[0], [1], "dead", since=1, until=5)
    for run in (5, 6):
        load(driftwatch, run, {ten[0]: judgement({3: 0.5})})
        labelling.project_run(run)
    assert [driftwatch.store.items.look(run, ten[0]).known for run in (1, 5, 6)] == [True, True, False]
    assert [problem.place for problem in labelling.problems.list(run=5)] == [ten[0]]
    assert labelling.problems.count(place={"wheel": ten[0].wheel + 1}) == 0


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("layers", {"parts": []}),
        ("layers", {"parts": [13]}),
        ("text", {"text": " "}),
        ("text", {"text": "x" * 501}),
        ("until", {"until": 0}),
        ("cells", {"cells": (8, 5)}),
        ("cells", {"cells": (0, 5)}),
        ("cells", {"cells": (1, 50)}),
    ],
)
def test_a_problem_that_cannot_be_is_refused_by_its_field(labelling, ten, field, given):
    with pytest.raises(InvalidInput) as refused:
        labelling.problems.add("eve", ten[0], **({"parts": [1], "text": "dead", "since": 1} | given))
    assert refused.value.field == field


# --- speed and many at once ---


def test_the_next_item_is_read_from_an_index_whatever_is_done_already(driftwatch, submit):
    chosen = PLACES[:12]
    for run in range(1, 9):
        load(driftwatch, run, {place: judgement({3: 0.51 + i / 100}) for i, place in enumerate(chosen)})
        driftwatch.store.items.keep_unlike(run, driftwatch.model, [(place, i / 6) for i, place in enumerate(chosen)])
        for place in chosen[:4]:
            submit("ann", place, [], run=run)
    queue = driftwatch.store.queue
    for order, limits in product(Order, ({}, {"run": 7}, {"first_key": -2})):
        wanted = QueueFilter(driftwatch.model, **limits, labelled=order is Order.CONTAMINATION)
        found = queue._collection.find(queue._free("bob", wanted, datetime.now(UTC), order)).sort(*order.value)
        plan = found.hint(queue._index(wanted, order)).limit(1).explain()["executionStats"]
        few = 12 if "run" in limits else 1  # of one run, all are looked at and sorted
        assert plan["nReturned"] == 1
        assert plan["totalDocsExamined"] <= few, (order, limits)
        assert plan["totalKeysExamined"] <= few + 1, (order, limits)


def test_many_at_once_each_get_their_own_and_done_is_said_when_all_is_labelled(driftwatch, labelling):
    run_places = PLACES[:40]
    load(driftwatch, 1, {place: judgement({3: 0.51 + i / 1000}) for i, place in enumerate(run_places)})
    given, ends = [], []

    def work(person, strategy):
        while True:
            claimed = labelling.claim(person, strategy)
            if isinstance(claimed, NothingLeft):
                if claimed.reason == "held":
                    continue
                ends.append((claimed.reason, len(given)))
                return
            given.append((claimed.item.place, person))
            finish(labelling, claimed, person=person)

    strategies = [
        Strategy.CERTAIN,
        Strategy.CERTAIN,
        Strategy.RANDOM,
        Strategy.SCORE,
        Strategy.DIVERSE,
        Strategy.CERTAIN,
    ]
    threads = [threading.Thread(target=work, args=(f"p{i}", strategy)) for i, strategy in enumerate(strategies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(place for place, _ in given) == dict.fromkeys(run_places, 1)
    assert ends == [("done", 40)] * len(strategies)
    assert driftwatch.store.labels._collection.count_documents({}) == 40
