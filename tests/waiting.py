"""Waiting for what happens in the background."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SHORTEST, LONGEST = 0.01, 0.2  # seconds between two looks, which take time from what is waited for
PATIENCE = 180  # seconds until a test gives up; never a measure of speed


def wait_until(is_so: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for the background.

    Raises:
        AssertionError: it did not happen.
    """
    deadline, pause = time.monotonic() + patience, SHORTEST
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {patience} s")
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST)


def steady(value: Callable[[], object], looks: int = 10) -> Any:
    """What a value is once it has not changed for so many looks, a tenth of a second apart."""
    seen = [value()]

    def has_settled():
        time.sleep(0.1)
        seen.append(value())
        return len(seen) > looks and len(set(seen[-looks:])) == 1

    wait_until(has_settled)
    return seen[-1]
