"""The demonstration DQM server in a separate process, used if DQM_URL is not set."""

from __future__ import annotations

import subprocess
import sys
import threading

from app.errors import DriftwatchError
from config import ROOT

STOP_SECONDS = 5


class DemoProcess:
    """A demonstration server that never outlives this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._url = ""
        self._lock = threading.Lock()

    def url(self) -> str:
        """Its base URL; the server starts at the first call.

        Raises:
            DriftwatchError: it did not start.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._url

    def stop(self) -> None:
        with self._lock:
            if self._process is None:
                return
            if self._process.stdin:
                self._process.stdin.close()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
            self._process = None

    def _start(self) -> None:
        # It ends when its standard input closes, even if we are killed.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "demo-dqm", "--port", "0", "--until-stdin-ends"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle
        )
        assert self._process.stdout  # a pipe
        self._url = self._process.stdout.readline().strip()  # the command prints its URL first
        if not self._url.startswith("http"):
            raise DriftwatchError(f"The demonstration DQM server did not start: {self._url or 'it printed nothing'}.")
