"""The tables of an evaluation, sorted by the address: their sortable columns and their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from app.subsystems.dt.learning.evaluation_figures import ALL_KINDS, FALSE_ALARMS, AtThreshold, Comparison, Method
from app.web.shared.ordering import Keys, ordered

Marked = tuple[Method, AtThreshold]  # a method at one of its thresholds


class EvaluationTables:
    """The sortable columns for one set of chambers.

    Args:
        part: of the evaluation; prefix of the column names in the address.
    """

    def __init__(self, part: str, found: Comparison) -> None:
        self.part, self.found = part, found
        rates = range(len(FALSE_ALARMS))
        self._methods = self._named(
            method=attrgetter("name"), area=_area, **{f"found_{i}": partial(_found, i) for i in rates}
        )
        shares = {f"kind_{i}": method.share for i, method in enumerate(found.methods)}
        self._kinds = self._named(kind=str, layers=found.methods[0].layers, **shares)
        counts = {f"at_{name}": partial(_at, name) for name in ("score", "found", "missed", "false_alarms", "passed")}
        self._marked = self._named(
            at_method=lambda row: row[0].name, at_use=partial(_at, "use"), **counts, at_rate=rate
        )
        self.keys: tuple[Keys[Any], ...] = (self._methods, self._kinds, self._marked)

    def methods(self, sort: str, descending: bool) -> Sequence[Method]:
        return ordered(self.found.methods, self._methods, sort, descending)

    def kinds(self, sort: str, descending: bool) -> Sequence[str]:
        """The kinds of fault, with the total last."""
        return (*ordered(self.found.kinds, self._kinds, sort, descending), ALL_KINDS)

    def marked(self, sort: str, descending: bool) -> Sequence[Marked]:
        """Every method at each of its thresholds."""
        rows = [(method, at) for method in self.found.methods for at in method.thresholds]
        return ordered(rows, self._marked, sort, descending)

    def _named(self, **keys: Callable[[Any], Any]) -> Keys[Any]:
        return {f"{self.part}_{name}": key for name, key in keys.items()}


def rate(row: Marked) -> float | None:
    """Share of good layers called bad; None if there are no good layers."""
    at = row[1]
    good = at.false_alarms + at.passed
    return at.false_alarms / good if good else None


def _area(method: Method) -> float | None:
    return method.area.value if method.area else None


def _found(i: int, method: Method) -> float | None:
    return method.found[i].found.value if method.found else None


def _at(name: str, row: Marked) -> object:
    return getattr(row[1], name)
