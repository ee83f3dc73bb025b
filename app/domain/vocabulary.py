"""What an item and its parts can be called, and what a person's answer is: {part: class}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.errors import InvalidInput

WHOLE = 0  # the part that stands for the item as a whole

Answer = Mapping[int, str]  # part → class, of the parts that are not of the first class


@dataclass(frozen=True)
class Class:
    """What an item or a part can be called.

    Attributes:
        name: short, stored with each answer: "dead".
        key: the letter that chooses it on the page for labelling; "" where none does.
        is_fault: whoever is called this took bad data.
    """

    name: str
    key: str = ""
    is_fault: bool = True


GOOD, BAD = Class("good", "g", is_fault=False), Class("bad", "b")


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a subsystem. The first of each is what an item, or a part, is unless somebody says otherwise.

    Attributes:
        of_parts: of single parts; empty where items are judged as a whole only.
        of_items: of an item as a whole; empty where its parts say it all.
    """

    of_parts: tuple[Class, ...] = (GOOD, BAD)
    of_items: tuple[Class, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Parts are good or bad and there is nothing else: then a list of the bad ones says it all."""
        return self.of_parts == (GOOD, BAD) and not self.of_items

    @property
    def classes(self) -> Mapping[str, Class]:
        """All of them by name."""
        return MappingProxyType({one.name: one for one in (*self.of_parts, *self.of_items)})

    def of(self, part: int) -> tuple[Class, ...]:
        """The classes of a part; `WHOLE` is the item."""
        return self.of_items if part == WHOLE else self.of_parts

    def faults(self, answer: Answer) -> tuple[int, ...]:
        """The parts that an answer calls a fault, ascending."""
        return tuple(sorted(part for part, name in answer.items() if self.classes[name].is_fault))

    def plain(self, bad: Iterable[int]) -> dict[int, str]:
        """The answer that calls some parts what a fault is called first, and the others good."""
        return {part: next(one.name for one in self.of(part) if one.is_fault) for part in bad}

    def check(self, field: str, given: Answer | Iterable[int], parts: Iterable[int], words: str) -> Answer:
        """An answer from outside: {part: class}, or the bad parts alone; by part, without those of the first class.

        Args:
            parts: of which it may say something.
            words: what they are called: "channels of this region".

        Raises:
            InvalidInput: a part that the item has not, or a class that the part cannot have.
        """
        answer: dict[int, str | None] = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)
        there = list(parts)
        for part, name in answer.items():
            if isinstance(part, bool) or not isinstance(part, int) or part not in there:
                raise InvalidInput(field, part, f"{words}: {', '.join(map(str, there))}")
            possible = [one.name for one in self.of(part)]
            if name is None:
                answer[part] = self.plain([part])[part]
            elif name not in possible:
                raise InvalidInput(field, name, f"one of {', '.join(possible)}")
        return {part: name for part, name in sorted(answer.items()) if name and name != self.of(part)[0].name}
