"""The DQM server's `jsonfairy`: one histogram a request, as JSON made by string formatting.

Sign-in, limits, retries and giving up are `http` and `parallel`; what a reply means for a chamber is
`app.subsystems.dt.dqm`.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from app.errors import Reason, SettingsError, SourceDown, UnusableHistogram
from app.sources import Fetched
from app.sources.origin import DEMONSTRATION, Origin, SourceKind
from app.sources.parallel import Server
from app.subsystems.dt import dqm
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from config import Settings

log = logging.getLogger(__name__)

ONLINE = "/Global/Online/ALL"  # the dataset whose histograms are asked for
LARGEST_RUN_LIST = 50_000_000  # bytes: 100,000 runs of some 300 bytes each, and room to grow

# A string, or a number that C writes and JSON does not know. Strings are matched so as to be left alone.
_STRING_OR_NOT_FINITE = re.compile(
    r'"(?:[^"\\]|\\.)*"|(?<![\w.])[+-]?(?:nan(?:\([^)]*\))?|inf(?:inity)?)(?![\w.])', re.IGNORECASE
)


class Jsonfairy:
    """The DQM server as a source. Make one a process: it is what keeps to DQM_PARALLEL requests at once.

    Args:
        settings: the dqm_* fields.
        demonstration: base URL of a demonstration server, in place of settings.dqm_url.

    Raises:
        SettingsError: neither is given.
    """

    def __init__(self, settings: Settings, demonstration: str | None = None) -> None:
        url = demonstration or settings.dqm_url
        if not url:
            raise SettingsError("DQM_URL is not set: which server has the histograms?")
        self._url = url.rstrip("/")
        self._server = Server(settings, self._url)
        self.name = self._server.name
        self._latest = 0  # run that was ever listed
        self.origin = DEMONSTRATION if demonstration else Origin(SourceKind.DQM, self.name)
        self.simulated = demonstration is not None

    def fetch(self, run: int, chambers: Sequence[Chamber], stop: threading.Event) -> Iterator[Fetched]:
        """Yield each of the chambers once, in order of arrival: its occupancy, or why there is none.

        Ends early, without error, within about a second of `stop` being set.

        Raises:
            SourceDown: the server refuses or does not answer. What had arrived was yielded before.
        """
        urls = {chamber: f"{self._url}/jsonfairy/{dqm.histogram_path(run, chamber)}" for chamber in chambers}
        return self._server.get_each(urls, self._occupancy, stop)

    def runs(self, only: str = "", stop: threading.Event | None = None) -> list[int]:
        """The runs that the server lists with online histograms, in ascending order.

        Args:
            only: a regular expression that the server matches against run numbers: "^3026"; all runs without it.
            stop: ends the request; the list is then empty.

        Raises:
            SourceDown: no list came, or it cannot be understood.
        """
        query = urlencode({"match": f"^{ONLINE}$", "run": only})
        url = f"{self._url}/data/json/samples?{query}"
        replies = self._server.get_each({url: url}, _run_list, stop or threading.Event(), LARGEST_RUN_LIST)
        runs = dict(replies).get(url, [])
        if isinstance(runs, UnusableHistogram):
            raise SourceDown(Reason.SERVER_ERROR, f"{self.name} gives no list of runs: {runs}.")
        return runs

    def _occupancy(self, chamber: Chamber, body: bytes) -> Occupancy:
        reply = decoded(body)
        if isinstance(reply, dict) and reply.get(dqm.SIMULATED) is True:
            self.simulated = True  # DQM_URL names a demonstration server, which says so with each histogram
        return dqm.occupancy_of(reply, chamber)

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        """Whether the server lists no later run: then this one was perhaps still being taken.

        Runs are taken one after another, so one that another follows is over. The server does not say it otherwise;
        where it gives no list, nothing is known, and it may.
        """
        if run >= self._latest:
            try:
                self._latest = max(self.runs(stop=stop), default=0)
            except SourceDown as error:
                log.warning("whether run %d is over is not known: %s", run, error)
        return run >= self._latest

    def close(self) -> None:
        """End what is under way, as `stop` does; nothing can be fetched afterwards."""
        self._server.close()


def decoded(body: bytes) -> object:
    """The JSON of a reply, with the server's own nan and inf understood as numbers.

    Raises:
        UnusableHistogram: NOT_JSON, with what was seen. Two values for one key are not believed either.

    >>> decoded(b'{"name": "inf", "content": [1, -nan, inf]}')
    {'name': 'inf', 'content': [1, nan, inf]}
    >>> decoded(b'{"error": interrupted')
    Traceback (most recent call last):
    ...
    app.errors.UnusableHistogram: the reply is not JSON: it begins with '{"error": interrupted'
    """
    text = body.decode("utf-8-sig", errors="replace")
    try:
        try:
            return json.loads(text, object_pairs_hook=_object)
        except json.JSONDecodeError:
            return json.loads(_STRING_OR_NOT_FINITE.sub(_as_python, text), object_pairs_hook=_object)
    except json.JSONDecodeError:
        seen = f"it begins with {text[:60]!r}" if text.strip() else "it is empty"
        raise UnusableHistogram(Reason.NOT_JSON, seen) from None
    except RecursionError:
        raise UnusableHistogram(Reason.NOT_JSON, "it is nested too deeply") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise UnusableHistogram(Reason.TOO_LARGE, f"a number in it cannot be read ({error})") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        for key, value in pairs:
            if made[key] is not value and repr(made[key]) != repr(value):
                raise UnusableHistogram(Reason.NOT_JSON, f"the key {key[:40]!r} has two values")
    return made


def _as_python(match: re.Match[str]) -> str:
    found = match[0]
    if found.startswith('"'):
        return found
    if "nan" in found.lower():
        return "NaN"
    return "-Infinity" if found.startswith("-") else "Infinity"


def _run_list(url: str, body: bytes) -> list[int]:
    """The runs of a `samples` reply: {"samples": [{"items": [{"run": "279794", "dataset": …}]}]}.

    Groups may repeat a run. What is not an online dataset is left out, and so is what is no run number.
    """
    try:
        items = [item for group in decoded(body)["samples"] for item in group["items"]]
        found = [str(item["run"]) for item in items if item["dataset"] == ONLINE]
    except (TypeError, KeyError, IndexError):
        raise UnusableHistogram(Reason.WRONG_SHAPE, "it is not of the form samples, items, run and dataset") from None
    runs = [run for run in found if re.fullmatch("[0-9]{1,6}", run) and int(run) > 0]
    if len(runs) < len(found):
        strange = next(run for run in found if run not in runs)
        log.warning("%d entries in the list of runs are no run numbers, such as %.40r", len(found) - len(runs), strange)
    return sorted(set(map(int, runs)))
