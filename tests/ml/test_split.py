"""The frozen split: nothing stands on both sides of the test, and nothing that was labelled ever moves."""

import hashlib
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.domain.run_numbers import LARGEST_RUN
from app.ml.split import BLOCK, SPLIT, Split, is_test_run, kept_for_test, part_of
from app.subsystems.dt import DT

PLACES = DT.places()
runs = st.integers(1, LARGEST_RUN) | st.integers(302640, 302660)  # mostly others, and some of a few
items = st.tuples(runs, st.sampled_from(PLACES) | st.sampled_from(PLACES[:5]))


def dealt(labels):
    """(run, place) → part, of labels in the order in which they were given."""
    first_runs, parts = {}, {}
    for run, place in labels:
        parts[run, place] = part_of(DT, run, place, first_runs.setdefault(place, run))
    return parts


@given(st.lists(items, max_size=200))
def test_no_run_and_no_place_stands_on_both_sides_of_the_test(labels):
    runs, places = {}, {}
    for (run, place), part in dealt(labels).items():
        if part is not None:
            runs.setdefault(run, set()).add(part is Split.TEST)
            places.setdefault(place, set()).add(part)
    assert all(len(sides) == 1 for sides in (*runs.values(), *places.values()))


@given(st.lists(items, min_size=1, max_size=50), st.lists(items, max_size=50))
def test_labels_made_later_move_nothing(before, later):
    parts = dealt(before)
    assert dealt(before + later).items() >= parts.items()


def test_the_split_is_the_one_that_cards_name():
    """A change of a single assignment would let a test chamber be trained on: it needs a new name."""
    runs = "".join("ft"[is_test_run(run)] for run in range(1, 20_001))
    learnt, tested = 1, next(run for run in range(1, 2 * BLOCK) if is_test_run(run))
    assert not is_test_run(learnt)
    places = "".join(f"{str(part_of(DT, run, place, run))[:2]}" for run in (learnt, tested) for place in PLACES)
    assert SPLIT == "split 2"
    digest = hashlib.sha256(f"{runs} {places}".encode()).hexdigest()
    assert digest == "ea316d664a606df9cfa62c08d224056383a37eb5cc88b1b7ebf296f261fa0b9f"


def test_of_every_ten_consecutive_runs_of_a_block_one_is_for_the_test():
    for block in range(30_000, 30_200):
        assert sum(is_test_run(BLOCK * block + i) for i in range(BLOCK)) == 1


def test_a_place_is_on_the_side_on_which_it_was_labelled_first_but_for_a_few_that_are_kept():
    tested = next(run for run in range(302640, 302660) if is_test_run(run))
    learnt = next(run for run in range(302640, 302660) if not is_test_run(run))
    assert len(kept_for_test(DT)) == 6
    for place in PLACES:
        kept = place in kept_for_test(DT)
        assert part_of(DT, tested, place, tested) is Split.TEST
        assert part_of(DT, tested, place, learnt) is (Split.TEST if kept else None)
        assert part_of(DT, learnt, place, tested) is None
        assert (part_of(DT, learnt, place, learnt) is None) is kept
    parts = Counter(part_of(DT, learnt, place, learnt) for place in PLACES)
    assert 0.15 < parts[Split.VALIDATION] / (parts[Split.TRAINING] + parts[Split.VALIDATION]) < 0.25


def test_of_labels_spread_over_twenty_runs_at_most_a_fifth_is_left_out_and_some_are_for_the_test():
    """300 chambers in any order, and all of them, whole runs one after the other."""
    rng = np.random.default_rng(5)
    every = [(run, place) for run in range(302640, 302660) for place in PLACES]
    for _ in range(20):
        drawn = [every[i] for i in rng.permutation(len(every))[:300]]
        parts = Counter(dealt(drawn).values())
        assert parts[None] / 300 < 0.15
        assert parts[Split.TEST] >= 5
    parts = Counter(dealt(every).values())
    assert parts[None] / len(every) < 0.2
    assert parts[Split.TEST] >= 5
