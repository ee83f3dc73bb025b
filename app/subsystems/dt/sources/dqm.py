"""Names of the drift tubes' histograms on the DQM server, and the interpretation of its replies.

Source: the paths of CMSSW's DTDigiTask and the JSON of the DQM server's `jsonfairy`. Not for fetching: see
`app.sources`; not for checking counts: see `histogram`.
"""

from __future__ import annotations

import re
from typing import Any

from app.errors import InvalidInput, Reason, UnusableHistogram
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy

UNSUPPORTED = "unsupported type"  # the server's answer for everything it lacks
SIMULATED = "simulated"  # key by which the demonstration server marks its histograms

_WHEEL, _STATION, _SECTOR = r"-?\d{1,2}", r"\d{1,2}", r"\d{1,2}"
_PATH = re.compile(
    rf"archive/(?P<run>\d{{1,9}})/Global/Online/ALL/DT/01-Digi"
    rf"/Wheel(?P<wheel>{_WHEEL})/Sector(?P<sector>{_SECTOR})/Station(?P<station>{_STATION})"
    r"/(?P<name>OccupancyAllHits_perCh_W[-\d]+_St\d+_Sec\d+)"
)


def histogram_name(chamber: Chamber) -> str:
    """The name of a chamber's occupancy histogram.

    >>> histogram_name(Chamber(wheel=-1, station=1, sector=2))
    'OccupancyAllHits_perCh_W-1_St1_Sec2'
    """
    return f"OccupancyAllHits_perCh_W{chamber.wheel}_St{chamber.station}_Sec{chamber.sector}"


def histogram_path(run: int, chamber: Chamber) -> str:
    """Its path on the server, below `{base}/jsonfairy/`.

    >>> histogram_path(302635, Chamber(wheel=-1, station=1, sector=2)).partition("01-Digi/")[2]
    'Wheel-1/Sector2/Station1/OccupancyAllHits_perCh_W-1_St1_Sec2'
    """
    folder = f"Wheel{chamber.wheel}/Sector{chamber.sector}/Station{chamber.station}"
    return f"archive/{run}/Global/Online/ALL/DT/01-Digi/{folder}/{histogram_name(chamber)}"


def parse_histogram_path(path: str) -> tuple[int, Chamber] | None:
    """The inverse of `histogram_path`; None for any other path.

    >>> run, chamber = parse_histogram_path(histogram_path(302635, Chamber(wheel=2, station=4, sector=14)))
    >>> run, str(chamber)
    (302635, 'W2 St4 Sec14')
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    run, place = int(match["run"]), {key: int(match[key]) for key in ("wheel", "station", "sector")}
    try:
        chamber = Chamber(**place)
    except InvalidInput:
        return None
    return (run, chamber) if histogram_path(run, chamber) == path else None


def occupancy_of(reply: object, chamber: Chamber) -> Occupancy:
    """Extract the counts from a reply of `jsonfairy`.

    Args:
        reply: the decoded JSON, whatever it is.
        chamber: the chamber of the requested histogram.

    Raises:
        UnusableHistogram: ABSENT if the server has no such histogram; WRONG_SHAPE if the reply is not a 2-D histogram
            or does not fit the chamber; otherwise whatever `Occupancy.from_rows` finds wrong with the counts.

    >>> occupancy_of({"hist": "unsupported type"}, Chamber(wheel=0, station=4, sector=9))
    Traceback (most recent call last):
    ...
    app.errors.UnusableHistogram: not on the server: the reply for W0 St4 Sec9 is 'unsupported type'
    """
    histogram = _member(reply, "hist", "the reply")
    if histogram == UNSUPPORTED:
        raise UnusableHistogram(Reason.ABSENT, f"the reply for {chamber} is {UNSUPPORTED!r}")
    bins = _member(histogram, "bins", "hist")
    return Occupancy.from_rows(chamber, _member(bins, "content", "hist.bins"))


def _member(of: object, key: str, name: str) -> Any:
    if not isinstance(of, dict):
        raise UnusableHistogram(Reason.WRONG_SHAPE, f"{name} is {_kind(of)}, not an object")
    if key not in of:
        raise UnusableHistogram(Reason.WRONG_SHAPE, f"{name} has no {key!r}")
    return of[key]


def _kind(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else type(value).__name__
