"""Good runs in the format that CMS tools read: run → inclusive ranges of lumisections.

A run is good if it is finished, none of its items is missing or unscored, and at most a given share of them is bad. An
item is bad if people labelled one of its parts so; without a label, or with a disagreement, the verdict of the model
that scored it counts. This is the drift tubes' own view and not a certification, which takes all detectors.

Histograms cover whole runs, so lumisections are only known from a separate file, such as the list of those in which the
detector was on. Without it, the good runs are a plain list.

Format: {"302635": [[1, 35], [39, 120]], …}, after FWCore.PythonUtilities.LumiList of CMSSW.
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

MOST_BAD = 0.05  # default share of bad items in a good run
AT_ONCE = 1_000  # runs
LARGEST_LUMISECTIONS = 10_000_000  # bytes; a year's file has about 200 kB


def good_runs(
    store: Store, runs: tuple[int, int] | None, most_bad: int | None, lumisections: Ranges | None
) -> list[int] | dict[str, list[list[int]]]:
    """Select the good runs.

    Args:
        runs: only runs from the first to the last.
        most_bad: largest number of bad items in a good run; `usual_most_bad` if None.
        lumisections: by run, if known; runs not included are never good.

    Returns:
        Run numbers, ascending; with `lumisections`, the ranges of the good runs.
    """
    if most_bad is None:
        most_bad = usual_most_bad(store.subsystem)
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
    """Default share of bad items in a good run."""
    return int(MOST_BAD * len(subsystem.places()))


def read_lumisections(path: Path) -> Ranges:
    """Parse a lumisection file in the above format.

    Raises:
        InvalidInput: it is not in that format.
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
    """run → number of bad items by label minus number by the model's verdict."""
    more: dict[int, int] = {}
    for run, bad_by_model, evaluation in store.transfer.labelled(runs):
        if evaluation["state"] in (LabelState.LABELLED, LabelState.RESOLVED):
            more[run] = more.get(run, 0) + bool(evaluation["bad"]) - bool(bad_by_model)
    return more
