"""The type through which the rest of the program knows a subsystem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from app.domain.vocabulary import WHOLE, Answer, Vocabulary

if TYPE_CHECKING:
    from app.errors import DriftwatchError
    from app.sources import Server
    from app.subsystems.learning import Learning
    from app.subsystems.views import Views
    from config import Settings


@dataclass(frozen=True)
class OwnFormat:
    """A format of files of histograms that one subsystem alone has.

    Attributes:
        name: it is exported as this.
        words: what people call it.
        begins: bytes with which its files begin.
        write: (run, histogram) of each → the pieces of a file.
        read: (file, is told how many bytes were read) → for each histogram its number in the file, and (run,
            histogram) or what is wrong with it.
    """

    name: str
    words: str
    begins: bytes
    write: Callable[[Iterable[tuple[int, Any]]], Iterator[bytes]]
    read: Callable[[BinaryIO, Callable[[int], object]], Iterator[tuple[int, tuple[int, Any] | DriftwatchError]]]


@dataclass(frozen=True, eq=False)
class Subsystem:
    """What the store, the jobs and the pages need to know of a subsystem.

    Attributes:
        name: short, stored with each item: "dt".
        title: its usual name: "drift tubes".
        item: the word for an item: "item".
        place: the frozen type that identifies an item of a run, constructed with the keywords in `keys`.
        keys: its fields, in the sort order of items. The queue can be narrowed by the first.
        path: the same, in the order of addresses and files: /302635/<region>/<region>/<lumi>/.
        allowed: the allowed values of each key.
        part: the word for a part: lists are sorted by "channel_1".
        vocabulary: the classes of items and parts.
        most_parts: the largest number of parts of an item.
        places: all items of a run.
        place_name: a place in short, for tables: "W−1 S7 MB2".
        place_words: the same in full: "region −1, region 7, lumi 2".
        decode: (place, bytes) → the histogram that the store kept: has `place`, `hits` and `to_bytes`.
        from_rows: (place, lists of counts) → the histogram from outside, checked; raises UnusableHistogram.
        to_rows: the other way round.
        parts: place → for each part that it has, by its number from 1, the cells that can be judged, numbered from 1.
        explain: histograms → for each what simple statistics find wrong in it, as documents with the
            number of the part under its name (`part`), `kind`, `text`, `makes_bad` and whatever else is known.
        summarise: documents of a run's items → counts, and packed values, stored with the run.
        pack_rates: histogram → packed hits per cell of each part: trends over runs read nothing else.
        pack_scores: scores of the parts → the same, packed.
        parts_called_bad: (verdicts of the parts, findings) → the bad parts, by number, each with the kind of what is
            wrong and the same in words.
        kind_words: kind of what can be wrong in a part → in words.
        code: how many parts are bad → the detector's own code of the item; None where it has none.
        server: (settings, address of the demonstration server or None) → the DQM server as a source.
        learning: what its networks can do; makes it when it is needed.
        views: its own pages, parts of the API and commands; makes them when they are needed.
        own_format: of files of histograms; None where there is none.
        file: path → a file with its histograms as a source, which has `require_runs`; None where it reads none.
        was_alone: it was there before the others: the names of its collections begin with nothing.
    """

    name: str
    title: str
    item: str
    place: type
    keys: tuple[str, ...]
    path: tuple[str, ...]
    allowed: Mapping[str, Sequence[int]]
    part: str
    vocabulary: Vocabulary
    most_parts: int
    places: Callable[[], tuple[Any, ...]]
    place_name: Callable[[Any], str]
    place_words: Callable[[Any], str]
    decode: Callable[[Any, bytes], Any]
    from_rows: Callable[[Any, Sequence[Sequence[float]]], Any]
    to_rows: Callable[[Any], list[list[int]]]
    parts: Callable[[Any], dict[int, range]]
    explain: Callable[[Sequence[Any]], list[list[dict[str, Any]]]]
    summarise: Callable[[Iterable[Mapping[str, Any]]], dict[str, Any]]
    pack_rates: Callable[[Any], bytes]
    pack_scores: Callable[[Sequence[float | None]], bytes]
    parts_called_bad: Callable[[Sequence[str], Iterable[Mapping[str, Any]]], dict[int, tuple[str, str]]]
    server: Callable[[Settings, str | None], Server]
    learning: Callable[[], Learning]
    views: Callable[[], Views]
    kind_words: Mapping[str, str] = field(default_factory=dict)
    code: Callable[[int], int] | None = None
    own_format: OwnFormat | None = None
    file: Callable[[Path], Any] | None = None
    was_alone: bool = False

    def at(self, place: Any) -> dict[str, Any]:
        """A place as fields of a document."""
        return {key: getattr(place, key) for key in self.keys}

    def in_path(self, place: Any) -> dict[str, Any]:
        """A place as segments of an address, or columns of a file."""
        return {key: getattr(place, key) for key in self.path}

    @cached_property
    def part_names(self) -> tuple[str, ...]:
        """The names of all possible parts, as columns and sort keys: "channel_1", …"""
        return tuple(f"{self.part}_{number}" for number in range(1, self.most_parts + 1))

    def questions(self, place: Any) -> list[int]:
        """What is labelled on an item: its parts, and itself as `WHOLE` if items have classes of their own."""
        parts = list(self.parts(place)) if self.vocabulary.of_parts else []
        return [WHOLE, *parts] if self.vocabulary.of_items else parts

    def check_answer(self, field: str, given: Answer | Iterable[int], place: Any) -> Answer:
        """An answer from outside: see `Vocabulary.check`.

        Raises:
            InvalidInput: the place has no such part, or the part has no such class.
        """
        return self.vocabulary.check(field, given, self.questions(place), f"{self.part}s of this {self.item}")

    def identity(self, run: int, place: Any) -> dict[str, Any]:
        """The filter that finds the documents of one item of a run."""
        return {"run": run, "subsystem": self.name, **self.at(place)}

    def place_of(self, document: Mapping[str, Any]) -> Any:
        """The place in a document's fields; always the same object, which caches what follows from them."""
        place = self.place(**{key: document[key] for key in self.keys})
        return self._same.get(place, place)

    @cached_property
    def _same(self) -> dict[Any, Any]:
        return {place: place for place in self.places()}
