"""Waiting for what happens in the background."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 180  # seconds until a test gives up; never a measure of speed


def wait_until(is_so: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for the background.

    Raises:
        AssertionError: it did not happen.
    """
    deadline = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {patience} s")
        time.sleep(0.02)
