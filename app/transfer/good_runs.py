"""Which runs are good, in the form that CMS's tools read: run → ranges of lumisections, inclusive.

A run is good where it is finished, nothing of it is missing or unscored, and at most so many of its items are bad.
An item is bad where people say so of one of its parts; where nobody said anything, or people disagree, the verdict
of the model that scored it counts. This is the drift tubes' own opinion and no certification: that takes all detectors.

Histograms are of whole runs, so lumisections are known only from a file that has them, such as the one of those in
which the detector was on; without it, the good runs are a list.

The form: {"302635": [[1, 35], [39, 120]], …}, after FWCore.PythonUtilities.LumiList of CMSSW.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from app.domain.labels import LabelState
from app.domain.run_numbers import LARGEST_RUN, run_number
from app.domain.runs import Run, RunState
from app.errors import InvalidInput
from app.json_file import read_json
from app.store import Store
from app.subsystems import Subsystem

Ranges = Mapping[int, Sequence[tuple[int, int]]]  # run → (first, last) lumisections

MOST_BAD = 0.05  # share of the items of a good run, unless asked otherwise
AT_ONCE = 1_000  # runs
LARGEST_LUMISECTIONS = 10_000_000  # bytes; those of a year have some 200 kB


def good_runs(
    store: Store, runs: tuple[int, int] | None, most_bad: int, lumisections: Ranges | None
) -> list[int] | dict[str, list[list[int]]]:
    """The good runs among some, or among all.

    Args:
        runs: the first and the last.
        most_bad: items that a good run may have bad.
        lumisections: of the runs, where they are known; a run that it does not have is in no answer then.

    Returns:
        Numbers, ascending; with `lumisections` the ranges of those that are good.
    """
    if most_bad < 0:
        raise InvalidInput("most bad", most_bad, "0 or more items")
    corrections = _corrections(store, runs)
    good = [
        run.number
        for run in _finished(store, runs)
        if run.is_complete and run.done and run.summary.get("bad_items", 0) + corrections.get(run.number, 0) <= most_bad
    ]
    if lumisections is None:
        return good
    return {str(run): [list(one) for one in lumisections[run]] for run in good if run in lumisections}


def usual_most_bad(subsystem: Subsystem) -> int:
    """How many items a good run may have bad, unless asked otherwise."""
    return int(MOST_BAD * len(subsystem.places()))


def read_lumisections(path: Path) -> Ranges:
    """The ranges of a file in the form above.

    Raises:
        InvalidInput: it is not in that form.
    """
    form = 'an object of runs and their ranges, {"302635": [[1, 35]]}'
    given = read_json(path, "lumisections", form, LARGEST_LUMISECTIONS)
    if not isinstance(given, dict):
        raise InvalidInput("lumisections", given, form)
    return {run_number(run, "lumisections"): [_range(run, one) for one in _list(run, of)] for run, of in given.items()}


def _list(run: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(f"lumisections of run {run}", value, "a list of ranges")
    return value


def _range(run: str, value: Any) -> tuple[int, int]:
    are_numbers = isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value)
    if not are_numbers or not 1 <= value[0] <= value[1]:
        raise InvalidInput(f"lumisections of run {run}", value, "two whole numbers from 1, the lower first")
    return value[0], value[1]


def _finished(store: Store, runs: tuple[int, int] | None) -> Iterator[Run]:
    first, last = runs or (1, LARGEST_RUN)
    for skip in count(0, AT_ONCE):
        batch = store.runs.find(RunState.FINISHED, descending=False, skip=skip, limit=AT_ONCE, together=True)
        yield from (run for run in batch if first <= run.number <= last)
        if len(batch) < AT_ONCE or batch[-1].number >= last:
            return


def _corrections(store: Store, runs: tuple[int, int] | None) -> dict[int, int]:
    """run → how many more of its items people call bad than the model does."""
    more: dict[int, int] = {}
    for run, bad_by_model, evaluation in store.transfer.labelled(runs):
        if evaluation["state"] in (LabelState.LABELLED, LabelState.RESOLVED):
            more[run] = more.get(run, 0) + bool(evaluation["bad"]) - bool(bad_by_model)
    return more
