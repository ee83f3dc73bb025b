"""Passwords: kept as argon2 hashes only, and no quicker to refuse where there is no such account."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import InvalidInput

SHORTEST, LONGEST = 10, 1_000  # characters
AT_ONCE = 2  # each takes 64 MiB for some 50 ms


class Passwords:
    """Makes and checks hashes, by the parameters that argon2-cffi recommends."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """The hash to keep.

        Raises:
            InvalidInput: the password is too short or too long.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            given = f"{len(password)} characters"  # never the password itself
            raise InvalidInput("password", given, f"{SHORTEST} to {LONGEST:,} characters long")
        with self._turns:
            return self._hasher.hash(_normal(password))

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether a password is the one of a hash; takes as long where there is none."""
        with self._turns:
            try:
                return self._hasher.verify(kept or self._nobodys, _normal(password[:LONGEST])) and kept is not None
            except (VerificationError, InvalidHashError):
                return False

    def is_dated(self, kept: str) -> bool:
        """Whether a hash was made by other parameters than are used today."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe())


def _normal(password: str) -> str:
    """One form for what looks the same, however a keyboard composes it (RFC 8265)."""
    return unicodedata.normalize("NFC", password)
