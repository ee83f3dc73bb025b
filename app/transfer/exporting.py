"""Export from the database, generated piece by piece while it is sent.

An export is not a snapshot: rows added meanwhile may or may not be included. Runs that are being deleted are left out.
For users who may not import, labels that could influence their second opinions are left out too.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.domain.labels import EventKind
from app.errors import InvalidInput, NotFound
from app.store import Store
from app.subsystems.subsystem import OwnFormat
from app.transfer.formats import FORMATS, Format, Pieces, Row
from app.transfer.good_runs import Ranges, good_runs
from app.transfer.kinds import all_kinds
from app.transfer.kinds.kind import DataKind
from app.transfer.manifest import About, described
from app.transfer.reading import MANIFEST

if TYPE_CHECKING:
    from app.labelling.labels import Labelling

ALL = "all"
PIECE = 1 << 16  # minimum number of bytes sent at once


@dataclass(frozen=True)
class Export:
    """A file to be generated.

    Attributes:
        name: file name.
        pieces: its bytes; nothing is read from the database before the first piece is requested.
    """

    name: str
    mimetype: str
    pieces: Iterator[bytes]


class Exporting:
    """The use cases: `driftwatch.exporting`."""

    def __init__(self, store: Store, labelling: Labelling) -> None:
        self._store, self._labelling = store, labelling
        self.kinds = all_kinds(store.subsystem)

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(FORMATS)

    def export(
        self, kinds: Sequence[str], form: str, by: str, runs: tuple[int, int] | None = None, whole: bool = False
    ) -> Export:
        """Export as one file: a zip with a manifest, or a plain file for one kind in a format that has a manifest.

        Args:
            kinds: their names, "all", or only the subsystem's own format.
            form: name of a format.
            by: who exports.
            runs: only runs from the first to the last.
            whole: include labels that could influence a second opinion; otherwise omit what `by` may not see yet.

        Raises:
            InvalidInput: field "kind" or "format".
        """
        own = self._store.subsystem.own_format
        if own and list(kinds) == [own.name]:
            return Export(f"{own.name}.json", "application/json", self._in_own_format(own, runs))
        chosen = self._chosen(kinds)
        if form not in FORMATS:
            raise InvalidInput("format", form, f"one of {', '.join(FORMATS)}")
        written, about = FORMATS[form], About(by, runs)
        hides = None if whole else _Hiding(self._store, self._labelling, by)
        if len(chosen) == 1 and written.has_manifest:
            kind = chosen[0]
            pieces = written.write(kind.columns, self._rows(kind, runs, hides), about.manifest_of(kind))
            return Export(f"driftwatch-{kind.name}.{written.ending}", written.mimetype, pieces)
        name = chosen[0].name if len(chosen) == 1 else "export"
        return Export(f"driftwatch-{name}.zip", "application/zip", self._zip(chosen, written, about, hides))

    def good_runs(
        self, runs: tuple[int, int] | None, most_bad: int | None = None, lumisections: Ranges | None = None
    ) -> bytes:
        """The good runs, as JSON: see `app.transfer.good_runs`."""
        return json.dumps(good_runs(self._store, runs, most_bad, lumisections)).encode() + b"\n"

    def _chosen(self, names: Sequence[str]) -> list[DataKind]:
        wanted = set(self.kinds) if list(names) == [ALL] else set(names)
        if not wanted or wanted - set(self.kinds):
            wrong = ", ".join(sorted(wanted - set(self.kinds)))
            raise InvalidInput("kind", wrong, f"one or more of {', '.join(self.kinds)}, or {ALL}")
        return [kind for kind in self.kinds.values() if kind.name in wanted]

    def _rows(
        self, kind: DataKind, runs: tuple[int, int] | None, hides: Callable[[Mapping[str, Any]], bool] | None
    ) -> Iterator[Row]:
        for document in self._store.transfer.documents(kind.name, runs):
            if kind.name != "labels" or hides is None or not hides(document):
                yield kind.row(document)

    def _in_own_format(self, own: OwnFormat, runs: tuple[int, int] | None) -> Iterator[bytes]:
        subsystem = self._store.subsystem
        documents = self._store.transfer.documents("histograms", runs)
        aside = set(self._store.runs.set_aside())
        whole = (document for document in documents if "occupancy" in document and document["run"] not in aside)
        histograms = ((d["run"], subsystem.decode(subsystem.place_of(d), d["occupancy"])) for d in whole)
        return _larger(own.write(histograms))

    def _zip(
        self,
        kinds: Sequence[DataKind],
        form: Format,
        about: About,
        hides: Callable[[Mapping[str, Any]], bool] | None,
    ) -> Iterator[bytes]:
        sink, files = Pieces(), []
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for kind in kinds:
                name, counted, digest = f"{kind.name}.{form.ending}", _Counted(), hashlib.sha256()
                rows = counted.through(self._rows(kind, about.runs, hides))
                with archive.open(name, "w", force_zip64=True) as file:
                    for piece in form.write(kind.columns, rows, about.manifest_of(kind)):
                        digest.update(piece)
                        file.write(piece)
                        yield sink.taken()
                files.append({"name": name, "rows": counted.rows, "sha256": digest.hexdigest(), **described(kind)})
            archive.writestr(MANIFEST, json.dumps({**about.manifest(), "files": files}, indent=2))
        yield sink.taken()


class _Counted:
    """Number of rows that went through."""

    rows = 0

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            yield row


class _Hiding:
    """Selects the labels hidden from a person: those of items for which their second opinion is wanted."""

    def __init__(self, store: Store, labelling: Labelling, person: str) -> None:
        self._store, self._labelling, self._person = store, labelling, person
        self._last: tuple[Any, bool] = (None, False)  # events of the same item are contiguous

    def __call__(self, event: Mapping[str, Any]) -> bool:
        if event["kind"] != EventKind.LABEL or not (event["second"] or event["blind"]) or event["by"] == self._person:
            return False
        where = event["run"], self._store.subsystem.place_of(event)
        if self._last[0] != where:
            self._last = where, self._is_hidden(*where)
        return self._last[1]

    def _is_hidden(self, run: int, place: Any) -> bool:
        try:
            return self._labelling.is_blind(self._store.items.look(run, place), self._person)
        except NotFound:  # its run was deleted, so no opinion will be asked for
            return False


def _larger(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    yield bytes(held)
