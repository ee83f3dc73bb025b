"""Scores chambers from JSON lines: the input and output of `flask score`."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any, BinaryIO

from app.domain.judgement import Judgement
from app.errors import DriftwatchError, InvalidInput
from app.given import parsed
from app.lines import numbered_lines
from app.subsystems.dt import DT
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.scoring import Scorer

LONGEST_LINE = 1_000_000  # bytes; a chamber takes about 4,000


def judged_lines(
    file: BinaryIO, scorer: Scorer, at_once: int
) -> Iterator[tuple[int, dict[str, Any] | DriftwatchError]]:
    """Score all lines, in batches.

    Args:
        file: one JSON object per line, with `wheel`, `sector`, `station`, `occupancy` (12 rows, the first layer 1);
            other keys and blank lines are ignored.
        scorer: scores the chambers.
        at_once: number of lines held in memory.

    Yields:
        (line number from 1, result or error), in the order of the lines.
    """
    held: list[tuple[int, Occupancy | DriftwatchError]] = []
    for number, line in numbered_lines(file, LONGEST_LINE):
        if line is not None and not line.removeprefix(BOM_UTF8).strip():
            continue
        try:
            held.append((number, _occupancy(line)))
        except DriftwatchError as error:
            held.append((number, error))
        if len(held) >= at_once:
            yield from _judged(held, scorer)
            held.clear()
    yield from _judged(held, scorer)


def _judged(held: list[tuple[int, Any]], scorer: Scorer) -> Iterator[tuple[int, dict[str, Any] | DriftwatchError]]:
    occupancies = [read for _, read in held if isinstance(read, Occupancy)]
    judged = zip(scorer.judge(occupancies), DT.explain(occupancies), strict=True)
    for number, read in held:
        yield number, _written(read.chamber, *next(judged)) if isinstance(read, Occupancy) else read


def _occupancy(line: bytes | None) -> Occupancy:
    if line is None:
        raise InvalidInput("the line", "…", f"at most {LONGEST_LINE:,} bytes")
    text = line.strip().decode(errors="replace")
    try:
        given = parsed(line)  # as bytes, so that a byte order mark is skipped
    except ValueError as error:
        raise InvalidInput("the line", text, f"a JSON object ({error})") from None
    if not isinstance(given, dict):
        raise InvalidInput("the line", text, "a JSON object")
    for key in ("wheel", "sector", "station", "occupancy"):
        if key not in given:
            raise InvalidInput(key, None, "given")
    chamber = Chamber(wheel=given["wheel"], station=given["station"], sector=given["sector"])
    return Occupancy.from_rows(chamber, given["occupancy"])


def _written(chamber: Chamber, judgement: Judgement, findings: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "wheel": chamber.wheel,
        "sector": chamber.sector,
        "station": chamber.station,
        "scores": judgement.scores,
        "verdicts": judgement.verdicts,
        "certainty": judgement.certainty,
        "findings": findings,
    }
