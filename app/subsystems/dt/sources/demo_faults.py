"""All ways in which the real DQM server fails a request, for the demonstration server to reproduce on demand.

Not for good replies: see `demo_reply`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from itertools import cycle

import numpy as np

from app.errors import InvalidInput
from app.given import number, whole_number
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.sources import demo_reply

SIGN_IN_PATH = "/auth/sign-in"
SIGN_IN_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Sign in</form></body></html>"

_OVERSIZE_BYTES = 4_000_000  # twice the default limit of the program
_STREAM = 4  # first word of the seeds, as in the simulator
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"

Rows = list[list[float | str]]


class FaultKind(StrEnum):
    """The ways in which a request for a histogram can fail."""

    ABSENT = "absent"  # 200 "unsupported type", as for everything the server lacks
    NOT_JSON = "not_json"  # 200 with the output of a failed renderer
    EMPTY = "empty"  # 200 without a body
    ERROR = "error"  # 500
    BUSY = "busy"  # 429 with Retry-After in seconds
    BUSY_UNTIL = "busy_until"  # 429 with Retry-After as a date
    FORBIDDEN = "forbidden"  # 403
    SIGN_IN = "sign_in"  # 200 with a page to sign in
    SIGN_IN_REDIRECT = "sign_in_redirect"  # 302 to such a page
    STALL = "stall"  # accepts the request and never answers
    DRIP = "drip"  # a good reply, one byte at a time
    CUT = "cut"  # half a reply, then the connection is closed
    DROP = "drop"  # the connection is closed without a reply
    NAN = "nan"  # bare in the content, which is not JSON
    INF = "inf"
    NAN_TEXT = "nan_text"  # as a string
    INF_TEXT = "inf_text"
    NEGATIVE = "negative"  # a count of −7
    FRACTION = "fraction"  # a count of 3.5
    HUGE_COUNT = "huge_count"  # more than an int32 holds
    MISSING_ROW = "missing_row"
    MISSING_COLUMN = "missing_column"
    OVERSIZE = "oversize"  # a good reply among 4 MB of white space
    OVERSIZE_UNANNOUNCED = "oversize_unannounced"  # the same without Content-Length


@dataclass(frozen=True)
class Fault:
    """One fault: its kind, the chambers affected, and its duration.

    Attributes:
        kind: what goes wrong.
        chambers: the chambers whose requests fail; None for all.
        share: the share of those chambers that fail, drawn at random but the same at each try; 0 to 1.
        heals_after: number of tries of one histogram that fail before it succeeds; None for ever.
    """

    kind: FaultKind
    chambers: frozenset[Chamber] | None = None
    share: float = 1.0
    heals_after: int | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parse `KIND`, `KIND=SHARE` or `KIND=SHARE:TRIES` from the command line.

        Raises:
            InvalidInput: there is no such kind, or a number is out of range.

        >>> fault = Fault.parse("not_json=0.02:3")
        >>> fault.kind.value, fault.share, fault.heals_after
        ('not_json', 0.02, 3)
        """
        kind, _, rest = text.partition("=")
        share, _, tries = rest.partition(":")
        accepted = f"KIND, KIND=SHARE or KIND=SHARE:TRIES with KIND one of {', '.join(FaultKind)}, SHARE from 0 to 1"
        try:
            fault = cls(FaultKind(kind), None, number(share or "1"), whole_number(tries) if tries else None)
        except ValueError:
            raise InvalidInput("fault", text, accepted) from None
        if not 0 <= fault.share <= 1 or (fault.heals_after or 0) < 0:
            raise InvalidInput("fault", text, accepted)
        return fault

    def strikes(self, run: int, chamber: Chamber, failed: int) -> bool:
        """Whether the next try fails, after `failed` failed ones."""
        if self.heals_after is not None and failed >= self.heals_after:
            return False
        if self.chambers is not None and chamber not in self.chambers:
            return False
        if self.share >= 1:
            return True
        key = (_STREAM, run, all_chambers().index(chamber), list(FaultKind).index(self.kind))
        return np.random.default_rng(np.random.SeedSequence(key)).random() < self.share


@dataclass(frozen=True)
class Reply:
    """A reply, and how it is sent: cut after `cut_at` bytes, one byte every `drip` seconds, or without its length."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cut_at: int | None = None
    drip: bool = False
    announced: bool = True


def spoilt(kind: FaultKind, chamber: Chamber, rows: Rows, retry_after: float) -> Reply | None:
    """A chamber's reply with a fault applied; None for a connection without any reply."""
    if kind in _ROWS:
        return Reply(demo_reply.histogram_json(chamber, _ROWS[kind](rows)).encode())
    if kind in _STATUS:
        headers: tuple[tuple[str, str], ...] = ()
        if kind is FaultKind.BUSY:
            headers = (("Retry-After", str(round(retry_after))),)
        elif kind is FaultKind.BUSY_UNTIL:
            until = datetime.now(UTC) + timedelta(seconds=retry_after)
            headers = (("Retry-After", format_datetime(until, usegmt=True)),)
        elif kind is FaultKind.SIGN_IN_REDIRECT:
            headers = (("Location", SIGN_IN_PATH),)
        status, reason = _STATUS[kind]
        return Reply(_PAGE.format(reason).encode(), status, headers)
    if kind in _BODIES:
        return Reply(_BODIES[kind].encode())
    good = demo_reply.histogram_json(chamber, rows).encode()
    match kind:
        case FaultKind.DRIP:
            return Reply(good, drip=True)
        case FaultKind.CUT:
            return Reply(good, cut_at=len(good) // 2)
        case FaultKind.OVERSIZE | FaultKind.OVERSIZE_UNANNOUNCED:
            padded = good + b" " * (_OVERSIZE_BYTES - len(good))
            return Reply(padded, announced=kind is FaultKind.OVERSIZE)
    return None  # STALL and DROP


_STATUS = {
    FaultKind.ERROR: (500, "Internal Server Error"),
    FaultKind.BUSY: (429, "Too Many Requests"),
    FaultKind.BUSY_UNTIL: (429, "Too Many Requests"),
    FaultKind.FORBIDDEN: (403, "Forbidden"),
    FaultKind.SIGN_IN_REDIRECT: (302, "Found"),
}
_BODIES = {
    FaultKind.ABSENT: demo_reply.ABSENT,
    FaultKind.NOT_JSON: '"error":"JSON preparing process was interrupted."',
    FaultKind.EMPTY: "",
    FaultKind.SIGN_IN: SIGN_IN_PAGE,
}


def _with(*values: float | str) -> Callable[[Rows], Rows]:
    """Replace the first cell of every fourth layer by the values, in turn."""

    def change(rows: Rows) -> Rows:
        turn = cycle(values)
        return [[next(turn), *row[1:]] if i % 4 == 0 else list(row) for i, row in enumerate(rows)]

    return change


_ROWS: dict[FaultKind, Callable[[Rows], Rows]] = {
    FaultKind.NAN: _with("nan", "-nan"),
    FaultKind.INF: _with("inf", "-inf"),
    FaultKind.NAN_TEXT: _with('"nan"'),
    FaultKind.INF_TEXT: _with('"inf"'),
    FaultKind.NEGATIVE: _with(-7),
    FaultKind.FRACTION: _with(3.5),
    FaultKind.HUGE_COUNT: _with(1e12),
    FaultKind.MISSING_ROW: lambda rows: rows[:-1],
    FaultKind.MISSING_COLUMN: lambda rows: [row[:-1] for row in rows],
}
