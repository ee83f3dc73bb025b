"""Reads a DQM ROOT file: a script, run with limits by `rootfile`. It imports nothing from Driftwatch.

A few compressed bytes can become gigabytes, and damaged ones can make a reader loop: see `app.limited`. It writes one
line of JSON about the whole file; then, for each path read from a line of standard input, one about that histogram.

    root_reader.py FILE
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import uproot

MOST_BINS = 10_000  # a chamber has at most 12 × 98
MOST_NAMED = 8  # of what a file holds


def answers(path: str, places: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The output: {"runs", "holds"} or {"damaged"}; then for each place {"rows"}, {"kind"}, {"absent"} or {"damaged"}.

    "rows" are those of a TH2, [y][x], without under- and overflow; "kind" is the class of anything else.
    """
    try:
        with uproot.open(path, handler=uproot.MemmapSource) as file:
            yield {"runs": _runs(file), "holds": _holds(file)}
            for place in places:
                yield _histogram(file, place)
    except Exception as error:  # noqa: BLE001 (damaged bytes make uproot raise nearly anything)
        yield {"damaged": _words(error)}


def _runs(file: Any) -> list[int]:
    """The runs with data of the drift tubes."""
    found = [re.fullmatch(r"Run ([0-9]{1,9})", name) for name in _below(file, "DQMData")]
    return sorted(int(run[1]) for run in found if run and "DT" in _below(file, f"DQMData/{run[0]}"))


def _holds(file: Any) -> list[str]:
    """A few names that characterise the contents of the file."""
    names = [f"{name} ({kind})" for name, kind in file.classnames(recursive=False, cycle=False).items()]
    inside = [
        f"DQMData/{run}/{part}"
        for run in _below(file, "DQMData")[:MOST_NAMED]
        for part in _below(file, f"DQMData/{run}")
    ]
    found = [" ".join(name.split())[:80] for name in (inside or names)]
    return found[:MOST_NAMED] + ["…"] * (len(found) > MOST_NAMED)


def _below(file: Any, path: str) -> list[str]:
    if path not in file or not isinstance(file[path], uproot.ReadOnlyDirectory):
        return []
    return file[path].keys(recursive=False, cycle=False)


def _histogram(file: Any, place: str) -> dict[str, Any]:
    try:
        histogram = file[place]
        kind = histogram.classname
        if not kind.startswith("TH2"):
            return {"kind": kind}
        values = histogram.values(flow=False)
        if values.size > MOST_BINS:
            return {"kind": f"{kind} of {values.size:,} bins"}
        return {"rows": values.T.tolist()}  # uproot's are [x][y]
    except uproot.KeyInFileError:
        return {"absent": True}
    except Exception as error:  # noqa: BLE001
        return {"damaged": _words(error)}


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


if __name__ == "__main__":
    for answer in answers(sys.argv[1], map(str.rstrip, sys.stdin)):
        print(json.dumps(answer), flush=True)
