"""The DQM server's `jsonfairy`: one histogram per request, as JSON made by string formatting.

The server escapes nothing, so a title with a quote, a backslash or a line break gives invalid or unintended JSON. The
counts do not depend on it: they are read from where the server writes them, after all texts.

`http` and `parallel` handle sign-in, limits, retries and giving up; `app.subsystems.dt.sources.dqm` interprets a reply
for a chamber.
"""

from __future__ import annotations

import json
import logging
import re
import reprlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlencode

from app.domain.origin import DEMONSTRATION, Origin, SourceKind
from app.errors import Reason, SettingsError, SourceDown, UnusableHistogram
from app.sources import Fetched
from app.sources.http import Failed
from app.sources.parallel import Server
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.sources import dqm
from config import Settings

log = logging.getLogger(__name__)

ONLINE = "/Global/Online/ALL"  # the dataset of the requested histograms
LARGEST_RUN_LIST = 50_000_000  # bytes: 100,000 runs of about 300 bytes each, with room to grow

# A string, or a number that C writes but JSON does not know. Strings are matched in order to be skipped, even
# unterminated ones, so that every character is read only once, whatever the reply.
_STRING_OR_NOT_FINITE = re.compile(
    r'"(?:[^"\\]|\\.?)*+"?|(?<![\w.])[+-]?(?:nan(?:\([^)]{0,40}\))?|inf(?:inity)?)(?![\w.])',
    re.IGNORECASE | re.DOTALL,
)
_BEFORE_THE_TEXTS = re.compile(r'\s*\{\s*"hist"\s*:\s*\{')
_BINS = '"bins"'  # the last key of a histogram: only numbers follow
_INNERMOST = re.compile(r"\{[^{}]*\}")  # such as an entry of the list of runs


class Jsonfairy:
    """The DQM server as a source. Create one per process: it enforces DQM_PARALLEL.

    Args:
        settings: the dqm_* fields.
        demonstration: base URL of a demonstration server, instead of settings.dqm_url.

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
        self._latest = 0  # run ever listed
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
            SourceDown: no list arrived, or it cannot be parsed.
        """
        query = urlencode({"match": f"^{ONLINE}$", "run": only})
        url = f"{self._url}/data/json/samples?{query}"
        replies = self._server.get_each({url: url}, _run_list, stop or threading.Event(), LARGEST_RUN_LIST)
        runs = dict(replies).get(url, [])
        if isinstance(runs, UnusableHistogram):
            raise SourceDown(Reason.SERVER_ERROR, f"{self.name} gives no list of runs: {runs}.")
        return runs

    def _occupancy(self, chamber: Chamber, body: bytes) -> Occupancy:
        reply = histogram(body)
        if isinstance(reply, dict) and reply.get(dqm.SIMULATED) is True:
            self.simulated = True  # DQM_URL names a demonstration server, which marks each histogram
        return dqm.occupancy_of(reply, chamber)

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        """Whether the server lists no later run, so that this one may still be in progress.

        Runs are taken one after another, so a run is over once another follows. The server gives no other sign; without
        a list nothing is known, and the run may be in progress.
        """
        if run >= self._latest:
            try:
                self._latest = max(self.runs(stop=stop), default=0)
            except SourceDown as error:
                log.warning("whether run %d is over is unknown: %s", run, error)
        return run >= self._latest

    def close(self) -> None:
        """Abort all requests, as `stop` does; nothing can be fetched afterwards."""
        self._server.close()


def decoded(body: bytes) -> object:
    """The JSON of a reply, accepting the server's nan and inf as numbers.

    Raises:
        UnusableHistogram: NOT_JSON, with what was seen. Duplicate keys are refused, too.

    >>> decoded(b'{"name": "inf", "content": [1, -nan, inf]}')
    {'name': 'inf', 'content': [1, nan, inf]}
    >>> decoded(b'{"error": interrupted')
    Traceback (most recent call last):
    ...
    app.errors.UnusableHistogram: the reply is not JSON: it begins with '{"error": interrupted'
    """
    return _decoded(_text(body))


def histogram(body: bytes) -> object:
    """The reply of `jsonfairy` for a histogram: all of it, or only its bins, whatever the texts before them contain.

    Raises:
        UnusableHistogram: as for `decoded`.
        Failed: it is an error that may pass.

    >>> histogram(b'{"hist": {"title": "5\\" \\tube", "bins": {"content": [[3, 4]]}}}')
    {'hist': {'bins': {'content': [[3, 4]]}}}
    """
    text = _text(body)
    before, key, bins = text.rpartition(_BINS)
    if key and _BEFORE_THE_TEXTS.match(before):
        with suppress(UnusableHistogram):
            return _decoded(f'{{"hist": {{{_BINS}{bins}')
    reply = _decoded(text)
    _check_no_error(reply, "hist")
    return reply


def _check_no_error(reply: object, wanted: str) -> None:
    if isinstance(reply, dict) and "error" in reply and wanted not in reply:
        raise Failed(Reason.SERVER_ERROR, f"it answered with an error, {reprlib.repr(reply['error'])}", heals=True)


def _text(body: bytes) -> str:
    return body.decode("utf-8-sig", errors="replace")


def _decoded(text: str) -> object:
    try:
        try:
            return _LENIENT.decode(text)
        except json.JSONDecodeError:
            return _LENIENT.decode(_STRING_OR_NOT_FINITE.sub(_as_python, text))
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


_LENIENT = json.JSONDecoder(strict=False, object_pairs_hook=_object)  # takes tabs and line breaks within a text


def _as_python(match: re.Match[str]) -> str:
    found = match[0]
    if found.startswith('"'):
        return found
    if "nan" in found.lower():
        return "NaN"
    return "-Infinity" if found.startswith("-") else "Infinity"


def _run_list(url: str, body: bytes) -> list[int]:
    """The runs of a `samples` reply: {"samples": [{"items": [{"run": "279794", "dataset": …}]}]}.

    Groups may repeat a run. Other datasets are left out; entries that cannot be parsed are left out and logged. If none
    can be parsed, there is no list.
    """
    entries = _entries(_text(body))
    found = [entry for entry in entries if not isinstance(entry, dict) or entry.get("dataset", ONLINE) == ONLINE]
    runs, strange = set(), []
    for entry in found:
        run = entry.get("run") if isinstance(entry, dict) and "dataset" in entry else None
        if isinstance(run, str | int) and re.fullmatch("[0-9]{1,6}", str(run)) and int(run) > 0:
            runs.add(int(run))
        else:
            strange.append(entry)
    if strange:
        such_as = reprlib.repr(strange[0])
        log.warning("%d entries in the list of runs are not runs, such as %s", len(strange), such_as)
    if strange and len(strange) == len(entries):
        raise UnusableHistogram(Reason.WRONG_SHAPE, "it is not of the form samples, items, run and dataset")
    return sorted(runs)


def _entries(text: str) -> list[object]:
    """All entries of all groups, valid or not."""
    try:
        reply = _decoded(text)
    except UnusableHistogram:
        if not text.rstrip().endswith("]}"):
            raise  # incomplete: the request is retried
        return [_entry(match[0]) for match in _INNERMOST.finditer(text)]
    _check_no_error(reply, "samples")
    groups = reply.get("samples") if isinstance(reply, dict) else None
    if not isinstance(groups, list):
        return [reply]
    items = [group.get("items") if isinstance(group, dict) else None for group in groups]
    return [entry for some in items for entry in (some if isinstance(some, list) else [some])]


def _entry(text: str) -> object:
    try:
        return _decoded(text)
    except UnusableHistogram:
        return text
