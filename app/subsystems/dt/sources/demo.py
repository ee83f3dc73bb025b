"""A demonstration DQM server: simulated runs in the real server's format, and each of its faults on demand.

It is for tests, benchmarks, and trying the program without a certificate. `demo_reply` writes its replies,
`demo_faults` its errors, and `app.subsystems.dt.simulate` its chambers.
"""

from __future__ import annotations

import logging
import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from app.errors import SettingsError
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.simulate import simulate_chamber
from app.subsystems.dt.sources import demo_reply
from app.subsystems.dt.sources.demo_faults import SIGN_IN_PAGE, SIGN_IN_PATH, Fault, FaultKind, Reply, Rows, spoilt
from app.subsystems.dt.sources.dqm import parse_histogram_path

__all__ = ["DemoOptions", "DemoServer", "Fault", "FaultKind"]

BASE = "/dqm/online"

_STOP_SECONDS = 0.8  # longest wait for its threads when stopping
_POLL_SECONDS = 0.05  # between checks whether a stalled client disconnected, or the server should stop
_LARGEST_RUN_LIST = 10_000  # runs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoOptions:
    """The behaviour of the demonstration server.

    Attributes:
        latency: seconds between a request and its reply.
        jitter: random delay of up to this many further seconds.
        faults: what goes wrong; the first that affects a request counts.
        retry_after: seconds that a busy reply asks to wait.
        drip_seconds: between two bytes of a dripping reply.
        first_run, last_run: the runs that exist; all others are absent.
        listed: the runs in the list of runs, or all given in `runs`.
        runs: content to serve instead of simulated runs, such as real chambers: rows (usually 12 lists) by chamber by
            run. Anything else is absent.
    """

    latency: float = 0.0
    jitter: float = 0.0
    faults: Sequence[Fault] = ()
    retry_after: float = 1.0
    drip_seconds: float = 0.2
    first_run: int = 300_000
    last_run: int = 399_999
    listed: Sequence[int] = (399_997, 399_998, 399_999)
    runs: Mapping[int, Mapping[Chamber, Rows]] | None = field(default=None, repr=False)


class DemoServer:
    """The server, in threads of this process. It listens from construction on and must be stopped.

    Args:
        options: its behaviour.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.

    Attributes:
        url: the base URL, for DQM_URL.
        requests: number of requests for histograms.
        most_at_once: the largest number of them at the same time.

    Raises:
        SettingsError: it cannot listen there.
    """

    def __init__(self, options: DemoOptions = DemoOptions(), host: str = "127.0.0.1", port: int = 0) -> None:
        self.options = options
        self.requests = self.most_at_once = 0
        self.stopping = threading.Event()
        self._under_way = 0
        self._serving = False
        self._failed: Counter[tuple[int, Chamber]] = Counter()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        try:
            self._http = _Http((host, port), self)
        except OSError as error:
            message = f"The demonstration server cannot listen on {host}, port {port}: {error.strerror or error}."
            raise SettingsError(message) from None
        self.url = f"http://{host}:{self._http.server_port}{BASE}"

    def start(self) -> DemoServer:
        """Serve in the background."""
        self._thread = threading.Thread(target=self.serve_forever, name="demo-dqm", daemon=True)
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve until `stop` is called from another thread."""
        with self._lock:
            if self.stopping.is_set():
                return
            self._serving = True
        self._http.serve_forever(_POLL_SECONDS)

    def stop(self) -> None:
        """Close every connection, including stalled ones, and stop listening."""
        with self._lock:
            self.stopping.set()
        if self._serving:
            self._http.shutdown()
        if self._thread is not None:
            self._thread.join()
        self._http.close_all()

    def __enter__(self) -> DemoServer:
        return self.start()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count one request for a histogram."""
        with self._lock:
            self.requests += 1
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def reply_for(self, run: int, chamber: Chamber) -> Reply | FaultKind:
        """The reply to a request for a histogram; STALL or DROP for none."""
        if not self._has(run, chamber):
            return _ABSENT
        with self._lock:
            failed = self._failed[run, chamber]
            fault = next((each for each in self.options.faults if each.strikes(run, chamber, failed)), None)
            if fault is None:
                return self._good(run, chamber)
            self._failed[run, chamber] += 1
        return spoilt(fault.kind, chamber, self._rows(run, chamber), self.options.retry_after) or fault.kind

    def run_list(self, run_pattern: str, dataset_pattern: str) -> Reply:
        """The list of runs that match the regular expressions for run and dataset; an invalid one answers 500."""
        listed = self.options.listed if self.options.runs is None else sorted(self.options.runs)
        try:
            if not re.search(dataset_pattern, demo_reply.DATASET):
                listed = ()
            found = [run for run in listed if re.search(run_pattern, str(run))][:_LARGEST_RUN_LIST]
        except re.error as error:
            return Reply(f"<html><body>{error}</body></html>".encode(), 500)
        return Reply(demo_reply.samples_json(found).encode())

    def _has(self, run: int, chamber: Chamber) -> bool:
        if self.options.runs is not None:
            return chamber in self.options.runs.get(run, {})
        return self.options.first_run <= run <= self.options.last_run

    def _good(self, run: int, chamber: Chamber) -> Reply:
        if self.options.runs is None:
            return _simulated_reply(run, chamber)
        return Reply(demo_reply.histogram_json(chamber, self._rows(run, chamber)).encode())

    def _rows(self, run: int, chamber: Chamber) -> Rows:
        if self.options.runs is None:
            return simulate_chamber(run, chamber).occupancy.counts.tolist()
        return [list(row) for row in self.options.runs[run][chamber]]


_ABSENT = Reply(demo_reply.ABSENT.encode())


@lru_cache(maxsize=2_000)  # eight runs, about 10 kB per reply
def _simulated_reply(run: int, chamber: Chamber) -> Reply:
    rows = simulate_chamber(run, chamber).occupancy.counts.tolist()
    return Reply(demo_reply.histogram_json(chamber, rows, simulated=True).encode())


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive over many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http
    _headers_buffer: list[bytes]  # the library's

    def do_GET(self) -> None:
        arrived = time.monotonic()
        demo, parts = self.server.demo, urlsplit(self.path)
        path = unquote(parts.path)
        if path.startswith(f"{BASE}/jsonfairy/"):
            with demo.under_way():
                asked = parse_histogram_path(path.removeprefix(f"{BASE}/jsonfairy/"))
                reply = _ABSENT if asked is None else demo.reply_for(*asked)
                delay = demo.options.latency + demo.options.jitter * random.random()
                self._send(reply, arrived + delay)
        elif path == f"{BASE}/data/json/samples":
            query = parse_qs(parts.query)
            reply = demo.run_list(query.get("run", [""])[0], query.get("match", [""])[0])
            self._send(reply, arrived + demo.options.latency)
        elif path == SIGN_IN_PATH:
            self._send(Reply(SIGN_IN_PAGE.encode()), arrived)
        else:
            self._send(Reply(b"<html><body>Not Found</body></html>", 404), arrived)

    def _send(self, reply: Reply | FaultKind, when: float) -> None:
        stopping = self.server.demo.stopping
        if stopping.wait(max(0, when - time.monotonic())) or reply is FaultKind.DROP:
            self.close_connection = True
            return
        if reply is FaultKind.STALL:
            self.close_connection = True
            while not stopping.wait(_POLL_SECONDS) and not self._client_left():
                pass
            return
        assert isinstance(reply, Reply)
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html")
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.announced:
            self.send_header("Content-Length", str(len(reply.body)))
        if not reply.announced or reply.cut_at is not None:
            self.close_connection = True  # how the client sees the end
        if not reply.announced:
            self.send_header("Connection", "close")
        head = b"".join([*self._headers_buffer, b"\r\n"])
        self._headers_buffer.clear()
        if reply.drip:
            self.wfile.write(head)
            for i in range(len(reply.body)):
                self.wfile.write(reply.body[i : i + 1])
                if stopping.wait(self.server.demo.options.drip_seconds):
                    self.close_connection = True
                    return
        else:
            self.wfile.write(head + reply.body[: reply.cut_at])  # one packet, where it fits

    def _client_left(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def version_string(self) -> str:
        return "Driftwatch demonstration"

    def log_message(self, format: str, *args: object) -> None:
        log.debug("%s %s", self.address_string(), format % args)


class _Http(ThreadingHTTPServer):
    """Keeps track of its connections, to close them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], demo: DemoServer) -> None:
        self.demo = demo
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)  # the library's would look up the host's full name, which can take long
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def close_all(self) -> None:
        self.server_close()
        with self._changed:
            for connection in self._open:
                with suppress(OSError):  # closed meanwhile
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _STOP_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), ConnectionError):
            log.debug("%s went away", client_address)
        else:
            log.exception("The demonstration server failed to answer %s.", client_address)
