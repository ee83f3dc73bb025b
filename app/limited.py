"""A separate process with limits, in which a script reads untrusted files.

A few bytes can expand to very many, crash a library or keep it busy forever. If the library cannot rule that out, the
file is read here, so that a failure ends that process and not ours. Run as a script, this module sets the limits and
then runs the given script; neither imports anything of Driftwatch.
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

# Each thread reserves address space, and Arrow's own allocator a gigabyte at once.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
PIPE = subprocess.PIPE
LONGEST_WHY = 500  # characters


@dataclass(frozen=True)
class Limits:
    """Resource limits of the process.

    Attributes:
        memory: bytes of address space; Python with numpy takes about 300 MB.
        seconds: CPU time, which a busy machine does not shorten.
    """

    memory: int
    seconds: int


def command(script: Path, arguments: tuple[object, ...], limits: Limits) -> list[str]:
    """The command that runs one of our scripts within limits."""
    given = (limits.memory, limits.seconds, script, *arguments)
    return [sys.executable, "-P", __file__, *map(str, given)]


def environment() -> dict[str, str]:
    """The environment variables of such a process."""
    return {**os.environ, **ENVIRONMENT}


REFUSED = 1  # exit status of `sys.exit(sentence)`
OUT_OF_MEMORY = 3


@contextmanager
def running(script: Path, *arguments: object, limits: Limits, stdin: IO[bytes] | int) -> Iterator[Running]:
    """Run a script; it is stopped when the block is left."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command(script, arguments, limits), stdin=stdin, stdout=subprocess.PIPE, stderr=errors, env=environment()
        )
        try:
            yield Running(process, errors, limits)
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # the remaining input no longer matters
                    if pipe is not None:
                        pipe.close()
            process.wait()


@dataclass(frozen=True)
class Running:
    """A running script."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    limits: Limits

    def why(self) -> str | None:
        """Wait for the process to end; return why it failed, in a few words, or None if it succeeded."""
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
        with suppress(ValueError, OSError):  # the machine has a lower limit, or none of this kind
            resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    _limit(int(sys.argv[1]), int(sys.argv[2]))
    sys.argv = sys.argv[3:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # no cleanup that would need memory again
