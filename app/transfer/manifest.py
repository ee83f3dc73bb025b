"""The manifest of an export, so that it can be read years later: versions, filters, author and time."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from app.errors import InvalidInput
from app.transfer.columns import written_time
from app.transfer.kinds.kind import DataKind
from config import ROOT

FORMAT = "driftwatch export"
SCHEMA = 1  # of manifests; incremented when an older program could misread one


@dataclass(frozen=True)
class About:
    """Who exports what.

    Attributes:
        by: name of the account.
        runs: first and last run; None for all.
        at: time of the export.
    """

    by: str
    runs: tuple[int, int] | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def manifest(self) -> dict[str, Any]:
        """The fields that every manifest starts with."""
        return {
            "format": FORMAT,
            "schema": SCHEMA,
            "program": program_version(),
            "made_at": written_time(self.at),
            "made_by": self.by,
            "filters": {"runs": list(self.runs)} if self.runs else {},
        }

    def manifest_of(self, kind: DataKind) -> dict[str, Any]:
        """The manifest of a file of one kind."""
        return {**self.manifest(), **described(kind)}


def described(kind: DataKind) -> dict[str, Any]:
    """A kind's entry in a manifest."""
    columns = [{"name": c.name, "type": str(c.type), "optional": c.optional, "words": c.words} for c in kind.columns]
    return {"kind": kind.name, "version": kind.version, "columns": columns}


def kind_of(manifest: Mapping[str, Any], kinds: Mapping[str, DataKind]) -> DataKind:
    """Return the kind named in a manifest, or in the entry of one of its files.

    Raises:
        InvalidInput: there is no such kind, or its columns have a different version.
    """
    kind = kinds.get(str(manifest.get("kind")))
    if kind is None:
        raise InvalidInput("kind", manifest.get("kind"), f"one of {', '.join(kinds)}")
    if manifest.get("version") != kind.version:
        raise InvalidInput(
            f"version of {kind.name}", manifest.get("version"), f"{kind.version}, which this program has"
        )
    return kind


def checked(manifest: Any) -> dict[str, Any]:
    """Validate an external manifest.

    Raises:
        InvalidInput: it is not a manifest, or has a later schema.
    """
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InvalidInput("the manifest", manifest, f"a JSON object with format {FORMAT!r}")
    if manifest.get("schema") != SCHEMA:
        raise InvalidInput("schema", manifest.get("schema"), f"{SCHEMA}, which this program can read")
    return manifest


@cache
def program_version() -> str:
    """The version of this program."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
