"""What CSV needs for spreadsheets: the one rule by which a text becomes a harmless cell, and comes back unchanged."""

from __future__ import annotations

BOM = "\ufeff"  # a CSV file begins with it: else Excel takes UTF-8 for the code page of its country
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "−", "＝", "＋", "－", "＠")
PASSED_OVER = f" {BOM}"  # before a formula
MARK = "'"  # what spreadsheets themselves take for "this is text"


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `original` is the reverse.

    >>> harmless("=HYPERLINK(1)"), harmless("part 3"), harmless("'tis noisy")
    ("'=HYPERLINK(1)", 'part 3', "''tis noisy")
    """
    is_marked = text.startswith(MARK) or text.lstrip(PASSED_OVER).startswith(STARTS_A_FORMULA)
    return f"{MARK}{text}" if is_marked else text


def original(cell: str) -> str:
    """The text that a harmless cell stands for.

    >>> original("'=HYPERLINK(1)"), original("part 3"), original("''tis noisy")
    ('=HYPERLINK(1)', 'part 3', "'tis noisy")
    """
    return cell.removeprefix(MARK)
