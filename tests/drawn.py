"""How many cases a test draws at random: a few in `make test`, many in `make soak`, which sets SOAK."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings

SOAK = bool(os.environ.get("SOAK"))


def cases(few: int, many: int, **more: object) -> Callable[[Callable], Callable]:
    """Decorates a test with `@given`: how many cases it draws; `more` are further settings of hypothesis."""

    def decorate(test: Callable) -> Callable:
        return pytest.mark.drawn(settings(max_examples=many if SOAK else few, deadline=None, **more)(test))

    return decorate
