from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from app.domain.judgement import Judgement, Verdict
from app.domain.labels import (
    MOST_COPIED,
    EventKind,
    LabelEvent,
    LabelState,
    SkipReason,
    project,
    shown,
    standing,
    unseen,
)
from app.domain.vocabulary import Class, Vocabulary
from app.errors import InvalidInput
from app.subsystems.dt.geometry import Chamber

GOOD = Class("good", is_fault=False)
CLASSES = Vocabulary((GOOD, Class("hot"), Class("dead")), (GOOD, Class("bad")))
PLACE = Chamber(0, 1, 1)
BEGIN = datetime(2026, 11, 22, tzinfo=UTC)


def history(*said):
    """Events from (by, kind, {fields}); an undo withdraws the event with the given seq."""
    events = []
    for seq, (by, kind, fields) in zip(count(1), said, strict=False):
        at = BEGIN + timedelta(minutes=seq)
        event = LabelEvent(str(seq), f"key-{seq}", 1, PLACE, seq, EventKind(kind), by, at)
        events.append(replace(event, **fields))
    return events


def label(by, *bad, **more):
    return by, "label", {"bad": bad, **more}


def skip(by):
    return by, "skip", {"reason": SkipReason.UNCLEAR}


def undo(by, seq):
    return by, "undo", {"undoes": str(seq)}


def resolve(by, *bad):
    return by, "resolve", {"bad": bad}


FIRST = {"second": True}
BLIND = {"blind": True}
DISPUTE = (label("ann", 1, **FIRST), label("bob", 2, **BLIND))


@pytest.mark.parametrize(
    ("said", "state", "bad", "waiting"),
    [
        ([], None, None, True),
        ([label("ann", 1, 7)], LabelState.LABELLED, [1, 7], False),
        ([label("ann")], LabelState.LABELLED, [], False),
        ([skip("ann")], LabelState.SKIPPED, [], True),
        ([skip("ann"), label("bob", 2)], LabelState.LABELLED, [2], False),
        ([label("ann", 2), skip("bob")], LabelState.LABELLED, [2], False),
        ([label("ann", 1), undo("ann", 1)], None, None, True),
        ([label("ann", 1), label("ann", 2), undo("ann", 2)], LabelState.LABELLED, [1], False),
        ([label("ann", 1), label("bob", 2)], LabelState.LABELLED, [2], False),  # bob saw what ann said
        ([label("ann", 1, **FIRST)], LabelState.LABELLED, [1], True),
        ([label("ann", 1, **FIRST), label("ann", 2)], LabelState.LABELLED, [2], True),
        ([label("ann", 1, **FIRST), label("bob", 1, **BLIND)], LabelState.LABELLED, [1], False),
        (DISPUTE, LabelState.DISPUTED, [2], False),
        ([*DISPUTE, undo("bob", 2)], LabelState.LABELLED, [1], True),
        ([*DISPUTE, label("bob", 1)], LabelState.LABELLED, [1], False),  # they talked
        ([*DISPUTE, label("eve", 2)], LabelState.DISPUTED, [2], False),  # a third cannot end it
        ([*DISPUTE, resolve("eve", 3)], LabelState.RESOLVED, [3], False),
        ([*DISPUTE, resolve("eve", 3), undo("eve", 3)], LabelState.DISPUTED, [2], False),
        ([*DISPUTE, resolve("eve", 3), label("ann", 4)], LabelState.LABELLED, [4], False),
    ],
)
def test_what_follows_from_what_was_said(said, state, bad, waiting):
    follows = project(history(*said))
    assert follows.seq == len(said)
    assert follows.waiting is waiting
    assert follows.labelled is (state not in (None, LabelState.SKIPPED))
    if state is None:
        assert follows.evaluation is None
    else:
        assert (follows.evaluation["state"], follows.evaluation["bad"]) == (state, bad)


def test_who_said_what_is_the_last_of_each_person():
    follows = project(history(skip("ann"), label("bob", 1), skip("eve"), label("eve", 2), label("ann", 1), skip("bob")))
    assert follows.labelled_by == ("ann", "bob", "eve")
    assert follows.skipped_by == ("bob",)
    assert follows.evaluation["people"] == 3


def test_a_label_that_came_by_its_contamination_is_not_rechecked_again():
    rechecked = label("bob", 1, chosen={"strategy": "contamination"})
    assert project(history(label("ann", 1))).recheck
    assert not project(history(label("ann", 1), rechecked)).recheck
    assert project(history(label("ann", 1), rechecked, undo("bob", 2))).recheck


def test_withdrawn_events_stand_no_more_and_nobody_need_have_seen_them():
    events = history(label("ann", 1), label("bob", 2), undo("bob", 2), skip("eve"))
    assert [event.seq for event in standing(events)] == [1, 4]
    assert [event.seq for event in unseen(events, 0)] == [1]
    assert unseen(events, 1) == []


def test_of_a_large_map_an_event_keeps_no_scores_but_the_names_of_them():
    few = Judgement((0.2,) * MOST_COPIED, (Verdict.GOOD,) * MOST_COPIED, ("",) * MOST_COPIED, 0.3)
    many = Judgement((*few.scores, 0.9), (*few.verdicts, Verdict.BAD), (*few.reasons, ""), 0.3)
    assert shown(few) == {"scores": few.scores, "verdicts": ("good",) * MOST_COPIED}
    assert shown(many) == shown(None) == {"scores": (), "verdicts": ()}


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ([3, 1], {1: "hot", 3: "hot"}),
        ({3: "dead", 2: "good", 0: "bad"}, {0: "bad", 3: "dead"}),
        ({}, {}),
    ],
)
def test_an_answer_is_the_class_of_each_part_that_is_not_of_the_first(given, answer):
    assert CLASSES.check("bad", given, range(5), "channels of this region") == answer


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({5: "dead"}, "channels of this region: 0, 1, 2, 3, 4"),
        ({"1": "dead"}, "channels of this region"),
        ([True], "channels of this region"),
        ({1: "bad"}, "one of good, hot, dead"),
        ({0: "dead"}, "one of good, bad"),
    ],
)
def test_a_part_or_a_class_that_is_none_is_refused(given, accepted):
    with pytest.raises(InvalidInput, match=accepted):
        CLASSES.check("bad", given, range(5), "channels of this region")


def test_people_who_call_a_part_by_different_faults_disagree():
    ann = ("ann", "label", {"bad": (3,), "classes": {3: "dead"}})
    bob = ("bob", "label", {"bad": (3,), "classes": {3: "hot"}, "blind": True})
    assert project(history(ann, bob)).evaluation["state"] == LabelState.DISPUTED
    assert project(history(ann, (*bob[:2], bob[2] | {"classes": {3: "dead"}}))).evaluation["classes"] == {"3": "dead"}
