"""Which labelled items a network may learn from, which tell when to stop, and which it is tested on: the frozen split.

A function of the run and the place alone, nothing that is kept and could be lost. So no label, however late, moves an
item to another part. Runs are dealt to the three parts, and places are; an item belongs to a part only where both
agree. So no run and no place stands in two parts: neither the dead cells that a chamber keeps from run to run nor what
befell a whole run is known from training. What it costs is the items whose run and place do not agree: 56 % of items
spread evenly (1 − 0.6² − 0.2² − 0.2²). Any way of dealing runs and places that keeps both apart leaves some out; a
greater share for training would leave out fewer, and have less to test on.

Not for what is learnt from an item: see `labelled_items`.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

from app.subsystems import Subsystem

SPLIT = "split 1"  # a split that deals differently has another name: cards name the one they were made by

# Of five consecutive run numbers three are for training, one for validation, one for the test: which, the hash says.
# So the parts fill alike however few runs are labelled. The same shares of the places.
_BLOCK = 5


class Part(StrEnum):
    TRAINING = "training"
    VALIDATION = "validation"  # to stop and to calibrate by
    TEST = "test"


_SLOTS = (Part.TRAINING, Part.TRAINING, Part.TRAINING, Part.VALIDATION, Part.TEST)


def part_of(subsystem: Subsystem, run: int, place: Any) -> Part | None:
    """The part of an item; None where its run and its place are of different ones, and it is in none."""
    part = part_of_run(run)
    return part if part is part_of_place(subsystem, place) else None


@lru_cache(maxsize=10_000)  # asked for each chamber of a run
def part_of_run(run: int) -> Part:
    """The part of a run.

    >>> [str(part_of_run(run)) for run in range(302635, 302640)]
    ['training', 'training', 'training', 'validation', 'test']
    """
    block, slot = divmod(run, _BLOCK)
    order = sorted(range(_BLOCK), key=lambda i: _hash("run", block, i))
    return _SLOTS[order.index(slot)]


def part_of_place(subsystem: Subsystem, place: Any) -> Part:
    """The part of a place, whatever the run.

    Raises:
        KeyError: the subsystem has no such place.
    """
    return _places(subsystem)[place]


@cache
def _places(subsystem: Subsystem) -> dict[Any, Part]:
    """The part of every place. Among places that differ only by the last key (the sectors of a station in a wheel) the
    shares are as near as whole numbers come, and what is left over falls by the hash."""
    parts: dict[Any, Part] = {}
    *outer, _ = subsystem.keys

    def group_of(place: Any) -> tuple[Any, ...]:
        return tuple(getattr(place, key) for key in outer)

    for group, members in groupby(sorted(subsystem.places(), key=group_of), key=group_of):
        places = sorted(members, key=lambda place: _hash(*_words(subsystem, place)))
        begin = _hash(subsystem.name, *group) / 2**64
        for i, place in enumerate(places):
            parts[place] = _SLOTS[int((i + begin) % len(places) * _BLOCK / len(places))]
    return parts


def _words(subsystem: Subsystem, place: Any) -> tuple[object, ...]:
    return subsystem.name, *subsystem.at(place).values()


def _hash(*words: object) -> int:
    """64 bits that only the split's name and these words decide."""
    text = "/".join(map(str, (SPLIT, *words)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
