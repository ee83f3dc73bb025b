"""The frozen split of labelled items into training, validation and test.

The test sample is independent in run and in place, so that neither the dead cells that an item keeps from run to run
nor effects on a whole run are known from training. Runs are assigned by their number alone. A place permanently belongs
to the side on which it was first labelled; a few are reserved for the test, so that there is one even if a whole run
was labelled first. No label moves an item labelled before it. Items whose run and place are on different sides are left
out: some 9 % of 300 labels of 20 runs. If every place is labelled in every run, an eighth of the places is for the test
and 20 % are left out (0.1 × 7/8 + 0.9 × 1/8).

All other items are assigned to training and validation by place, and none is left out: the network is fitted to both in
the end. Not for the targets of an item: see `labelled_items`.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

from app.subsystems import Subsystem

SPLIT = "split 2"  # a different split needs a different name: cards name the one that was used

BLOCK = 10  # one of this many consecutive run numbers is for the test, chosen by the hash
_KEPT = 40  # one of this many places is for the test, whichever run it was first labelled in
_FOLDS = 5  # one of this many places not for the test is for validation


class Split(StrEnum):
    TRAINING = "training"
    VALIDATION = "validation"  # decides how long to fit; the network is then fitted to it too
    TEST = "test"


def part_of(subsystem: Subsystem, run: int, place: Any, first_run: int) -> Split | None:
    """The part of an item; None if its run and its place are on different sides, so that it is left out.

    Args:
        first_run: the run in which this place was first labelled.
    """
    place_is_for_test = place in kept_for_test(subsystem) or is_test_run(first_run)
    if is_test_run(run) != place_is_for_test:
        return None
    if place_is_for_test:
        return Split.TEST
    return Split.VALIDATION if _hash("fold", *_words(subsystem, place)) % _FOLDS == 0 else Split.TRAINING


@lru_cache(maxsize=10_000)  # called for each labelled item of a run
def is_test_run(run: int) -> bool:
    """Whether labels of a run are for the test.

    >>> [run for run in range(302630, 302660) if is_test_run(run)]
    [302630, 302645, 302653]
    """
    block, slot = divmod(run, BLOCK)
    return min(range(BLOCK), key=lambda i: _hash("run", block, i)) == slot


@cache
def kept_for_test(subsystem: Subsystem) -> frozenset[Any]:
    """The places for the test, whichever run they were first labelled in."""
    places = sorted(subsystem.places(), key=lambda place: _hash("kept", *_words(subsystem, place)))
    return frozenset(places[: max(1, len(places) // _KEPT)])


def _words(subsystem: Subsystem, place: Any) -> tuple[object, ...]:
    return subsystem.name, *subsystem.at(place).values()


def _hash(*words: object) -> int:
    """64 bits that depend only on the split's name and these words."""
    text = "/".join(map(str, (SPLIT, *words)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
