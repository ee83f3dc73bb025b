"""CSV for spreadsheets: the one rule that turns text into a harmless cell and back."""

from __future__ import annotations

BOM = "\ufeff"  # starts a CSV file; without it Excel does not read UTF-8
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "−", "＝", "＋", "－", "＠")
PASSED_OVER = f" {BOM}"  # starts a formula
MARK = "'"  # marks a cell as text in spreadsheets


def harmless(text: str) -> str:
    """Convert text to a cell that no spreadsheet treats as a formula; `original` is the inverse.

    >>> harmless("=HYPERLINK(1)"), harmless("part 3"), harmless("'tis noisy")
    ("'=HYPERLINK(1)", 'part 3', "''tis noisy")
    """
    is_marked = text.startswith(MARK) or text.lstrip(PASSED_OVER).startswith(STARTS_A_FORMULA)
    return f"{MARK}{text}" if is_marked else text


def original(cell: str) -> str:
    """Return the text of a harmless cell.

    >>> original("'=HYPERLINK(1)"), original("part 3"), original("''tis noisy")
    ('=HYPERLINK(1)', 'part 3', "'tis noisy")
    """
    return cell.removeprefix(MARK)
