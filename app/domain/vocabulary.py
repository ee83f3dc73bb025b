"""The classes of items and parts, and a person's answer: {part: class}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from app.errors import InvalidInput

WHOLE = 0  # stands for the item as a whole

Answer = Mapping[int, str]  # part → class, without the parts of the default class


def by_class(answer: Answer) -> dict[str, list[int]]:
    """The parts of each class in an answer, by part.

    >>> by_class({3: "dead", 0: "bad", 1: "dead"})
    {'bad': [0], 'dead': [1, 3]}
    """
    parts: dict[str, list[int]] = {}
    for part, name in sorted(answer.items()):
        parts.setdefault(name, []).append(part)
    return parts


@dataclass(frozen=True)
class Class:
    """A class of items or parts.

    Attributes:
        name: short, stored with each answer: "dead".
        key: keyboard shortcut on the labelling page; "" if there is none.
        is_fault: whether this class means bad data.
    """

    name: str
    key: str = ""
    is_fault: bool = True


GOOD, BAD = Class("good", "g", is_fault=False), Class("bad", "b")


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a subsystem. The first of each list is the default class.

    Attributes:
        of_parts: classes of single parts; empty if items are only judged as a whole.
        of_items: classes of an item as a whole; empty if the parts say it all.
    """

    of_parts: tuple[Class, ...] = (GOOD, BAD)
    of_items: tuple[Class, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether parts are just good or bad, so that a list of the bad ones is a complete answer."""
        return self.of_parts == (GOOD, BAD) and not self.of_items

    @cached_property
    def classes(self) -> Mapping[str, Class]:
        """All classes, by name."""
        return MappingProxyType({one.name: one for one in (*self.of_parts, *self.of_items)})

    def of(self, part: int) -> tuple[Class, ...]:
        """The classes of a part; `WHOLE` stands for the item."""
        return self.of_items if part == WHOLE else self.of_parts

    def faults(self, answer: Answer) -> tuple[int, ...]:
        """The parts that an answer calls a fault, ascending."""
        return tuple(sorted(part for part, name in answer.items() if self.classes[name].is_fault))

    def check(self, field: str, given: Answer | Iterable[int], parts: Iterable[int], words: str) -> Answer:
        """Validate an answer: {part: class}, or just the bad parts. Returned by part, without the default class.

        Args:
            parts: the parts that it may contain.
            words: what they are called: "channels of this region".

        Raises:
            InvalidInput: the item has no such part, or the part cannot have this class.
        """
        answer: dict[int, str | None] = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)
        there = dict.fromkeys(parts)  # in their order, and found at once
        for part, name in answer.items():
            if isinstance(part, bool) or not isinstance(part, int) or part not in there:
                raise InvalidInput(field, part, f"{words}: {', '.join(map(str, there))}")
            possible = [one.name for one in self.of(part)]
            if name is None:
                answer[part] = next(one.name for one in self.of(part) if one.is_fault)
            elif name not in possible:
                raise InvalidInput(field, name, f"one of {', '.join(possible)}")
        return {part: name for part, name in sorted(answer.items()) if name and name != self.of(part)[0].name}
