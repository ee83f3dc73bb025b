"""Parsing of run numbers and ranges."""

from __future__ import annotations

import re

from app.errors import InvalidInput

LARGEST_RUN = 999_999_999  # the DQM server pads run numbers to nine digits
MOST_RUNS_AT_ONCE = 500  # per request: about as many as in a year of data taking


def run_number(value: object, field: str = "run") -> int:
    """Parse one run number.

    Raises:
        InvalidInput: not a whole number from 1 to 999,999,999.

    >>> run_number(" 302635 ")
    302635
    """
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", text) or not int(text):
        raise InvalidInput(field, value, f"a whole number from 1 to {LARGEST_RUN:,}")
    return int(text)


def run_range(text: str, field: str = "runs") -> tuple[int, int]:
    """Parse a run or a range of runs into (first, last).

    Raises:
        InvalidInput: neither a run nor two runs joined by a dash.

    >>> run_range("302634-302640"), run_range("302635")
    ((302634, 302640), (302635, 302635))
    """
    first, dash, last = text.replace("–", "-").partition("-")
    low = run_number(first, field)
    high = run_number(last, field) if dash else low
    if high < low:
        raise InvalidInput(field, text, "a range that begins with its lower run: 302634-302640")
    return low, high


def run_numbers(text: str, field: str = "runs") -> list[int]:
    """Parse runs and ranges separated by commas, spaces or newlines; each run once, in the order given.

    Raises:
        InvalidInput: the text is empty, a part is neither a number nor a range, a range runs backwards, or there are
            more than 500 runs.

    >>> run_numbers("302634-302636, 305000")
    [302634, 302635, 302636, 305000]
    """
    numbers: dict[int, None] = {}
    parts = re.sub(r"\s*[-–]\s*", "-", text).replace(",", " ").replace(";", " ").split()
    if not parts:
        raise InvalidInput(field, text, "one or more run numbers: 302634-302640, 305000")
    for part in parts:
        low, high = run_range(part, field)
        if high - low + 1 + len(numbers) > MOST_RUNS_AT_ONCE:
            raise InvalidInput(field, text, f"at most {MOST_RUNS_AT_ONCE} runs at once")
        numbers.update(dict.fromkeys(range(low, high + 1)))
    return list(numbers)
