"""What is printed where the terminal, or the file that stands for it, cannot take every character, such as in Latin-1.

Without this a single `…` would end the program with a UnicodeEncodeError, in the midst of putting its work away.
"""

from __future__ import annotations

import codecs
import io
import sys

_PLAIN = {"…": "...", "–": "-", "—": "-", "−": "-", "─": "-", "×": "x", "’": "'"}  # nothing that would break JSON


def let_output_take_everything() -> None:
    """From now on a character that cannot be printed is printed as one like it, or as JSON would escape it."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a test or a WSGI server puts there
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """A handler of errors, as `codecs` takes it.

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
