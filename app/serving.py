"""The process that serves the pages: threads for requests (waitress), threads for jobs, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from logging.handlers import RotatingFileHandler

import waitress
from flask import Flask
from waitress import wasyncore

from app.accounts import LINK_HOURS
from app.cli.accounts import sign_in_url
from app.cli.command import system_user
from app.driftwatch import Driftwatch
from app.errors import SettingsError
from app.web.shared.security import is_loopback
from app.web.shared.sessions import secret_key

log = logging.getLogger(__name__)

REQUEST_THREADS = 8
LOG_BYTES, LOG_FILES = 5_000_000, 3


def serve_until_told(app: Flask) -> None:
    """Serve pages, run background jobs, and shut down cleanly when the process is told to end.

    Raises:
        SettingsError: the server cannot listen on the address, or the log cannot be written.
        DriftwatchError: the database or the demonstration server cannot be started.
    """
    driftwatch: Driftwatch = app.extensions["driftwatch"]
    settings = driftwatch.settings
    _log_to(driftwatch)
    channels: dict[int, wasyncore.dispatcher] = {}
    told = _Told(channels)
    try:
        server = waitress.create_server(
            app,
            map=channels,
            host=settings.host,
            port=settings.port,
            threads=REQUEST_THREADS,
            ident=None,
            channel_request_lookahead=1,  # otherwise a disconnected client is not noticed during its request
            clear_untrusted_proxy_headers=True,
        )
    except OSError as error:
        raise SettingsError(
            f"HOST and PORT are {settings.host} and {settings.port}, but that cannot be listened on: {error.strerror}."
        ) from None
    try:
        secret_key(settings)  # fail now rather than at the first request
        driftwatch.serve()
        print(f"Driftwatch is at http://{settings.host}:{server.effective_port}/ (Ctrl-C stops it)", flush=True)
        if is_loopback(settings.host):
            _print_sign_in_link(app, server.effective_port)
        server.run()  # returns after the KeyboardInterrupt of `_Told`
    finally:
        told.close()
        print("Driftwatch puts its work away …", flush=True)
        server.close()


class _Told(wasyncore.dispatcher):
    """Ends the server's loop after SIGINT or SIGTERM, and keeps a second signal from interrupting the shutdown.

    An exception raised by a handler is lost if it interrupts a destructor or a callback. So the handler does nothing,
    and the loop reads the byte that Python writes for each signal.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)  # a shell starts background processes with SIGINT ignored

    def __init__(self, channels: dict[int, wasyncore.dispatcher]) -> None:
        ours, self._written_to = socket.socketpair()
        self._written_to.setblocking(False)
        super().__init__(ours, channels)
        for each in self.SIGNALS:
            signal.signal(each, lambda number, frame: None)
        signal.set_wakeup_fd(self._written_to.fileno())

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        raise KeyboardInterrupt

    def close(self) -> None:
        for each in self.SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        super().close()
        self._written_to.close()


def _print_sign_in_link(app: Flask, port: int) -> None:
    """Sign in whoever started the server on their own machine: reading this terminal implies that user's rights."""
    driftwatch: Driftwatch = app.extensions["driftwatch"]
    made = driftwatch.accounts.local_link(system_user())
    if made:
        name, token = made
        with app.app_context():
            address = sign_in_url(driftwatch.settings.host, port, token)
        print(f"Sign in as {name}, once, within {LINK_HOURS} hours: {address}", flush=True)


class _LogFile(RotatingFileHandler):
    """A handler that reports once why it cannot write, such as a full disk, and not with a traceback per line."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.told:
            self.told = True
            print(f"The log {self.baseFilename} cannot be written: {error.strerror}.", file=sys.stderr, flush=True)


def _log_to(driftwatch: Driftwatch) -> None:
    settings = driftwatch.settings
    path = settings.data_dir / "driftwatch.log"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = _LogFile(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR is {settings.data_dir}, but the log cannot be kept there: {error.strerror}."
        ) from None
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    for console in root.handlers:
        console.setLevel(logging.WARNING)
    root.addHandler(file)
    root.setLevel(settings.log_level)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
