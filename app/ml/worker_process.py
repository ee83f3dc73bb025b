"""Minutes of work in a separate process at low priority, so that pages stay fast and it is easy to stop.

`done_apart` starts the process, which is `python -m app.ml.worker_process`. It reads its task from standard input,
reports progress on standard output, and exits when its standard input closes, even if the parent was killed. Not for
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

LOOK_SECONDS = 0.2  # between two checks whether to stop
NICE = 10  # out of 19 on Unix: processes that serve pages come first

Told = Mapping[str, Any]  # progress reported by a task


class Task(Protocol):
    """Work for another process: it can be pickled, and its progress and result are JSON."""

    def __call__(self, tell: Callable[[Told], None]) -> Any: ...


def done_apart(task: Task, told: Callable[[Told], None], is_over: Callable[[], bool]) -> Any | None:
    """Do a task in a separate process.

    Args:
        told: called with the progress of the task.
        is_over: polled; once it is true, the process is ended.

    Returns:
        the task's result; None if it was stopped. The caller removes what it wrote until then.

    Raises:
        DriftwatchError: the process failed, or was killed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "app.ml.worker_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is ours to handle
    )
    watcher = threading.Thread(target=_end_when, args=(process, is_over), daemon=True)
    watcher.start()
    found, why = None, ""
    try:
        with suppress(BrokenPipeError):  # it exited before reading its task
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
        raise DriftwatchError(why or f"Its process exited unexpectedly (code {process.returncode}).")
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
    task: Task = pickle.load(sys.stdin.buffer)  # only from our parent
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
