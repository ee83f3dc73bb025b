"""Which labelled items a network may learn from, which tell when to stop, and which it is tested on: the frozen split.

The test is apart in run and in place, so that neither the dead cells that a chamber keeps from run to run nor what
befell a whole run is known from training. Runs are dealt by their number alone. A place belongs to the side on which it
was labelled first, and to that for good; but for a few that are kept for the test, so that there is one even where a
whole run was labelled first. No label moves an item that was labelled before it. Items whose run and place are on
different sides are left out: some 9 % of 300 labels of 20 runs. Where every place is labelled in every run, an eighth
of the places is for the test, and 20 % are left out (0.1 × 7/8 + 0.9 × 1/8).

What is not for the test is dealt to training and validation by place, and nothing of it is left out: both are learnt
from in the end. Not for what is learnt from an item: see `labelled_items`.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

from app.subsystems import Subsystem

SPLIT = "split 2"  # a split that deals differently has another name: cards name the one they were made by

BLOCK = 10  # of so many consecutive run numbers one is for the test: which, the hash says
_KEPT = 40  # of so many places one is for the test, in whichever run it was labelled first
_FOLDS = 5  # of so many places that are not for the test one is for validation


class Part(StrEnum):
    TRAINING = "training"
    VALIDATION = "validation"  # says how long to fit; then it is learnt from too
    TEST = "test"


def part_of(subsystem: Subsystem, run: int, place: Any, first_run: int) -> Part | None:
    """The part of an item; None where its run and its place are on different sides of the test, and it is in none.

    Args:
        first_run: in which this place was labelled first.
    """
    place_is_for_test = place in kept_for_test(subsystem) or is_test_run(first_run)
    if is_test_run(run) != place_is_for_test:
        return None
    if place_is_for_test:
        return Part.TEST
    return Part.VALIDATION if _hash("fold", *_words(subsystem, place)) % _FOLDS == 0 else Part.TRAINING


@lru_cache(maxsize=10_000)  # asked for each labelled chamber of a run
def is_test_run(run: int) -> bool:
    """Whether labels of a run are for the test.

    >>> [run for run in range(302630, 302660) if is_test_run(run)]
    [302630, 302645, 302653]
    """
    block, slot = divmod(run, BLOCK)
    return min(range(BLOCK), key=lambda i: _hash("run", block, i)) == slot


@cache
def kept_for_test(subsystem: Subsystem) -> frozenset[Any]:
    """The places that are for the test, in whichever run they were labelled first."""
    places = sorted(subsystem.places(), key=lambda place: _hash("kept", *_words(subsystem, place)))
    return frozenset(places[: max(1, len(places) // _KEPT)])


def _words(subsystem: Subsystem, place: Any) -> tuple[object, ...]:
    return subsystem.name, *subsystem.at(place).values()


def _hash(*words: object) -> int:
    """64 bits that only the split's name and these words decide."""
    text = "/".join(map(str, (SPLIT, *words)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
