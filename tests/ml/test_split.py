"""The frozen split: nothing stands on two sides, and nothing ever moves."""

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from app.ml.split import SPLIT, Part, part_of, part_of_place, part_of_run
from app.run_numbers import LARGEST_RUN
from app.subsystems.dt import DT

PLACES = DT.places()
items = st.tuples(st.integers(1, LARGEST_RUN), st.sampled_from(PLACES))


@given(st.lists(items, max_size=200))
def test_no_run_and_no_place_stands_in_two_parts(those):
    runs, places = {}, {}
    for run, place in those:
        part = part_of(DT, run, place)
        if part is not None:
            runs.setdefault(run, set()).add(part)
            places.setdefault(place, set()).add(part)
    assert all(len(parts) == 1 for parts in (*runs.values(), *places.values()))


@given(st.lists(items, min_size=1, max_size=50), st.lists(items, max_size=50))
def test_labels_made_later_move_nothing(before, later):
    parts = {item: part_of(DT, *item) for item in before}
    assert all(part_of(DT, *item) in (None, *Part) for item in later)
    assert parts == {item: part_of(DT, *item) for item in before}


def test_the_split_is_the_one_that_cards_name():
    """A change of a single assignment would let a test chamber be trained on: it needs a new name."""
    runs = "".join(part_of_run(run)[0:2] for run in range(1, 20_001))
    places = "".join(part_of_place(DT, place)[0:2] for place in PLACES)
    assert SPLIT == "split 1"
    digest = hashlib.sha256(f"{runs} {places}".encode()).hexdigest()
    assert digest == "7b7a7b7e0de0afcd76b822366749aa9c7d236d8d51abfcd63c78314b2cdb5fa3"


def test_every_five_consecutive_runs_of_a_block_and_every_station_of_a_wheel_have_all_parts():
    for block in range(60_000, 60_200):
        parts = Counter(part_of_run(5 * block + i) for i in range(5))
        assert parts == {Part.TRAINING: 3, Part.VALIDATION: 1, Part.TEST: 1}
    for wheel in range(-2, 3):
        for station in range(1, 5):
            sectors = [place for place in PLACES if (place.wheel, place.station) == (wheel, station)]
            parts = Counter(part_of_place(DT, place) for place in sectors)
            assert parts[Part.TRAINING] >= 7
            assert min(parts[Part.VALIDATION], parts[Part.TEST]) >= 2


def test_an_item_is_in_a_part_only_where_its_run_and_its_place_agree():
    for run in range(302630, 302640):
        for place in PLACES:
            expected = part_of_run(run) if part_of_run(run) is part_of_place(DT, place) else None
            assert part_of(DT, run, place) is expected
    of_all = Counter(part_of(DT, run, place) for run in range(302630, 302730) for place in PLACES)
    assert of_all[None] / of_all.total() < 0.57
