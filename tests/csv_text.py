"""A CSV file as a spreadsheet takes it."""

from __future__ import annotations

from codecs import BOM_UTF8


def csv_text(answer) -> str:
    """The text of an answer that is CSV; it must begin with a byte order mark, without which Excel garbles it."""
    assert answer.data.startswith(BOM_UTF8)
    return answer.data.decode("utf-8-sig")
