"""Whatever several people do, in whatever order: nothing is held twice, no label is lost or doubled, "done" is true.

Hypothesis chooses the steps; a model of a few lines says what has to be so after each of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from drawn import SOAK
from hypothesis import HealthCheck, register_random, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from items import PLACES, judgement, key, load
from items import score as rescore

from app.domain.labels import EventKind, Seen, project, standing
from app.domain.strategies import Strategy
from app.labelling.labels import StaleLabel
from app.labelling.queue import NothingLeft

PEOPLE = ("ann", "bob", "eve")
ITEMS = PLACES[:3]

people = st.sampled_from(PEOPLE)
places = st.sampled_from(ITEMS)
layers = st.sets(st.sampled_from((1, 3, 12)), max_size=2)
ways = st.sampled_from((*Strategy, Strategy.CERTAIN, Strategy.CERTAIN))


def interleavings(driftwatch) -> type[RuleBasedStateMachine]:
    """The steps, on a database that each example empties."""
    labelling, database = driftwatch.labelling, driftwatch.store._database
    driftwatch.store.ping()
    for chance in (labelling._random, labelling._queue._random):
        register_random(chance)  # or the same steps would not always do the same

    class Interleavings(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            for name in ("items", "labels"):
                database[name].delete_many({})
            load(driftwatch, 1, {place: judgement({3: 0.51 + i / 100}) for i, place in enumerate(ITEMS)})
            self.screens = {}  # person → the claim on the screen
            self.acknowledged = {}  # event id → (person, place, layers), of what the person was told is saved
            self.withdrawn = set()
            self.sent = []  # submits, to be sent again

        # --- what people do ---

        @rule(person=people, strategy=ways)
        def claim(self, person, strategy):
            holders = {place: item.held_by for place, item in self.items().items() if self.is_held(item)}
            claimed = labelling.claim(person, strategy)
            if isinstance(claimed, NothingLeft):
                self.check_nothing(person, strategy, claimed)
                return
            assert holders.get(claimed.item.place, person) == person
            assert person not in claimed.item.skipped_by
            if strategy is not Strategy.CONTAMINATION:
                assert claimed.item.waiting
                assert person not in claimed.item.labelled_by
            self.screens[person] = claimed

        @precondition(lambda self: self.screens)
        @rule(data=st.data(), bad=layers, decides=st.booleans())
        def submit(self, data, bad, decides):
            person, claimed = self.looked_at(data)
            place, seen, name = claimed.item.place, claimed.seen, key()
            newer = [e for e in standing(self.events(place)) if e.seq > seen.seq and e.kind is EventKind.LABEL]
            try:
                self.send(person, place, bad, name, seen)
            except StaleLabel as stale:
                now = self.items()[place]
                rescored = (now.model, now.scored_at) != (seen.model, seen.scored_at)
                assert newer or rescored
                if decides:
                    self.send(person, place, bad, name, stale.current.seen)
            else:
                assert not newer or self.events(place)[-1].blind

        @precondition(lambda self: self.screens)
        @rule(data=st.data(), goes_on=st.booleans())
        def skip(self, data, goes_on):
            person, claimed = self.looked_at(data)
            place = claimed.item.place
            labelling.submit(person, 1, place, [], key(), claimed.seen, reason="unclear")
            assert person in self.items()[place].skipped_by
            assert self.items()[place].held_by != person
            if goes_on:
                self.claim(person, Strategy.CERTAIN)

        @rule(person=people, place=places, bad=layers)
        def submit_without_the_queue(self, person, place, bad):
            self.send(person, place, bad, key(), Seen.of(self.items()[place]))

        @precondition(lambda self: self.sent)
        @rule(data=st.data())
        def send_again(self, data):
            event_id, sent = data.draw(st.sampled_from(self.sent))
            count = database["labels"].count_documents({})
            again = labelling.submit(*sent)
            assert (again.created, again.event.id) == (False, event_id)
            assert database["labels"].count_documents({}) == count

        @rule(person=people)
        def undo(self, person):
            last = labelling.mine(person, 1)
            if last and standing(self.events(last[0].place))[-1].id == last[0].id:
                labelling.undo(person, last[0].id, key())
                self.withdrawn.add(last[0].id)

        @precondition(lambda self: self.screens)
        @rule(data=st.data())
        def leave(self, data):
            person, _ = self.looked_at(data)
            labelling.release(person, [(held.item.run, held.item.place) for held in labelling.held_by(person)])
            assert labelling.held_by(person) == []

        # --- what happens meanwhile ---

        @rule(place=places, score=st.floats(0, 1), data=st.data())
        def something_happens(self, place, score, data):
            happening = data.draw(st.sampled_from(("expiry", "score", "score", "reload", "crash")))
            if happening == "expiry":
                self.leases_run_out()
            elif happening == "score":
                rescore(driftwatch, 1, {place: judgement({3: score})})
            elif happening == "reload":
                self.the_run_is_deleted_and_loaded_again()
            else:
                self.a_program_was_killed_before_it_wrote_the_item(place)

        def leases_run_out(self):
            past = datetime.now(UTC) - timedelta(seconds=1)
            database["items"].update_many({"held_by": {"$exists": True}}, {"$set": {"held_until": past}})

        def the_run_is_deleted_and_loaded_again(self):
            driftwatch.store.items.remove_run(1)
            load(driftwatch, 1, {place: judgement({3: 0.51 + i / 100}) for i, place in enumerate(ITEMS)})
            labelling.project_run(1)

        def a_program_was_killed_before_it_wrote_the_item(self, place):
            if self.events(place):
                identity = driftwatch.subsystem.identity(1, place)
                database["labels"].update_many(identity, {"$set": {"projected": False}})
                database["items"].update_one(identity, {"$set": {"label_seq": 0}})
                labelling.reconcile()

        # --- what has to be so ---

        @invariant()
        def every_acknowledged_label_is_there_once(self):
            stored = {d["_id"]: d for d in database["labels"].find({"kind": "label"})}
            ids = [str(event_id) for event_id in stored]
            assert sorted(ids) == sorted(self.acknowledged)
            for event_id, d in stored.items():
                person, place, bad = self.acknowledged[str(event_id)]
                assert (d["by"], d["bad"], d["sector"]) == (person, sorted(bad), place.sector)
                assert d["withdrawn"] == (str(event_id) in self.withdrawn)

        @invariant()
        def every_item_has_what_follows_from_its_events(self):
            for place, item in self.items().items():
                events = self.events(place)
                follows = project(events)
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                assert (item.seq, item.labelled, item.waiting) == (follows.seq, follows.labelled, follows.waiting)
                assert (item.evaluation, item.labelled_by) == (follows.evaluation, follows.labelled_by)
                assert item.skipped_by == follows.skipped_by
                self.check_contamination(item)

        @invariant()
        def nobody_holds_more_than_a_page_has(self):
            for person in PEOPLE:
                assert len(labelling.held_by(person)) <= 3

        # --- helpers ---

        def looked_at(self, data):
            """Somebody who has an item on the screen, and what they see; it is on the screen no more."""
            person = data.draw(st.sampled_from(sorted(self.screens)))
            return person, self.screens.pop(person)

        def send(self, person, place, bad, name, seen):
            sent = (person, 1, place, bad, name, seen)
            done = labelling.submit(*sent)
            assert done.created
            self.acknowledged[done.event.id] = (person, place, bad)
            self.sent.append((done.event.id, sent))

        def check_nothing(self, person, strategy, nothing):
            items = self.items().values()
            if strategy is Strategy.CONTAMINATION:
                left = [i for i in items if i.contamination is not None and not i.waiting and self.wants_recheck(i)]
            else:
                left = [i for i in items if i.waiting]
            mine = [i for i in left if person in i.skipped_by or person in i.labelled_by]
            if strategy is Strategy.CONTAMINATION:
                mine = [i for i in left if person in i.skipped_by]
            others = [i for i in left if i not in mine]
            assert all(self.is_held(item) and item.held_by != person for item in others)
            assert nothing.reason == ("held" if others else "skipped" if mine else "done")

        def check_contamination(self, item):
            evaluation = item.evaluation
            if not item.labelled or evaluation["state"] == "disputed":
                assert item.contamination is None
                return
            judged = enumerate(item.judgement.scores, 1)
            apart = {n: abs(s - (n in evaluation["bad"])) for n, s in judged if s is not None}
            assert item.contamination == pytest.approx(max(apart.values()))
            assert apart[item.contaminated] == pytest.approx(item.contamination)
            found = database["items"].find_one(driftwatch.subsystem.identity(1, item.place))
            assert found["contaminated_score"] == item.judgement.scores[item.contaminated - 1]
            assert found["contaminated_bad"] == (item.contaminated in evaluation["bad"])
            assert found["called_bad"] == len(evaluation["bad"])

        @staticmethod
        def wants_recheck(item):
            found = database["items"].find_one(driftwatch.subsystem.identity(1, item.place))
            return found["recheck"]

        @staticmethod
        def is_held(item):
            return bool(item.held_by) and item.held_until > datetime.now(UTC)

        @staticmethod
        def items():
            return {item.place: item for item in driftwatch.store.items.of_run(1)}

        @staticmethod
        def events(place):
            return driftwatch.store.labels.of_item(1, place)

    return Interleavings


@pytest.mark.drawn
@pytest.mark.parametrize("second_opinions", [0, 0.5])
def test_whatever_several_people_do_no_label_is_lost_and_nothing_is_held_twice(make_driftwatch, second_opinions):
    driftwatch = make_driftwatch(second_opinions=second_opinions, control_share=0.3)
    run_state_machine_as_test(
        interleavings(driftwatch),
        settings=settings(
            max_examples=50 if SOAK else 3,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
