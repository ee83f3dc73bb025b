"""Everything that can go wrong in a way that Driftwatch expects, each with the sentence a person will read.

Raised anywhere, caught only at the borders (a request, a job, a command). Not for programming errors.
"""

from __future__ import annotations

import errno
from enum import StrEnum


class DriftwatchError(Exception):
    """The base of every expected error: `str(error)` is one sentence for the person who caused it."""

    status = 500  # of the HTTP answer, where a request caused it
    code = "error"  # stable, for programs


class SettingsError(DriftwatchError):
    """A setting from the environment cannot be used."""

    status = 503  # nobody can be served until it is corrected
    code = "settings"


class InvalidInput(DriftwatchError):
    """A value from outside is not what the field takes.

    Args:
        field: the name of the field, as the person who wrote the value knows it.
        value: what was given; shortened for the message.
        accepted: what would have been accepted, as the end of a sentence: "a whole number from 1 to 999,999".
    """

    status = 400
    code = "invalid-input"

    def __init__(self, field: str, value: object, accepted: str) -> None:
        self.field, self.value, self.accepted = field, _shortened(value), accepted
        super().__init__(f"{field} is {self.value}, but must be {accepted}.")


class FileTooLarge(DriftwatchError):
    """A file is, or becomes when it is read, more than it may; the sentence names the bound."""

    status = 413
    code = "file-too-large"


class GivenUp(DriftwatchError):
    """Whoever asked for it is gone before it was done."""

    status = 408
    code = "given-up"


class NotFound(DriftwatchError):
    """What was asked for is not in the database."""

    status = 404
    code = "not-found"


class Conflict(DriftwatchError):
    """The request does not fit the state that the thing is in now."""

    status = 409
    code = "conflict"


class OtherSource(Conflict):
    """A run comes from one source, and was to be continued from another; the sentence names both."""

    code = "other-source"


class TooFewLabels(Conflict):
    """A network cannot be trained from the labels that there are; the sentence says what is missing."""

    code = "too-few-labels"


class SignInNeeded(DriftwatchError):
    """Nobody is signed in, and what was asked for is not for everybody."""

    status = 401
    code = "sign-in-needed"


class SignInRefused(DriftwatchError):
    """The name and the password, or the link, are not those of an account that may be used."""

    status = 403
    code = "sign-in-refused"


class TooManyAttempts(DriftwatchError):
    """Signing in was tried too often.

    Args:
        seconds: until it can be tried again.
    """

    status = 429
    code = "too-many-attempts"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Signing in was tried too often. It can be tried again in {seconds:,} s.")


class Forbidden(DriftwatchError):
    """Who is signed in may not do this; the sentence says which role may."""

    status = 403
    code = "forbidden"


class StoreUnavailable(DriftwatchError):
    """The database cannot be reached, or the embedded one cannot be started."""

    status = 503
    code = "store-unavailable"


class DiskFull(DriftwatchError):
    """What should be kept cannot be written."""

    status = 507
    code = "disk-full"

    @classmethod
    def of(cls, error: OSError) -> DiskFull | None:
        """The sentence for an error of the system, where it is one of these.

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
    """Working out why the scores are as they are failed, and will not be tried again at once."""

    code = "not-explained"


class Reason(StrEnum):
    """Why a histogram is missing from a run. The values are stored and shown to programs; never reuse one."""

    ABSENT = "absent"  # the server has no such histogram
    REFUSED = "refused"  # a sign-in page, or 401/403
    NOT_JSON = "not_json"  # a dead renderer, an empty body
    WRONG_SHAPE = "wrong_shape"  # not this chamber's geometry
    NOT_FINITE = "not_finite"  # nan or inf among the counts
    NEGATIVE = "negative"  # below zero, and not the −1 of "no cell"
    NOT_WHOLE = "not_whole"  # a count with a fraction
    TOO_LARGE = "too_large"  # a reply or a count beyond the limit
    SERVER_ERROR = "server_error"  # 5xx or 429, after all retries
    NO_ANSWER = "no_answer"  # a timeout or a broken connection, after all retries
    DEADLINE = "deadline"  # the run's time was up before its turn came


REASON_WORDS = {
    Reason.ABSENT: "not on the server",
    Reason.REFUSED: "the server wants a sign-in",
    Reason.NOT_JSON: "the reply is not JSON",
    Reason.WRONG_SHAPE: "wrong shape for this chamber",
    Reason.NOT_FINITE: "a count is not finite",
    Reason.NEGATIVE: "a count is negative",
    Reason.NOT_WHOLE: "a count is not a whole number",
    Reason.TOO_LARGE: "too large",
    Reason.SERVER_ERROR: "the server failed",
    Reason.NO_ANSWER: "no answer",
    Reason.DEADLINE: "the run's time was up",
}


class UnusableHistogram(DriftwatchError):
    """One histogram cannot be used; the run goes on without it.

    Args:
        reason: the kind, for counting and for programs.
        detail: what exactly was seen, with the value at fault: one sentence without its full stop.
    """

    status = 422
    code = "unusable-histogram"

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{REASON_WORDS[reason]}: {detail}")


class SourceDown(DriftwatchError):
    """The source as a whole refuses or does not answer: asking it for the other histograms is pointless.

    Args:
        reason: REFUSED, SERVER_ERROR, NO_ANSWER or DEADLINE.
        detail: one sentence that says what was tried and what came back.
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
