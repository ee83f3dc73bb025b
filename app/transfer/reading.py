"""Files as they come from outside: which kinds are in them, and their rows one by one.

A file is a zip with a manifest, a Parquet or JSON Lines file of one kind, or one in the training format of 2018; what
it is, is told from its first bytes and not from its name.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app.errors import DriftwatchError, InvalidInput
from app.given import parsed
from app.transfer import the_2018_format
from app.transfer.formats import FORMATS, Format, Numbered
from app.transfer.kinds import Kind
from app.transfer.manifest import checked, kind_of

LARGEST_FILE = 2_000_000_000  # bytes
LARGEST_UNPACKED = 20_000_000_000  # bytes of all files in a zip: tables of counts shrink to a tenth
LARGEST_MANIFEST = 1_000_000
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Part:
    """What a file has of one kind.

    Attributes:
        kind: None for the histograms of a file in the format of 2018, whose rows are (run, histogram).
        file: its name.
        rows: each with its number.
    """

    kind: Kind | None
    file: str
    rows: Numbered


@contextmanager
def opened(path: Path, name: str, kinds: Mapping[str, Kind]) -> Iterator[Iterator[Part]]:
    """The parts of a file, to be read in their order.

    Args:
        name: of the file, as whoever gave it knows it.
        kinds: in the order in which they are needed.

    Raises:
        InvalidInput: it is too large, no export, or one that this program cannot read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput("the file", name, f"one that can be read ({error.strerror})") from None
    with file:
        size = file.seek(0, 2)
        file.seek(0)
        if size > LARGEST_FILE:
            raise InvalidInput("the file", f"{name}, {size:,} bytes", f"at most {LARGEST_FILE:,} bytes")
        begin = file.read(64)
        file.seek(0)
        if begin.startswith(b"PK"):
            yield _of_zip(file, kinds)
        elif begin.startswith(b"PAR1"):
            yield _single(file, name, FORMATS["parquet"], kinds)
        elif begin.lstrip().startswith(b"["):
            yield iter([Part(None, name, the_2018_format.read(file))])
        elif begin.lstrip().startswith(b"{"):
            yield _single(file, name, FORMATS["jsonl"], kinds)
        else:
            accepted = "an export: a zip with its manifest, Parquet, JSON Lines, or the training format of 2018"
            raise InvalidInput("the file", name, accepted)


def _single(file: BinaryIO, name: str, form: Format, kinds: Mapping[str, Kind]) -> Iterator[Part]:
    kind = kind_of(checked(form.manifest(file)), kinds)
    yield Part(kind, name, form.read(file, kind.columns))


def _of_zip(file: BinaryIO, kinds: Mapping[str, Kind]) -> Iterator[Part]:
    try:
        with zipfile.ZipFile(file) as archive:
            files = _files(archive, kinds)
            for kind in kinds.values():
                for entry in files.get(kind.name, ()):
                    yield Part(kind, entry["name"], _entry(archive, entry, kind))
    except zipfile.BadZipFile as error:
        raise InvalidInput("the file", str(error), "a zip that is whole") from None


def _files(archive: zipfile.ZipFile, kinds: Mapping[str, Kind]) -> dict[str, list[Mapping[str, Any]]]:
    """kind → the entries of the manifest that are of it, all of which the zip has."""
    if sum(info.file_size for info in archive.infolist()) > LARGEST_UNPACKED:
        raise InvalidInput("the file", "larger when it is unpacked", f"at most {LARGEST_UNPACKED:,} bytes then")
    names = set(archive.namelist())
    if MANIFEST not in names or archive.getinfo(MANIFEST).file_size > LARGEST_MANIFEST:
        raise InvalidInput("the file", ", ".join(sorted(names))[:60], f"a zip with a {MANIFEST}")
    try:
        manifest = checked(parsed(archive.read(MANIFEST)))
    except ValueError:
        raise InvalidInput("the manifest", MANIFEST, "JSON") from None
    found: dict[str, list[Mapping[str, Any]]] = {}
    entries = manifest.get("files")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput("files", entries, "a list of objects")
    for entry in entries:
        name = entry.get("name")
        if name not in names or _ending(name) not in FORMATS:
            raise InvalidInput("name", name, f"a file of the zip that ends in one of {', '.join(FORMATS)}")
        found.setdefault(kind_of(entry, kinds).name, []).append(entry)
    return found


def _entry(archive: zipfile.ZipFile, entry: Mapping[str, Any], kind: Kind) -> Numbered:
    """The rows of a file of a zip, and what is wrong with the file as a whole as one more."""
    form, number, rows = FORMATS[_ending(entry["name"])], 0, 0
    try:
        if form.name == "parquet":  # its index stands at its end
            file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (closed below, as the other is)
            with archive.open(entry["name"]) as packed:
                shutil.copyfileobj(packed, file)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest
            file.seek(0)
        else:
            file = _Hashed(archive.open(entry["name"]))
            sha256 = file.sha256
        with file:
            for number, row in form.read(file, kind.columns):
                rows += 1
                yield number, row
            while file.read(1 << 20):
                pass
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        yield number + 1, InvalidInput("the line", str(error), "whole: the zip is damaged")
        return
    except DriftwatchError as error:
        yield number + 1, error
        return
    if sha256() != entry.get("sha256"):
        accepted = f"{sha256()}: the file is not the one that was exported"
        yield number + 1, InvalidInput("sha256", entry.get("sha256"), accepted)


def _ending(name: Any) -> str:
    return str(name).rpartition(".")[2]


class _Hashed:
    """A file that is read once, and hashed meanwhile."""

    def __init__(self, file: Any) -> None:
        self._file, self._digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        return self._seen(self._file.read(size))

    def readline(self, limit: int = -1) -> bytes:
        return self._seen(self._file.readline(limit))

    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __enter__(self) -> _Hashed:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _seen(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data
