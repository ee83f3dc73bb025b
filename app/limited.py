"""A process of its own, with limits, in which a script reads what somebody gave.

A few bytes can be made to become very many, or to make a library crash or never return. Where nothing in the library
rules that out, the bytes are read here: what goes wrong ends that process and not ours. Run as a script, this sets the
limits and then runs the script that it is given; neither imports anything of Driftwatch.
"""

from __future__ import annotations

import os
import resource
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Each thread takes addresses, and Arrow's own allocator a gigabyte of them at once.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
PIPE = subprocess.PIPE
LONGEST_WHY = 500  # characters


@dataclass(frozen=True)
class Limits:
    """What the process may take.

    Attributes:
        memory: bytes of addresses; a Python with numpy takes some 300 MB.
        seconds: of the processor's time, which a busy machine does not shorten.
    """

    memory: int
    seconds: int


def command(script: Path, arguments: tuple[object, ...], limits: Limits) -> list[str]:
    """What runs a script of ours within limits."""
    given = (limits.memory, limits.seconds, script, *arguments)
    return [sys.executable, "-P", __file__, *map(str, given)]


def environment() -> dict[str, str]:
    """The variables of such a process."""
    return {**os.environ, **ENVIRONMENT}


REFUSED = 1  # what `sys.exit(sentence)` ends with
OUT_OF_MEMORY = 3


@contextmanager
def running(script: Path, *arguments: object, limits: Limits, stdin: IO[bytes] | int) -> Iterator[Running]:
    """Run a script; it is ended when the block is left."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command(script, arguments, limits), stdin=stdin, stdout=subprocess.PIPE, stderr=errors, env=environment()
        )
        try:
            yield Running(process, errors, limits)
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # what it was still to be told does not matter any more
                    if pipe is not None:
                        pipe.close()
            process.wait()


@dataclass(frozen=True)
class Running:
    """A script that runs."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    limits: Limits

    def why(self) -> str | None:
        """Wait for its end: why it failed, in a few words; None where it did not."""
        status = self.process.wait()
        if not status:
            return None
        self.errors.seek(0)
        said = self.errors.read(1 << 16).decode(errors="replace").strip().splitlines()
        if status == REFUSED and said:
            return said[-1][:LONGEST_WHY]
        if status == OUT_OF_MEMORY or status < 0:
            return f"to read it takes more than {self.limits.memory:,} bytes of memory, or {self.limits.seconds:,} s"
        return f"the library cannot read it (exit {status})"


def _limit(memory: int, seconds: int) -> None:
    limits = ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0))
    for limit, value in limits:
        with suppress(ValueError, OSError):  # the machine's own limit is lower, or it has none of this kind
            resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    _limit(int(sys.argv[1]), int(sys.argv[2]))
    sys.argv = sys.argv[3:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # nothing that would need memory again
