"""Printing to terminals and files that cannot encode every character, such as Latin-1.

Without this, a single `…` would end the program with a UnicodeEncodeError while it shuts down.
"""

from __future__ import annotations

import codecs
import io
import sys

_PLAIN = {"…": "...", "–": "-", "—": "-", "−": "-", "─": "-", "×": "x", "’": "'"}  # no characters that would break JSON


def let_output_take_everything() -> None:
    """From now on, replace characters that cannot be encoded by a similar one or a JSON escape."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not a replacement by a test or a WSGI server
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler for `codecs`.

    >>> codecs.register_error("plain", _plain)
    >>> print("10 %–12 % … é \\U0001f600".encode("ascii", errors="plain").decode())
    10 %-12 % ... \\u00e9 \\ud83d\\ude00
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    given = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character) or _escaped(character) for character in given), error.end


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
