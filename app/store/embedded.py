"""An embedded `mongod`, used if MONGODB_URI is not set.

All programs with the same DATA_DIR share one server: the first to join starts it, the last to leave stops it. Its users
are tracked by a shared lock on a file, which the kernel releases even if a program is killed; the next program takes
over a server left behind in this way. The server listens on a Unix socket in DATA_DIR that only its owner can open, and
on no port.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure

from app.errors import StoreUnavailable

log = logging.getLogger(__name__)

START_SECONDS = 60  # usually 0.6 s; recovery after a power cut reads the journal first
STOP_SECONDS = 30  # mongod writes a checkpoint before it exits; mostly below 0.5 s
CACHE_GIGABYTES = 0.25  # the minimum that mongod accepts; by default it would take half of the memory
LONGEST_SOCKET_PATH = 100  # the kernel accepts 107 bytes
LOG_BYTES = 10_000_000
PROBE_BYTES = 100_000  # more than a file system stores within a directory entry
NO_ROOM = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
HINTS = {
    "libcurl.so.4": " Debian and Ubuntu have it in the package libcurl4.",
    "libssl.so.3": " It needs OpenSSL 3: Debian 12, Ubuntu 22.04 or later.",
    "libcrypto.so.3": " It needs OpenSSL 3: Debian 12, Ubuntu 22.04 or later.",
    "GLIBC": " It needs the C library of Debian 12, Ubuntu 22.04 or later.",
}
JOURNAL_MS = 10  # an acknowledged write waits for a third of this; the default of 100 would make a run twice as slow


class EmbeddedMongo:
    """One program's use of the embedded server of a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.expanduser().resolve() / "mongodb"
        self._users_file: int | None = None

    @property
    def uri(self) -> str:
        return f"mongodb://{quote_plus(str(self._socket))}/driftwatch"

    def join(self) -> str:
        """Use the server, starting it if necessary.

        Returns:
            The URI to connect to.

        Raises:
            StoreUnavailable: it cannot be started; says why.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.folder / "db").mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreUnavailable(f"DATA_DIR cannot be used: {error}.") from None
        with self._starting_or_stopping():
            self._enter()
            try:
                if not self._answers():
                    self._start()
            except BaseException:
                self._forget()
                raise
        return self.uri

    def leave(self) -> None:
        """Stop using the server; the last to leave shuts it down cleanly."""
        if self._users_file is None:
            return
        with self._starting_or_stopping():
            try:
                fcntl.flock(self._users_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.debug("embedded MongoDB stays up: other programs use it")
            else:
                self._stop()
            self._forget()

    @property
    def pid(self) -> int | None:
        """The server's process id, if it was started and has not been stopped."""
        try:
            return int((self.folder / "mongod.pid").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None

    @property
    def _socket(self) -> Path:
        path = self.folder / "mongod.sock"
        # bytes that are not text in this locale cannot be put into a URI
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and str(path).isprintable():
            return path
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"driftwatch-{os.getuid()}-{digest}" / "mongod.sock"

    @contextmanager
    def _starting_or_stopping(self) -> Iterator[None]:
        try:
            file = (self.folder / "start.lock").open("ab")
        except OSError as error:
            raise StoreUnavailable(f"DATA_DIR cannot be used: {error}.") from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _enter(self) -> None:
        if self._users_file is None:
            try:
                self._users_file = os.open(self.folder / "users.lock", os.O_CREAT | os.O_RDWR, 0o600)
            except OSError as error:
                raise StoreUnavailable(f"DATA_DIR cannot be used: {error}.") from None
            fcntl.flock(self._users_file, fcntl.LOCK_SH)

    def _forget(self) -> None:
        if self._users_file is not None:
            os.close(self._users_file)  # releases the lock
            self._users_file = None

    def _answers(self) -> bool:
        if not self._socket.exists():
            return False
        client: MongoClient
        with MongoClient(self.uri, serverSelectionTimeoutMS=500, directConnection=True) as client:
            try:
                client.admin.command("ping")
            except ConnectionFailure:
                return False
            return True

    def _start(self) -> None:
        log_file = self.folder / "mongod.log"
        if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
            log_file.unlink()
        logged = log_file.stat().st_size if log_file.exists() else 0
        self._make_private(self._socket.parent)
        command = [
            *(str(_binary()), "--dbpath", str(self.folder / "db"), "--pidfilepath", str(self.folder / "mongod.pid")),
            *("--bind_ip", str(self._socket), "--nounixsocket", "--logpath", str(log_file), "--logappend", "--quiet"),
            *("--wiredTigerCacheSizeGB", str(CACHE_GIGABYTES), "--wiredTigerCollectionBlockCompressor", "zstd"),
            *("--journalCommitInterval", str(JOURNAL_MS), "--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]
        # A session of its own: Ctrl-C in the terminal is ours to handle; we stop the server after saving our work.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None:
                raise StoreUnavailable(self._why_not(process, log_file, logged))
            if time.monotonic() > deadline:
                process.terminate()
                raise StoreUnavailable(f"The embedded MongoDB did not answer in {START_SECONDS} s; see {log_file}.")
            time.sleep(0.02)
        if process.stdout:
            process.stdout.close()
        for pid in [pid for pid, started in _ours.items() if started.poll() is not None]:
            del _ours[pid]
        _ours[process.pid] = process
        log.info("embedded MongoDB started (process %d, data in %s)", process.pid, self.folder)

    def _why_not(self, process: subprocess.Popen, log_file: Path, logged: int) -> str:
        """Why the server exited right after starting: the system's error, otherwise its own."""
        said = process.communicate()[0].decode(errors="replace").strip()
        written = log_file.read_bytes()[logged:].decode(errors="replace") if log_file.exists() else ""
        if process.returncode == -signal.SIGXFSZ:  # how the system ends a process that exceeds a limit (ulimit -f)
            said += os.strerror(errno.EFBIG)
        disk = next((words for words in NO_ROOM if words in said + written), "") or self._why_nothing_can_be_written()
        if disk:
            free = shutil.disk_usage(self.folder).free // 1_000_000
            return (
                f"The embedded MongoDB cannot write to DATA_DIR, {self.folder.parent}: {disk[0].lower()}{disk[1:]} "
                f"({free:,} MB are free). Correct that, or set DATA_DIR to another folder."
            )
        hint = next((hint for words, hint in HINTS.items() if words in said), "")
        why = _gravest(said + "\n" + written) or f"exit status {process.returncode}"
        return (
            f"The embedded MongoDB could not start: {why}.{hint} Its log is {log_file}; "
            "set MONGODB_URI to use a server of your own instead."
        )

    def _why_nothing_can_be_written(self) -> str:
        """The system's error when we write there; empty if we can. A full disk takes no log either."""
        try:
            with tempfile.TemporaryFile(dir=self.folder / "db") as file:
                file.write(b"x" * PROBE_BYTES)
                file.flush()
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _make_private(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise StoreUnavailable(f"{folder} belongs to another user; the database's socket cannot be created there.")

    def _stop(self) -> None:
        pid = self.pid
        if (
            pid is None or not self._answers()
        ):  # the pid of a server that does not answer may belong to another program by now
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while _is_alive(pid):
            if time.monotonic() > deadline:
                log.warning("embedded MongoDB (process %d) is still running after %d s", pid, STOP_SECONDS)
                return
            time.sleep(0.02)
        (self.folder / "mongod.pid").unlink(missing_ok=True)
        log.info("embedded MongoDB stopped")


_ours: dict[int, subprocess.Popen] = {}  # servers started by this process: must be waited for, or they stay as zombies


def _is_alive(pid: int) -> bool:
    if process := _ours.get(pid):
        if process.poll() is None:
            return True
        del _ours[pid]
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _binary() -> Path:
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec and spec.submodule_search_locations) or ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.exists():
            return binary
    kind = f"{sys.platform} on {platform.machine()}"
    raise StoreUnavailable(
        f"There is no embedded MongoDB for {kind} (only for 64-bit Linux on Intel or AMD); "
        "set MONGODB_URI to a server of your own."
    )


def _gravest(said: str) -> str:
    """The first line that gives a reason, from MongoDB's log (JSON) or the loader's message; never a stack frame."""
    plain = [line for line in said.splitlines() if line and not line.lstrip().startswith(("{", "Frame:", "BACKTRACE"))]
    for line in said.splitlines():
        with suppress(ValueError, AttributeError):
            entry = json.loads(line)
            if entry.get("s") in ("E", "F"):
                attributes = entry.get("attr", {})
                inner = attributes.get("message")
                cause = inner.get("error_str") if isinstance(inner, dict) else attributes.get("error")
                return f"{entry['msg']} ({cause})" if cause else entry["msg"]
    return plain[-1] if plain else ""
