"""Known problems of places, recorded once with their first run so that nobody has to find them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.domain.problems import Problem
from app.errors import Conflict, InvalidInput
from app.given import sound_text

if TYPE_CHECKING:
    from app.store import Store
    from app.subsystems import Subsystem

MOST_CHARACTERS = 500  # of the text


class KnownProblems:
    """The use cases: `driftwatch.labelling.problems`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        by: str,
        place: Any,
        parts: Iterable[int],
        text: str,
        since: int,
        until: int | None = None,
        cells: tuple[int, int] | None = None,
    ) -> Problem:
        """Record a problem.

        Raises:
            InvalidInput: field "cells", "text", the word for parts, or "until".
        """
        subsystem = self._store.subsystem
        field = f"{subsystem.part}s"
        text = sound_text("text", text)
        chosen = checked_parts(field, parts, place, subsystem)
        if not chosen:
            raise InvalidInput(field, [], f"at least one {subsystem.part} of the {subsystem.item}")
        if not text or len(text) > MOST_CHARACTERS:
            raise InvalidInput("text", text, f"1 to {MOST_CHARACTERS} characters: what is wrong, and why")
        if until is not None and until < since:
            raise InvalidInput("until", until, f"a run from {since} on, or nothing")
        if cells is not None:
            cells_of = subsystem.parts(place)
            first, last = min(cells_of[part].start for part in chosen), max(cells_of[part][-1] for part in chosen)
            if not first <= cells[0] <= cells[1] <= last:
                raise InvalidInput("cells", cells, f"a first and a last cell from {first} to {last}")
        problem = Problem("", place, chosen, cells, text, since, until, by, datetime.now(UTC))
        kept = self._store.problems.add(problem)
        self._store.events.record("known problem added", None, by, problem=kept.id, place=str(place), text=text)
        return kept

    def end(self, by: str, problem_id: str, until: int) -> Problem:
        """Record the last run affected by a problem.

        Raises:
            NotFound: there is no such problem.
            InvalidInput: field "until": it is before the first run.
            Conflict: the problem has already ended.
        """
        problem = self._store.problems.get(problem_id)
        if until < problem.since:
            raise InvalidInput("until", until, f"a run from {problem.since} on")
        ended = self._store.problems.end(problem_id, until, by)
        if ended is None:
            last = self._store.problems.get(problem_id).until
            raise Conflict(f"This problem of {problem.place} ended already, with run {last}.")
        self._store.events.record(
            "known problem ended", None, by, problem=problem_id, place=str(problem.place), until=until
        )
        return ended

    def list(
        self, place: Mapping[str, int] | None = None, run: int | None = None, skip: int = 0, limit: int = 100
    ) -> list[Problem]:
        """Problems, newest first.

        Args:
            place: only places with these keys: {"region": -1}.
            run: only problems that affect this run.
            limit: maximum number; 0 for all.
        """
        return self._store.problems.find(place, run, skip, limit)

    def count(self, place: Mapping[str, int] | None = None, run: int | None = None) -> int:
        """Number of problems that `list` would return."""
        return self._store.problems.count(place, run)

    def of(self, place: Any, run: int) -> Sequence[Problem]:
        """The problems of a place in a run, newest first."""
        return [problem for problem in self._store.problems.of_place(place) if problem.covers(run)]


def checked_parts(field: str, parts: Iterable[int], place: Any, subsystem: Subsystem) -> tuple[int, ...]:
    """Validate parts; ascending, without duplicates.

    Raises:
        InvalidInput: the place has no such part.
    """
    given, there = list(parts), subsystem.parts(place)
    for part in given:
        if isinstance(part, bool) or not isinstance(part, int) or part not in there:
            known = ", ".join(map(str, there))
            raise InvalidInput(field, part, f"{subsystem.part}s of this {subsystem.item}: {known}")
    return tuple(sorted(set(given)))
