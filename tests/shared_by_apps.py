"""What the applications of all tests share: rules and templates are compiled once, not for each of them anew.

Without it a test on an application of its own spends most of its time on that. Nothing here hangs on what a test does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule


class SharedRule(Rule):
    """A rule like any other, but for when the functions that build its URLs are compiled."""

    _compiled: ClassVar[dict[tuple, Callable[..., tuple[str, str]]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        what = (self.rule, repr(self.defaults), tuple(self._trace), append_unknown)
        if what not in self._compiled:
            self._compiled[what] = super()._compile_builder(append_unknown)
        return self._compiled[what]


class SharedTemplates(BytecodeCache):
    """Compiled templates, in memory; jinja2 compiles one again when its source is another."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()
