"""Making a candidate in a process of its own, which yields to all others: pages stay quick, and to stop it is easy.

`made_apart` is for whoever wants one; `python -m app.ml.apart` is the process. It gets its order on its standard input,
tells how far it is on its standard output, and ends when its standard input does: also when who started it is killed.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from app.errors import DriftwatchError
from app.ml.candidate import Order, make
from app.ml.forgetting import Forgetting
from app.ml.training import Epoch
from config import ROOT

LOOK_SECONDS = 0.2  # between two looks at whether it is to stop
NICE = 10  # of Unix' 19: what serves pages has the processor first


def made_apart(
    order: Order,
    report: Callable[[str], None],
    after_epoch: Callable[[Epoch], None],
    is_over: Callable[[], bool],
) -> Forgetting | None:
    """Do what `candidate.make` does, in a process of its own.

    Args:
        is_over: asked all the time; once it is so, the process is ended.

    Returns:
        what the candidate forgot; None where it was to stop. What was written until then is for the caller to remove.

    Raises:
        DriftwatchError: the process failed, or was ended by somebody else.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "app.ml.apart"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for us
    )
    watcher = threading.Thread(target=_end_when, args=(process, is_over), daemon=True)
    watcher.start()
    found, why = None, ""
    try:
        with suppress(BrokenPipeError):  # it ended before it had read its order
            pickle.dump(order, process.stdin)
            process.stdin.flush()
        for line in process.stdout:
            told: dict[str, Any] = json.loads(line)
            if "epoch" in told:
                after_epoch(Epoch(**told["epoch"]))
            elif "found" in told:
                found = Forgetting.model_validate(told["found"])
            elif "why" in told:
                why = told["why"]
            else:
                report(told["words"])
    finally:
        process.kill()
        process.wait()
        watcher.join()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
    if found is None and not is_over():
        raise DriftwatchError(why or f"The process that trains ended by itself (code {process.returncode}).")
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
    order = pickle.load(sys.stdin.buffer)  # from who started us, and nobody else
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        found = make(order, lambda line: _tell(words=line), lambda epoch: _tell(epoch=asdict(epoch)))
    except DriftwatchError as error:
        _tell(why=str(error))
    except Exception as error:
        _tell(why=f"Unexpected error: {type(error).__name__}: {error}")
        raise
    else:
        _tell(found=found.model_dump(mode="json"))


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    _main()
