"""Minutes of work in a process of its own, which yields to all others: pages stay quick, and to stop it is easy.

`done_apart` starts the process, which is `python -m app.ml.worker_process`. It reads its task from standard input,
reports progress on standard output, and ends when its standard input does, also when the parent was killed. Not for
the tasks: a subsystem's `learning` has them.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from app.errors import DriftwatchError
from config import ROOT

LOOK_SECONDS = 0.2  # between two looks at whether it is to stop
NICE = 10  # of Unix' 19: what serves pages has the processor first

Told = Mapping[str, Any]  # what a task tells of how far it is


class Task(Protocol):
    """What can be done apart: it can be pickled, and what it tells and gives is JSON."""

    def __call__(self, tell: Callable[[Told], None]) -> Any: ...


def done_apart(task: Task, told: Callable[[Told], None], is_over: Callable[[], bool]) -> Any | None:
    """Do a task in a process of its own.

    Args:
        told: called with what the task tells.
        is_over: asked all the time; once it is so, the process is ended.

    Returns:
        what the task gave; None where it was to stop. What it wrote until then is for the caller to remove.

    Raises:
        DriftwatchError: the process failed, or was ended by somebody else.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "app.ml.worker_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for us
    )
    watcher = threading.Thread(target=_end_when, args=(process, is_over), daemon=True)
    watcher.start()
    found, why = None, ""
    try:
        with suppress(BrokenPipeError):  # it ended before it had read its task
            pickle.dump(task, process.stdin)
            process.stdin.flush()
        for line in process.stdout:
            message = json.loads(line)
            found, why = message.get("found", found), message.get("why", why)
            if "told" in message:
                told(message["told"])
    finally:
        process.kill()
        process.wait()
        watcher.join()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
    if found is None and not is_over():
        raise DriftwatchError(why or f"The process that did it ended by itself (code {process.returncode}).")
    return None if is_over() else found


def _end_when(process: subprocess.Popen, is_over: Callable[[], bool]) -> None:
    while True:
        try:
            process.wait(LOOK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            if is_over():
                process.kill()


def _main() -> None:
    os.nice(NICE)
    task: Task = pickle.load(sys.stdin.buffer)  # from who started us, and nobody else
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        found = task(lambda told: _say(told=told))
    except DriftwatchError as error:
        _say(why=str(error))
    except Exception as error:
        _say(why=f"Unexpected error: {type(error).__name__}: {error}")
        raise
    else:
        _say(found=found)


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    _main()
