"""Passwords: stored only as argon2 hashes. Checking takes the same time if there is no such account."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import InvalidInput

SHORTEST, LONGEST = 10, 1_000  # characters
AT_ONCE = 2  # each takes 64 MiB and about 50 ms


class Passwords:
    """Creates and checks hashes with the parameters recommended by argon2-cffi."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """Return the hash to store.

        Raises:
            InvalidInput: the password is too short or too long.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            given = f"{len(password)} characters"  # never the password itself
            raise InvalidInput("password", given, f"{SHORTEST} to {LONGEST:,} characters long")
        with self._turns:
            return self._hasher.hash(_normal(password))

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether a password matches a hash; takes the same time if there is no hash."""
        with self._turns:
            try:
                return self._hasher.verify(kept or self._nobodys, _normal(password[:LONGEST])) and kept is not None
            except (VerificationError, InvalidHashError):
                return False

    def is_dated(self, kept: str) -> bool:
        """Whether a hash was created with outdated parameters."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe())


def _normal(password: str) -> str:
    """Normalize what looks the same however the keyboard composes it (RFC 8265)."""
    return unicodedata.normalize("NFC", password)
