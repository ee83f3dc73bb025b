"""A program that does jobs on the database of a test, to be killed in the midst of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from waiting import wait_until

from app.driftwatch import Driftwatch
from config import ROOT

_PROGRAM = """
import json, sys, time
from pathlib import Path
from app.driftwatch import Driftwatch
from config import Settings
Driftwatch(Settings(mongodb_uri=sys.argv[1], data_dir=Path(sys.argv[2]), **json.loads(sys.argv[3]))).start()
time.sleep(600)
"""


def killed_while(driftwatch: Driftwatch, data_dir: Path, is_so: Callable[[], object], **settings: object) -> list[int]:
    """Have another program do the jobs, and kill it, alone, once something is so; what it had started then."""
    arguments = [sys.executable, "-c", _PROGRAM, driftwatch.settings.mongodb_uri, str(data_dir), json.dumps(settings)]
    program = subprocess.Popen(arguments, cwd=ROOT, start_new_session=True)
    try:
        wait_until(is_so, patience=240)
        started = _children(program.pid)
    finally:
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    return started


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(one) for one in found]
