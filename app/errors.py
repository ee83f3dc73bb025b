"""All expected errors, each with the sentence a person will read.

They are raised anywhere and caught only at the borders: a request, a job, a command. Not for programming errors.
"""

from __future__ import annotations

import errno
from enum import StrEnum


class DriftwatchError(Exception):
    """The base of every expected error: `str(error)` is one sentence for the person who caused it."""

    status = 500  # of the HTTP response, if a request caused it
    code = "error"  # stable, for programs


class SettingsError(DriftwatchError):
    """A setting from the environment cannot be used."""

    status = 503  # nothing can be served until it is corrected
    code = "settings"


class InvalidInput(DriftwatchError):
    """A value from outside is not valid for its field.

    Args:
        field: the name of the field, as known to the person who entered the value.
        value: the value, shortened for the message.
        accepted: what is accepted, as the end of a sentence: "a whole number from 1 to 999,999".
    """

    status = 400
    code = "invalid-input"

    def __init__(self, field: str, value: object, accepted: str) -> None:
        self.field, self.value, self.accepted = field, _shortened(value), accepted
        super().__init__(f"{field} is {self.value}, but must be {accepted}.")


class FileTooLarge(DriftwatchError):
    """A file exceeds a bound, as it is or when unpacked; the sentence names the bound."""

    status = 413
    code = "file-too-large"


class GivenUp(DriftwatchError):
    """The client disconnected before the work was done."""

    status = 408
    code = "given-up"


class NotFound(DriftwatchError):
    """The requested object is not in the database."""

    status = 404
    code = "not-found"


class Conflict(DriftwatchError):
    """The request does not fit the current state of the object."""

    status = 409
    code = "conflict"


class OtherSource(Conflict):
    """A run from one source was to be continued from another; the sentence names both."""

    code = "other-source"


class TooFewLabels(Conflict):
    """There are too few labels to train a network; the sentence says what is missing."""

    code = "too-few-labels"


class SignInNeeded(DriftwatchError):
    """The request requires signing in."""

    status = 401
    code = "sign-in-needed"


class SignInRefused(DriftwatchError):
    """Name and password, or the link, do not belong to an enabled account."""

    status = 403
    code = "sign-in-refused"


class TooManyAttempts(DriftwatchError):
    """Too many failed attempts to sign in.

    Args:
        seconds: until it can be tried again.
    """

    status = 429
    code = "too-many-attempts"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Signing in was tried too often. It can be tried again in {seconds:,} s.")


class Forbidden(DriftwatchError):
    """The account's role does not permit this; the sentence names the role that does."""

    status = 403
    code = "forbidden"


class StoreUnavailable(DriftwatchError):
    """The database cannot be reached, or the embedded one cannot be started."""

    status = 503
    code = "store-unavailable"


class DiskFull(DriftwatchError):
    """The disk is full or cannot be written to."""

    status = 507
    code = "disk-full"

    @classmethod
    def of(cls, error: OSError) -> DiskFull | None:
        """The sentence for a system error of this kind; None for any other.

        >>> str(DiskFull.of(OSError(errno.ENOSPC, "No space left on device", "/data/x")))
        'Driftwatch cannot write to /data/x: no space left on device. Make room there, then try again.'
        """
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return None
        where = error.filename or "the disk"
        why = (error.strerror or "no room").lower()
        return cls(f"Driftwatch cannot write to {where}: {why}. Make room there, then try again.")


class ModelRefused(DriftwatchError):
    """A model file or its card cannot be trusted or understood."""

    code = "model-refused"


class NotExplained(DriftwatchError):
    """Explaining the scores failed recently and is not retried yet."""

    code = "not-explained"


class Reason(StrEnum):
    """Why a histogram is missing from a run. The values are stored and part of the API; never reuse one."""

    ABSENT = "absent"  # the server has no such histogram
    REFUSED = "refused"  # a sign-in page, or 401/403
    NOT_JSON = "not_json"  # renderer failed, empty body
    WRONG_SHAPE = "wrong_shape"  # not this item's geometry
    NOT_FINITE = "not_finite"  # NaN or infinity among the counts
    NEGATIVE = "negative"  # below zero, except the −1 of "no cell"
    NOT_WHOLE = "not_whole"  # a fractional count
    TOO_LARGE = "too_large"  # a reply or a count beyond the limit
    SERVER_ERROR = "server_error"  # 5xx or 429, after all retries
    NO_ANSWER = "no_answer"  # a timeout or a broken connection, after all retries
    DEADLINE = "deadline"  # the run's deadline passed before its turn


REASON_WORDS = {
    Reason.ABSENT: "not on the server",
    Reason.REFUSED: "the server wants a sign-in",
    Reason.NOT_JSON: "the reply is not JSON",
    Reason.WRONG_SHAPE: "wrong shape",
    Reason.NOT_FINITE: "a count is not finite",
    Reason.NEGATIVE: "a count is negative",
    Reason.NOT_WHOLE: "a count is not a whole number",
    Reason.TOO_LARGE: "too large",
    Reason.SERVER_ERROR: "the server failed",
    Reason.NO_ANSWER: "no answer",
    Reason.DEADLINE: "the run's time was up",
}


class UnusableHistogram(DriftwatchError):
    """One histogram cannot be used; the run continues without it.

    Args:
        reason: the kind, for statistics and for programs.
        detail: what exactly is wrong, with the value at fault: one sentence without its full stop.
    """

    status = 422
    code = "unusable-histogram"

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{REASON_WORDS[reason]}: {detail}")


class SourceDown(DriftwatchError):
    """The whole source refuses or does not answer, so requesting the other histograms is pointless.

    Args:
        reason: REFUSED, SERVER_ERROR, NO_ANSWER or DEADLINE.
        detail: one sentence with what was tried and what came back.
    """

    status = 502
    code = "source-down"

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


def _shortened(value: object, limit: int = 60) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; a number of thousands of digits
        text = f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
