import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from items import PLACES, judgement, key, load, score

from app.domain.items import ItemQuery
from app.domain.labels import EventKind, LabelState, Seen, project
from app.errors import Conflict, InvalidInput, NotFound, Reason, UnusableHistogram
from app.labelling.labels import StaleLabel
from app.labelling.queue import Claimed
from app.store.labels import LabelQuery


def look(driftwatch, place, run=1):
    return driftwatch.store.items.look(run, place)


# --- submitting ---


def test_a_label_keeps_who_when_what_and_what_was_shown(driftwatch, labelling, ten):
    claimed = labelling.claim("ann")
    item = claimed.item
    done = labelling.submit("ann", 1, item.place, [7, 3, 7], key(), claimed.seen, comment=" dead ", seconds=4.5)
    event = labelling.history(1, item.place, "bob")[0]
    assert done.created
    assert done.event == event
    assert (event.by, event.kind, event.bad, event.comment, event.seconds) == ("ann", "label", (3, 7), "dead", 4.5)
    assert (event.model, event.scored_at, event.scores) == (item.model, item.scored_at, item.judgement.scores)
    assert event.chosen["strategy"] == "certain"
    assert (event.chosen["layer"], event.chosen["rank"], event.chosen["of"]) == (3, 1, 10)
    assert event.chosen["control"] is False
    evaluation = look(driftwatch, item.place).evaluation
    assert (evaluation["by"], evaluation["bad"], evaluation["state"]) == ("ann", [3, 7], LabelState.LABELLED)


def test_the_same_submit_twice_is_one_label(driftwatch, labelling, ten):
    seen, once = Seen.of(look(driftwatch, ten[0])), key()
    first = labelling.submit("ann", 1, ten[0], [3], once, seen)
    again = labelling.submit("ann", 1, ten[0], [3], once, seen)
    assert (first.created, again.created) == (True, False)
    assert again.event.id == first.event.id
    assert driftwatch.store.labels.count(LabelQuery()) == 1


def test_a_key_that_was_used_for_something_else_is_refused(driftwatch, labelling, ten, submit):
    once = key()
    submit("ann", ten[0], [3], key=once)
    for person, place in (("ann", ten[1]), ("bob", ten[0])):
        with pytest.raises(InvalidInput, match="key is"):
            submit(person, place, [3], key=once)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("bad", {"bad": [13]}),
        ("bad", {"bad": [0]}),
        ("bad", {"bad": [True]}),
        ("bad", {"bad": ["3"]}),
        ("bad", {"bad": [3], "reason": "unclear"}),
        ("reason", {"reason": "tired"}),
        ("comment", {"comment": "x" * 2_001}),
        ("seconds", {"seconds": -1}),
        ("seconds", {"seconds": float("nan")}),
        ("key", {"key": "short"}),
    ],
)
def test_what_cannot_be_a_label_is_refused_by_its_field(driftwatch, submit, ten, field, given):
    with pytest.raises(InvalidInput) as refused:
        submit("ann", ten[0], **given)
    assert refused.value.field == field
    assert driftwatch.store.labels.count(LabelQuery()) == 0


def test_a_layer_that_the_chamber_does_not_have_is_refused(driftwatch, submit):
    place = type(PLACES[0])(wheel=0, station=4, sector=1)
    driftwatch.store.items.store(1, [(place, UnusableHistogram(Reason.ABSENT, "gone"))], "test")
    with pytest.raises(InvalidInput, match="bad is 5, but must be layers of this chamber: 1, 2, 3, 4, 9, 10"):
        submit("ann", place, [5])
    with pytest.raises(NotFound, match="Run 1 has no histogram of W0 St4 Sec1"):
        submit("ann", place, [9])


def test_who_saw_an_older_state_gets_what_is_there_now_and_may_decide(driftwatch, labelling, ten, submit):
    seen = Seen.of(look(driftwatch, ten[0]))
    submit("bob", ten[0], [5])
    with pytest.raises(StaleLabel, match="bob labelled W-2 St1 Sec1 of run 1 meanwhile") as stale:
        labelling.submit("ann", 1, ten[0], [3], key(), seen)
    current = stale.value.current
    assert [(event.by, event.bad) for event in current.events] == [("bob", (5,))]
    labelling.submit("ann", 1, ten[0], [3], key(), current.seen)
    assert look(driftwatch, ten[0]).evaluation["bad"] == [3]
    assert [event.by for event in labelling.history(1, ten[0], "eve")] == ["bob", "ann"]


def test_scores_that_changed_since_are_a_conflict_even_by_the_same_model(driftwatch, labelling, ten):
    seen = Seen.of(look(driftwatch, ten[0]))
    score(driftwatch, 1, {ten[0]: judgement({3: 0.9})})
    now = look(driftwatch, ten[0])
    if now.scored_at == seen.scored_at:  # within one millisecond
        score(driftwatch, 1, {ten[0]: judgement({3: 0.9})})
    with pytest.raises(StaleLabel, match="was scored again meanwhile") as stale:
        labelling.submit("ann", 1, ten[0], [3], key(), seen)
    assert stale.value.current.events == ()
    assert stale.value.current.item.judgement.scores[2] == 0.9
    labelling.submit("ann", 1, ten[0], [3], key(), stale.value.current.seen)


def test_what_others_skipped_or_withdrew_is_no_conflict(driftwatch, labelling, ten, submit):
    seen = Seen.of(look(driftwatch, ten[0]))
    submit("bob", ten[0], reason="unclear")
    withdrawn = submit("eve", ten[0], [1])
    labelling.undo("eve", withdrawn.event.id, key())
    assert labelling.submit("ann", 1, ten[0], [3], key(), seen).created


def test_a_lease_that_ran_out_loses_nothing(driftwatch, labelling, ten, expire):
    claimed = labelling.claim("ann")
    expire()
    assert labelling.claim("bob").item.place == claimed.item.place
    assert labelling.submit("ann", 1, claimed.item.place, [3], key(), claimed.seen).created
    assert labelling.held_by("bob") == []  # nothing is left to do there


def test_a_label_without_the_queue_is_kept_as_direct(submit, ten):
    assert submit("ann", ten[4], [3]).event.chosen == {"strategy": "direct"}


# --- skipping and undoing ---


def test_a_skip_is_no_label_and_does_not_come_back_to_the_same_person(driftwatch, labelling, ten):
    claimed = labelling.claim("ann")
    labelling.submit("ann", 1, claimed.item.place, [], key(), claimed.seen, reason="low_statistics")
    item = look(driftwatch, ten[0])
    assert (item.labelled, item.evaluation["state"], item.evaluation["reason"]) == (False, "skipped", "low_statistics")
    assert labelling.claim("ann").item.place == ten[1]
    assert labelling.claim("bob").item.place == ten[0]


def test_undo_gives_the_item_back_to_whom_withdrew_it(driftwatch, labelling, ten):
    claimed = labelling.claim("ann")
    done = labelling.submit("ann", 1, ten[0], [3], key(), claimed.seen)
    undone = labelling.undo("ann", done.event.id, key())
    assert (undone.item.labelled, undone.item.waiting, undone.item.evaluation) == (False, True, None)
    assert [(held.item.place, held.chosen["strategy"]) for held in labelling.held_by("ann")] == [(ten[0], "certain")]
    assert labelling.claim("bob").item.place == ten[1]
    again = labelling.submit("ann", 1, ten[0], [4], key(), Seen.of(undone.item))
    assert again.event.chosen == done.event.chosen
    assert [(e.kind, e.withdrawn) for e in labelling.history(1, ten[0], "bob")] == [
        (EventKind.LABEL, True),
        (EventKind.UNDO, False),
        (EventKind.LABEL, False),
    ]


def test_undo_of_a_skip_undoes_the_skip(labelling, ten, submit):
    done = submit("ann", ten[0], reason="")
    labelling.undo("ann", done.event.id, key())
    labelling.release("ann", [(1, ten[0])])
    assert labelling.claim("ann").item.place == ten[0]


def test_undo_twice_with_one_key_is_one_undo_and_with_another_a_conflict(driftwatch, labelling, ten, submit):
    done, once = submit("ann", ten[0], [3]), key()
    assert labelling.undo("ann", done.event.id, once).created
    assert not labelling.undo("ann", done.event.id, once).created
    with pytest.raises(Conflict, match="withdrawn already"):
        labelling.undo("ann", done.event.id, key())
    assert driftwatch.store.labels.count(LabelQuery()) == 2


def test_nobody_withdraws_what_another_said_or_what_was_answered_since(labelling, ten, submit):
    first = submit("ann", ten[0], [3])
    for label_id in (first.event.id, "nonsense"):
        with pytest.raises(NotFound):
            labelling.undo("bob", label_id, key())
    submit("bob", ten[0], [4])
    with pytest.raises(Conflict, match="bob said something of this chamber since"):
        labelling.undo("ann", first.event.id, key())


def test_mine_are_my_last_ones_that_stand_newest_first(labelling, ten, submit):
    done = [submit("ann", place, [3]) for place in ten]
    submit("bob", ten[0], [1])
    labelling.undo("ann", done[9].event.id, key())
    assert [event.place for event in labelling.mine("ann", 3)] == [ten[8], ten[7], ten[6]]


# --- labels outlive everything ---


def test_labels_survive_the_deletion_of_their_run_and_come_back_with_it(driftwatch, labelling, ten, submit):
    submit("ann", ten[0], [3])
    submit("ann", ten[1], reason="unclear")
    driftwatch.store.items.remove_run(1)
    load(driftwatch, 1, {place: judgement({3: 0.6}) for place in ten})
    labelling.project_run(1)
    labelled, skipped = look(driftwatch, ten[0]), look(driftwatch, ten[1])
    assert (labelled.labelled, labelled.evaluation["bad"], labelled.contamination) == (True, [3], pytest.approx(0.4))
    assert (skipped.waiting, skipped.skipped_by) == (True, ("ann",))


def test_scoring_again_works_out_the_contamination_and_touches_nothing_else_of_a_label(driftwatch, ten, submit):
    submit("ann", ten[0], [3])
    before = look(driftwatch, ten[0])
    assert (before.contamination, before.contaminated) == (pytest.approx(0.49), 3)
    score(driftwatch, 1, {ten[0]: judgement({3: 0.95, 11: 0.7, 12: None})})
    after = look(driftwatch, ten[0])
    assert (after.contamination, after.contaminated) == (pytest.approx(0.7), 11)
    same = {"contamination": None, "contaminated": None, "judgement": None, "scored_at": None, "state": None}
    assert replace(after, **same) == replace(before, **same)


def test_what_a_killed_program_left_between_event_and_item_is_reconciled(driftwatch, labelling, ten, submit):
    done = submit("ann", ten[0], [3])
    database = driftwatch.store._database
    database["labels"].update_many({}, {"$set": {"projected": False}})
    fields = ("evaluation", "label_seq", "labelled_by", "contamination")
    database["items"].update_many(
        {}, {"$unset": dict.fromkeys(fields, ""), "$set": {"waiting": True, "labelled": False}}
    )
    labelling.reconcile()
    item = look(driftwatch, ten[0])
    assert (item.waiting, item.evaluation["label"]) == (False, done.event.id)
    assert driftwatch.store.labels.unprojected() == set()


def test_an_older_projection_never_replaces_a_newer_one(driftwatch, labelling, ten, submit):
    submit("ann", ten[0], [3])
    older = driftwatch.store.labels.of_item(1, ten[0])
    submit("bob", ten[0], [4])
    driftwatch.store.queue.keep_labels(1, ten[0], project(older), older[-1], None)
    assert look(driftwatch, ten[0]).evaluation["bad"] == [4]


def test_two_who_submit_at_the_same_moment_are_one_label_and_one_conflict(driftwatch, labelling, ten):
    for place in ten:
        seen, begin, outcomes = Seen.of(look(driftwatch, place)), threading.Barrier(4), []

        def one(person, place=place, seen=seen, begin=begin, outcomes=outcomes):
            begin.wait()
            try:
                outcomes.append(labelling.submit(person, 1, place, [3], key(), seen).event.by)
            except StaleLabel as stale:
                outcomes.append([event.by for event in stale.current.events])

        threads = [threading.Thread(target=one, args=(person,)) for person in ("ann", "bob", "eve", "dan")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert len(winners) == 1
        assert [outcome for outcome in outcomes if outcome != winners[0]] == [winners] * 3
        assert [event.by for event in driftwatch.store.labels.of_item(1, place)] == winners


def test_one_submit_sent_many_times_at_once_is_one_label(driftwatch, labelling, ten):
    seen, once, outcomes = Seen.of(look(driftwatch, ten[0])), key(), []
    threads = [
        threading.Thread(target=lambda: outcomes.append(labelling.submit("ann", 1, ten[0], [3], once, seen)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome.created for outcome in outcomes) == 1
    assert len({outcome.event.id for outcome in outcomes}) == 1


# --- second opinions ---


@pytest.fixture
def doubled(make_driftwatch):
    """Every chamber wants a second opinion."""
    driftwatch = make_driftwatch(second_opinions=1)
    load(driftwatch, 1, {place: judgement({3: 0.51 + 0.02 * i}) for i, place in enumerate(PLACES[:3])})
    return driftwatch


def opinions(driftwatch, *bad):
    """ann's and bob's labels of the first chamber, by the queue."""
    for person, layers in zip(("ann", "bob"), bad, strict=True):
        claimed = driftwatch.labelling.claim(person)
        assert claimed.item.place == PLACES[0]
        driftwatch.labelling.submit(person, 1, PLACES[0], layers, key(), claimed.seen)


def test_a_second_person_labels_blind_and_then_nobody_more(doubled):
    labelling = doubled.labelling
    claimed = labelling.claim("ann")
    labelling.submit("ann", 1, PLACES[0], [3], key(), claimed.seen)
    item = look(doubled, PLACES[0])
    assert (item.labelled, item.waiting) == (True, True)
    assert [labelling.is_blind(item, person) for person in ("ann", "bob")] == [False, True]
    assert labelling.history(1, PLACES[0], "bob") == []
    assert labelling.claim("ann").item.place == PLACES[1]
    second = labelling.claim("bob")
    assert second.item.place == PLACES[0]
    assert labelling.submit("bob", 1, PLACES[0], [3], key(), second.seen).event.blind
    assert labelling.claim("eve").item.place == PLACES[2]
    assert len(labelling.history(1, PLACES[0], "bob")) == 2


def test_a_second_opinion_of_one_who_saw_no_first_is_taken_and_no_conflict(doubled, expire):
    labelling = doubled.labelling
    slow = labelling.claim("bob")
    expire()
    quick = labelling.claim("ann")
    labelling.submit("ann", 1, PLACES[0], [3], key(), quick.seen)
    assert labelling.submit("bob", 1, PLACES[0], [3], key(), slow.seen).event.blind


def test_two_that_differ_are_disputed_until_an_expert_decides(doubled):
    labelling = doubled.labelling
    with pytest.raises(Conflict, match="Nobody disagrees"):
        labelling.resolve("eve", 1, PLACES[0], [4], key())
    opinions(doubled, [3], [4])
    disputed = ItemQuery(model=doubled.model, disputed=True)
    assert [item.place for item in doubled.store.lists.find(disputed)] == [PLACES[0]]
    assert look(doubled, PLACES[0]).contamination is None
    assert labelling.agreement().disputed == 1
    once = key()
    labelling.resolve("eve", 1, PLACES[0], [4], once, "cells 3–9 are dead")
    assert not labelling.resolve("eve", 1, PLACES[0], [4], once).created
    item = look(doubled, PLACES[0])
    assert (item.evaluation["state"], item.evaluation["by"], item.evaluation["bad"]) == ("resolved", "eve", [4])
    assert doubled.store.lists.count(disputed) == 0
    with pytest.raises(Conflict, match="not any more"):
        labelling.resolve("eve", 1, PLACES[0], [4], key())


def test_agreement_and_progress_count_what_was_said(doubled):
    opinions(doubled, [3, 5], [3])
    found = doubled.labelling.agreement()
    assert [(pair.people, pair.items, pair.observed) for pair in found.pairs] == [(("ann", "bob"), 1, 11 / 12)]
    progress = doubled.labelling.progress("ann")
    assert (progress.mine_today, progress.everyone_today, progress.mine_total, progress.total) == (1, 2, 1, 2)
    assert progress.uncertain_left == 2
    assert [(p.name, p.total, p.agreement, p.compared) for p in progress.people] == [
        ("ann", 1, 11 / 12, 1),
        ("bob", 1, 11 / 12, 1),
    ]


def test_agreement_that_was_asked_for_before_counts_what_was_said_and_withdrawn_since(doubled):
    labelling = doubled.labelling
    assert labelling.agreement().pairs == ()
    opinions(doubled, [3, 5], [3])
    assert [pair.observed for pair in labelling.agreement().pairs] == [11 / 12]
    labelling.undo("bob", labelling.mine("bob")[0].id, key())
    assert labelling.agreement().pairs == ()


def test_progress_has_the_newest_runs_and_forgets_what_was_withdrawn(driftwatch, labelling, ten, submit):
    driftwatch.store.runs.request(1, "ann", 250)
    done = submit("ann", ten[0], [3])
    submit("ann", ten[1], [3])
    labelling.claim("bob")
    labelling.undo("ann", done.event.id, key())
    progress = labelling.progress("bob")
    assert (progress.mine_total, progress.total, progress.held) == (0, 1, 2)
    run = progress.runs[0]
    assert (run.run, run.judged, run.labelled, run.uncertain_left) == (1, 10, 1, 9)


# --- lists ---


def test_lists_of_items_know_labels(driftwatch, ten, submit):
    submit("ann", ten[0], [3])  # 0.49 off
    submit("bob", ten[1], [])  # 0.53 off
    submit("bob", ten[2], reason="unclear")
    find = driftwatch.store.lists.find
    query = ItemQuery(model=driftwatch.model)
    by_contamination = replace(query, labelled=True, sort="contamination", descending=True)
    assert [item.place for item in find(by_contamination)] == [ten[1], ten[0]]
    assert [item.place for item in find(replace(query, labelled=False))] == ten[2:]
    assert [item.place for item in find(replace(query, by="ann"))] == [ten[0]]


def test_lists_of_events_are_filtered_and_sorted(driftwatch, ten, submit):
    submit("ann", ten[1], [3])
    submit("bob", ten[0], reason="unclear")
    third = submit("ann", ten[2], [])
    labels = driftwatch.store.labels

    def found(**query):
        assert labels.count(LabelQuery(**query)) == len(labels.find(LabelQuery(**query)))
        return [event.place for event in labels.find(LabelQuery(**query))]

    assert found() == [ten[2], ten[0], ten[1]]
    assert found(descending=False) == [ten[1], ten[0], ten[2]]
    assert found(by="ann") == [ten[2], ten[1]]
    assert found(kind=EventKind.SKIP) == [ten[0]]
    assert found(run=2) == []
    assert found(place={"wheel": ten[0].wheel, "station": ten[0].station, "sector": ten[0].sector}) == [ten[0]]
    assert found(since=third.event.at) == [ten[2]]
    assert found(until=third.event.at) == [ten[0], ten[1]]
    assert found(until=third.event.at - timedelta(days=1)) == []
    assert found(sort="by", descending=False) == [ten[1], ten[2], ten[0]]


def test_a_claim_is_what_the_page_needs(labelling, ten):
    claimed = labelling.claim("ann")
    assert isinstance(claimed, Claimed)
    assert claimed.item.histogram.hits > 0
    assert claimed.why == "layer 3: 0.51; 1st of 10 uncertain"
    assert claimed.seen == Seen.of(claimed.item)
