"""Formatting of numbers for pages and logbook texts."""

from __future__ import annotations

from collections.abc import Iterable


def signed(value: int) -> str:
    """A number with a proper minus sign.

    >>> signed(-2)
    '−2'
    """
    return str(value).replace("-", "−")


def numbers(those: Iterable[int]) -> str:
    """A list of numbers with consecutive ones merged into ranges.

    >>> numbers([1, 5, 6, 7, 8, 12]), numbers([3, 4]), numbers([])
    ('1, 5–8, 12', '3, 4', 'none')
    """
    runs: list[list[int]] = []
    for number in sorted(those):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words) or "none"


def plural(number: int, one: str, many: str | None = None) -> str:
    """
    >>> plural(1, "item"), plural(1200, "item")
    ('1 item', '1,200 items')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
