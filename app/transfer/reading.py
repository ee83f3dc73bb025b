"""Reading external files: which kinds they contain, and their rows.

A file is a zip with a manifest, a Parquet or JSON Lines file of one kind, or a file in the training format of 2018. The
type is detected from its first bytes and not from its name. A zip may have been unpacked and repacked, even on a Mac:
files in the same folder as the manifest are found.
"""

from __future__ import annotations

import codecs
import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from app.errors import DriftwatchError, FileTooLarge, GivenUp, InvalidInput
from app.given import parsed
from app.subsystems.subsystem import OwnFormat
from app.transfer.bounds import Bounds, Watch
from app.transfer.formats import FORMATS, LARGEST_MANIFEST, Format, Numbered
from app.transfer.kinds.kind import DataKind
from app.transfer.manifest import checked, kind_of

T = TypeVar("T")

LARGEST_INDEX = 1_000_000  # bytes of a zip's directory, which takes ten times as much in memory
PACKED_BY = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # other methods are not needed and may use unlimited memory
PIECE = 1 << 20  # bytes
MANIFEST = "manifest.json"
OF_A_MAC = "__MACOSX"  # folder added by macOS
# Raised by zipfile for damaged files and unsupported features.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class FilePart:
    """The data of one kind in a file.

    Attributes:
        kind: None for the histograms of a file in the subsystem's own format, whose rows are (run, histogram).
        file: its name.
        rows: numbered rows.
    """

    kind: DataKind | None
    file: str
    rows: Iterator[tuple[int, Any]]


def parts(
    file: BinaryIO, name: str, kinds: Mapping[str, DataKind], own: OwnFormat | None, bounds: Bounds, watch: Watch
) -> Iterator[FilePart]:
    """The parts of a file, in reading order.

    Args:
        name: the file's name, as given by the user.
        kinds: in import order.
        own: the subsystem's own format.

    Raises:
        InvalidInput: it is not an export, or not one that this program can read.
        FileTooLarge, GivenUp: raised by the watch.
    """
    try:
        size = file.seek(0, 2)
        file.seek(0)
        begin = file.read(64)
        file.seek(0)
    except OSError:  # a pipe
        raise InvalidInput("the file", name, "a file on disk, which can be read twice") from None
    if size > bounds.file:
        raise FileTooLarge(f"The file has {size:,} bytes, more than {bounds.file:,}. {bounds.beyond}")
    text = begin.removeprefix(codecs.BOM_UTF8).lstrip()
    if begin.startswith(b"PK"):
        yield from _of_zip(file, kinds, bounds, watch)
    elif begin.startswith(b"PAR1"):
        yield _single(file, name, FORMATS["parquet"], kinds, watch)
    elif own and text.startswith(own.begins):
        yield FilePart(None, name, own.read(file, watch.read))
    elif text.startswith(b"{"):
        yield _single(file, name, FORMATS["jsonl"], kinds, watch)
    elif begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput("the file", f"{name}, in UTF-16", "in UTF-8, as it was exported")
    else:
        accepted = "an export: a zip with its manifest, Parquet, JSON Lines" + (f", or {own.words}" if own else "")
        raise InvalidInput("the file", name, accepted)


def _single(file: BinaryIO, name: str, form: Format, kinds: Mapping[str, DataKind], watch: Watch) -> FilePart:
    kind = kind_of(checked(form.manifest(file)), kinds)
    return FilePart(kind, name, form.read(file, kind.columns, kind.longest, watch.read))


def _of_zip(file: BinaryIO, kinds: Mapping[str, DataKind], bounds: Bounds, watch: Watch) -> Iterator[FilePart]:
    try:
        inside: Any = zipfile  # reads the size of the directory before loading it; zipfile has no public way
        index = inside._EndRecData(file)
        if index and index[inside._ECD_SIZE] > LARGEST_INDEX:
            raise FileTooLarge(f"The zip has a list of its files of more than {LARGEST_INDEX:,} bytes.")
        archive = zipfile.ZipFile(file)
    except DAMAGED as error:
        raise InvalidInput("the file", str(error), "a zip that is whole") from None
    with archive:
        files = _files(archive, kinds, bounds)
        for kind in kinds.values():
            for entry, packed in files.get(kind.name, ()):
                yield FilePart(kind, entry["name"], _entry(archive, packed, entry, kind, watch))


_Entries = list[tuple[Mapping[str, Any], zipfile.ZipInfo]]


def _files(archive: zipfile.ZipFile, kinds: Mapping[str, DataKind], bounds: Bounds) -> dict[str, _Entries]:
    """kind → its manifest entries, each with its file in the zip."""
    if sum(packed.file_size for packed in archive.infolist()) > bounds.unpacked:
        raise FileTooLarge(f"The file has more than {bounds.unpacked:,} bytes when it is unpacked. {bounds.beyond}")
    there = _beside_manifest(archive)
    try:
        manifest = checked(parsed(archive.read(there[MANIFEST])))
    except (*DAMAGED, ValueError):
        raise InvalidInput("the manifest", MANIFEST, "JSON") from None
    found: dict[str, _Entries] = {}
    entries = manifest.get("files")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput("files", entries, "a list of objects")
    for entry in entries:
        name = entry.get("name")
        packed = there.pop(name, None) if isinstance(name, str) else None  # read each file only once
        if packed is None or _ending(name) not in FORMATS:
            raise InvalidInput("name", name, f"a file of the zip that ends in one of {', '.join(FORMATS)}, named once")
        found.setdefault(kind_of(entry, kinds).name, []).append((entry, packed))
    return found


def _beside_manifest(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """name → file, for the files in the folder of the only manifest."""
    paths = [(PurePosixPath(packed.filename.replace("\\", "/")), packed) for packed in archive.infolist()]
    ours = [(path, packed) for path, packed in paths if OF_A_MAC not in path.parts]
    folders = {path.parent for path, _ in ours if path.name == MANIFEST}
    if len(folders) != 1:
        names = ", ".join(sorted(str(path) for path, _ in ours))
        raise InvalidInput("the file", names[:60], f"a zip with one {MANIFEST}, beside the files that it lists")
    there = {path.name: packed for path, packed in ours if path.parent in folders}
    if there[MANIFEST].file_size > LARGEST_MANIFEST:
        raise FileTooLarge(f"The {MANIFEST} has more than {LARGEST_MANIFEST:,} bytes.")
    for name, packed in there.items():
        if packed.compress_type not in PACKED_BY or packed.flag_bits & 1:
            raise InvalidInput("the file", name, "packed as zip programs do by default (deflate), without a password")
    return there


def _entry(
    archive: zipfile.ZipFile, packed: zipfile.ZipInfo, entry: Mapping[str, Any], kind: DataKind, watch: Watch
) -> Numbered:
    """The rows of a file in a zip; an error of the file as a whole is added as one more row."""
    form, number = FORMATS[_ending(entry["name"])], 0
    try:
        with _Hashed(archive, packed) as file:
            if form.name == "parquet":  # its index is at the end
                with tempfile.TemporaryFile() as whole:
                    while piece := file.read(PIECE):
                        watch.read(0)
                        whole.write(piece)
                    for number, row in form.read(whole, kind.columns, kind.longest, watch.read):
                        yield number, row
            else:
                for number, row in form.read(cast(BinaryIO, file), kind.columns, kind.longest, watch.read):
                    yield number, row
            while file.read(PIECE):
                watch.read(0)
    except _Damaged as error:
        yield number + 1, InvalidInput("the line", str(error), "whole: the zip is damaged")
        return
    except (FileTooLarge, GivenUp):
        raise
    except DriftwatchError as error:
        yield number + 1, error
        return
    if file.sha256() != entry.get("sha256"):
        accepted = f"{file.sha256()}: the file is not the one that was exported"
        yield number + 1, InvalidInput("sha256", entry.get("sha256"), accepted)


def _ending(name: Any) -> str:
    return str(name).rpartition(".")[2]


class _Damaged(Exception):
    """The error for a faulty zip."""


class _Hashed:
    """A file in a zip, read once and hashed on the way."""

    def __init__(self, archive: zipfile.ZipFile, packed: zipfile.ZipInfo) -> None:
        self._digest = hashlib.sha256()
        self._file = self._whole(lambda: archive.open(packed))

    def read(self, size: int = -1) -> bytes:
        return self._seen(self._whole(lambda: self._file.read(size)))

    def readline(self, limit: int = -1) -> bytes:
        return self._seen(self._whole(lambda: self._file.readline(limit)))

    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __enter__(self) -> _Hashed:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _seen(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data

    @staticmethod
    def _whole(act: Callable[[], T]) -> T:
        try:
            return act()
        except DAMAGED as error:
            raise _Damaged(str(error)) from None
