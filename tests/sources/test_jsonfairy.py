import contextlib
import gc
import gzip
import json
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hypothesis
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Reason, SettingsError, SourceDown, UnusableHistogram
from app.sources.certificates import Certificates
from app.sources.http import Failed, Line, proxies_for, retry_after
from app.sources.parallel import LATER_FAILURES, pause
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.sources import dqm
from app.subsystems.dt.sources import jsonfairy as jsonfairy_module
from app.subsystems.dt.sources.demo_reply import histogram_json
from app.subsystems.dt.sources.jsonfairy import Jsonfairy, decoded, histogram
from config import Settings

pytestmark = pytest.mark.slow

RUN = 302635
ONE = Chamber(wheel=-1, station=1, sector=2)
SOME = all_chambers()[:40]
QUICK = {"dqm_backoff": 0.01, "dqm_retries": 2, "dqm_read_timeout": 5, "dqm_connect_timeout": 2}


# ---- a server that does exactly what a test says


class Request(BaseHTTPRequestHandler):
    """One request, with short words for the answers that a test wants to give."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        found = dqm.parse_histogram_path(self.path.partition("/jsonfairy/")[2])
        self.chamber = found[1] if found else None
        with server.lock:
            server.paths.append(self.path)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            server.connections.add(self.client_address)
            self.nth = server.paths.count(self.path)
        self.counted = True
        try:
            server.respond(self)
        finally:
            self._leave()

    def _leave(self) -> None:
        """No longer under way: counted before the answer goes out, as the client may be quicker than this thread."""
        with self.server.lock:
            self.server.at_once -= self.counted
            self.counted = False

    def answer(self, body: str | bytes, status: int = 200, **headers: str) -> None:
        self._leave()
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        headers = {"Content-Type": "text/html", "Content-Length": str(len(body))} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def good(self) -> None:
        self.answer(reply(self.chamber))

    def stall(self) -> None:
        self.server.released.wait(20)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for the threads, and their sockets
    request_queue_size = 64

    def __init__(self, respond, context: ssl.SSLContext | None = None) -> None:
        self.respond, self.context = respond, context
        self.lock, self.released = threading.Lock(), threading.Event()
        self.paths: list[str] = []
        self.connections: set[tuple[str, int]] = set()
        self.gone: list[tuple[str, int]] = []
        self.at_once = self.most_at_once = self.open = 0
        super().__init__(("127.0.0.1", 0), Request)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server_port}/dqm/online"

    def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        request.settimeout(20)
        with self.lock:
            self.open += 1
        try:
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            self.gone.append(client_address)  # the client went away, or was not let in
        finally:
            request.close()
            with self.lock:
                self.open -= 1


@pytest.fixture
def serve():
    """Start servers: `serve(respond)` calls `respond` with each Request, and returns the Server."""
    running: list[tuple[Server, threading.Thread]] = []

    def start(respond, context: ssl.SSLContext | None = None) -> Server:
        server = Server(respond, context)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def counts(chamber: Chamber) -> list[list[int]]:
    """Counts that no other layer or cell of the chamber has, so that nothing can be swapped unseen."""
    return [
        [1000 * row + column if exists else -1 for column, exists in enumerate(cells)]
        for row, cells in enumerate(chamber.read_out.tolist(), start=1)
    ]


def reply(chamber: Chamber, content: object = None) -> str:
    content = counts(chamber) if content is None else content
    return json.dumps({"hist": {"type": "TH2", "bins": {"integral": [[0, -12, 0]], "content": content}}})


def jsonfairy(server: Server | str, **changes: object) -> Jsonfairy:
    return Jsonfairy(Settings(**QUICK | changes), server if isinstance(server, str) else server.url)


def fetched(source: Jsonfairy, chambers=SOME, stop: threading.Event | None = None) -> dict:
    """What a source yields, each chamber once; how it ended is the caller's business."""
    found = {}
    for chamber, outcome in source.fetch(RUN, chambers, stop or threading.Event()):
        assert chamber not in found, f"{chamber} came twice"
        found[chamber] = outcome
    return found


def missing(found: dict) -> dict[Chamber, Reason]:
    return {c: outcome.reason for c, outcome in found.items() if isinstance(outcome, UnusableHistogram)}


def only_one(respond_to_one):
    """A server that is well, but for one chamber."""
    return lambda request: respond_to_one(request) if request.chamber == SOME[7] else request.good()


def one_reason(serve, respond, **changes: object) -> tuple[UnusableHistogram, int]:
    """What becomes of a chamber that gets these answers while all others are well, and how often it was asked for."""
    server = serve(only_one(respond))
    found = fetched(jsonfairy(server, **changes))
    assert set(missing(found)) <= {SOME[7]}
    assert len(found) == len(SOME)
    return found[SOME[7]], sum(
        SOME[7] == dqm.parse_histogram_path(p.partition("/jsonfairy/")[2])[1] for p in server.paths
    )


def dqm_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("dqm")]


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    yield
    deadline = time.monotonic() + 10
    while dqm_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert dqm_threads() == []


# ---- what is right


def test_every_chamber_of_a_run_arrives_once_with_each_count_in_its_layer_and_cell(serve):
    found = fetched(jsonfairy(serve(Request.good)), all_chambers())
    assert set(found) == set(all_chambers())
    assert all(occupancy.counts.tolist() == counts(chamber) for chamber, occupancy in found.items())


def test_the_real_servers_reply_is_read_as_it_stands(serve, shared_data):
    real = (shared_data / "dt" / "jsonfairy_reply_317111_W-1_St1_Sec2.json").read_bytes()
    found = fetched(jsonfairy(serve(lambda request: request.answer(real))), [ONE])
    assert found[ONE].counts.tolist() == json.loads(real)["hist"]["bins"]["content"]


def test_the_path_that_is_asked_for_is_the_servers_own(serve):
    server = serve(Request.good)
    fetched(jsonfairy(server.url + "/"), [ONE])
    folder = "archive/302635/Global/Online/ALL/DT/01-Digi/Wheel-1/Sector2/Station1"
    assert server.paths == [f"/dqm/online/jsonfairy/{folder}/OccupancyAllHits_perCh_W-1_St1_Sec2"]


def test_a_chamber_that_is_asked_for_twice_is_fetched_once(serve):
    server = serve(Request.good)
    assert list(fetched(jsonfairy(server), [ONE, ONE])) == [ONE]
    assert len(server.paths) == 1


def test_nothing_asked_for_is_nothing_fetched_even_from_a_server_that_is_down():
    assert fetched(jsonfairy("http://127.0.0.1:9"), []) == {}


def test_no_server_named_is_a_mistake_in_the_settings():
    with pytest.raises(SettingsError, match="DQM_URL is not set"):
        Jsonfairy(Settings())


@pytest.mark.parametrize("parallel", [1, 5, 16])
def test_never_more_requests_at_once_than_allowed_and_one_connection_a_thread(serve, parallel):
    together = threading.Barrier(parallel)

    def respond(request: Request) -> None:
        if request.chamber in SOME[:parallel]:
            together.wait(20)  # breaks, and with it the answer, unless so many are under way at once
        request.good()

    server = serve(respond)
    assert missing(fetched(jsonfairy(server, dqm_parallel=parallel, dqm_read_timeout=30))) == {}
    assert server.most_at_once == parallel
    assert len(server.connections) == parallel


def test_two_fetches_at_once_share_the_allowance_of_their_server(serve):
    def slowly(request: Request) -> None:
        time.sleep(0.01)
        request.good()

    server = serve(slowly)
    source = jsonfairy(server, dqm_parallel=4)
    found: list[dict] = []
    threads = [threading.Thread(target=lambda: found.append(fetched(source))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(one) for one in found] == [len(SOME), len(SOME)]
    assert server.most_at_once == 4


def test_the_record_shows_no_password_of_the_url(serve, caplog):
    caplog.set_level(logging.DEBUG, logger="app")
    server = serve(lambda request: request.answer("", 500))
    source = jsonfairy(server.url.replace("//", "//me:secret@"))
    with pytest.raises(SourceDown) as down:
        fetched(source)
    assert source.name == server.url
    assert "try 2 follows" in caplog.text
    assert "secret" not in caplog.text + str(down.value)


def test_a_fetch_leaves_one_line_in_the_log(serve, caplog):
    caplog.set_level(logging.INFO, logger="app")
    server = serve(only_one(lambda request: request.answer('{"hist": "unsupported type"}')))
    fetched(jsonfairy(server))
    (record,) = caplog.records
    assert re.search(r"40 requested, [\d.]+ s: absent 1, good 39$", record.getMessage())


# ---- what cannot be used: a reason on that chamber, and no second try


def changed(value: object) -> str:
    rows = counts(SOME[7])
    rows[3][20] = value
    return reply(SOME[7], rows)


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        ('{"hist": "unsupported type"}', Reason.ABSENT, "unsupported type"),
        ('{"hist": {"bins": {"content": [[1, 2], [3, 4]]}}}', Reason.WRONG_SHAPE, "2 rows"),
        ("[]", Reason.WRONG_SHAPE, "list"),
        (changed(-2), Reason.NEGATIVE, "layer 4, cell 21 is -2"),
        (changed(1.5), Reason.NOT_WHOLE, "layer 4, cell 21 is 1.5"),
        (changed(3e9), Reason.TOO_LARGE, "layer 4, cell 21 is 3e+09"),
        (changed(12345678).replace("12345678", "9" * 5000), Reason.TOO_LARGE, "digits"),
        (changed(float("nan")), Reason.NOT_FINITE, "layer 4, cell 21"),
        (changed(12345678).replace("12345678", "nan"), Reason.NOT_FINITE, "layer 4, cell 21 is nan"),
        (changed(12345678).replace("12345678", "-nan"), Reason.NOT_FINITE, "layer 4, cell 21 is nan"),
        (changed(12345678).replace("12345678", "inf"), Reason.NOT_FINITE, "layer 4, cell 21 is inf"),
        (changed(12345678).replace("12345678", "-inf"), Reason.NOT_FINITE, "layer 4, cell 21 is -inf"),
        ("<!DOCTYPE html><html><title>CERN Single\n Sign-On</title></html>", Reason.REFUSED, "(CERN Single Sign-On)"),
        ("\n  <HTML><body>Please sign in", Reason.REFUSED, "web page"),
    ],
)
def test_a_reply_that_cannot_be_used_is_a_reason_and_not_asked_for_again(serve, body, reason, detail):
    outcome, tries = one_reason(serve, lambda request: request.answer(body))
    assert outcome.reason == reason
    assert detail in outcome.detail
    assert tries == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, Reason.REFUSED), (403, Reason.REFUSED), (404, Reason.ABSENT), (400, Reason.SERVER_ERROR)],
)
def test_a_status_that_will_not_change_is_not_asked_for_again(serve, status, reason):
    outcome, tries = one_reason(serve, lambda request: request.answer("no", status))
    assert outcome.reason == reason
    assert str(status) in outcome.detail
    assert tries == 1


def test_a_redirect_is_a_refusal_and_is_never_followed(serve):
    elsewhere = serve(Request.good)
    location = f"http://me:secret@localhost:{elsewhere.server_port}/sign-in?token=private"
    outcome, tries = one_reason(serve, lambda request: request.answer("", 302, Location=location))
    assert outcome.reason == Reason.REFUSED
    assert outcome.detail == f"it answered 302 Found: a redirect to http://localhost:{elsewhere.server_port}/sign-in"
    assert tries == 1
    assert elsewhere.paths == []


@pytest.mark.parametrize(
    "location",
    ["https://[cern.ch/login", "http://[::1", "//[", "https://host:port\x1b[2J/", "http://\u2100/", "", "\0"],
)
def test_a_redirect_to_what_is_no_url_is_a_reason_and_not_the_end_of_the_run(serve, location):
    outcome, tries = one_reason(
        serve, lambda request: request.answer("", 302, Location=location.encode().decode("latin-1"))
    )
    assert outcome.reason == Reason.REFUSED
    assert outcome.detail.startswith("it answered 302 Found")
    assert outcome.detail.isprintable()
    assert tries == 1


def test_what_a_library_raises_over_one_reply_is_a_reason_and_not_the_end_of_the_run(serve, monkeypatch):
    """Whatever it is: here it is raised by hand, since those that are known have each their own test."""
    get = Line._body

    def odd(self: Line, reply: requests.Response, *args: object) -> bytes:
        if reply.headers.get("X-Odd"):
            raise LookupError("nobody has thought of it")
        return get(self, reply, *args)

    monkeypatch.setattr(Line, "_body", odd)
    outcome, tries = one_reason(serve, lambda request: request.answer(reply(request.chamber), X_Odd="yes"))
    assert outcome.reason == Reason.SERVER_ERROR
    assert "its reply cannot be read (LookupError)" in outcome.detail
    assert tries == 3


def test_an_honest_reply_beyond_the_limit_is_too_large(serve):
    outcome, tries = one_reason(
        serve, lambda request: request.answer(reply(ONE) + " " * 100_000), dqm_max_reply_bytes=90_000
    )
    assert outcome.reason == Reason.TOO_LARGE
    assert tries == 1


def test_a_reply_without_a_length_is_read_no_further_than_the_limit(serve):
    sent = []

    def endless(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        request.close_connection = True
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                request.wfile.write(b" " * 65_536)
                sent.append(65_536)

    outcome, _ = one_reason(serve, endless)
    assert outcome.reason == Reason.TOO_LARGE
    assert sum(sent) < 100_000_000


def test_a_small_reply_that_unpacks_to_a_large_one_is_too_large(serve):
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    outcome, _ = one_reason(serve, lambda request: request.answer(bomb, Content_Encoding="gzip"))
    assert outcome.reason == Reason.TOO_LARGE


def test_a_compressed_reply_and_one_in_chunks_are_read(serve):
    def respond(request: Request) -> None:
        body = gzip.compress(reply(request.chamber).encode())
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        half = len(body) // 2
        for part in (body[:half], body[half:], b""):
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    server = serve(respond)
    assert missing(fetched(jsonfairy(server))) == {}
    assert len(server.connections) <= 16, "a connection is used again after a reply in chunks"


def test_a_reply_nested_without_end_is_not_json(serve):
    outcome, _ = one_reason(serve, lambda request: request.answer("[" * 200_000))
    assert outcome.reason == Reason.NOT_JSON
    assert "nested too deeply" in outcome.detail


# ---- what can heal is tried again


def cut_short(request: Request) -> None:
    request.answer(reply(request.chamber)[:500], Content_Length="9000")
    request.close_connection = True


def hang_up(request: Request) -> None:
    request.close_connection = True


HEALING = {
    "500": lambda request: request.answer("", 500),
    "503": lambda request: request.answer("<html>busy</html>", 503),
    "429": lambda request: request.answer("", 429),
    "an empty body": lambda request: request.answer(""),
    "a dead renderer": lambda request: request.answer('"error":"JSON preparing process was interrupted."'),
    "an error with status 200": lambda request: request.answer('{"error": "JSON preparing process was interrupted."}'),
    "half a body": lambda request: request.answer(reply(request.chamber)[:500]),
    "fewer bytes than promised": cut_short,
    "a connection that breaks": hang_up,
    "damaged compression": lambda request: request.answer(b"no gzip at all", Content_Encoding="gzip"),
    "bytes that are no text": lambda request: request.answer(b"\xff\xfe\x00\x80"),
}


@pytest.mark.parametrize("name", HEALING)
def test_a_fault_that_heals_is_not_seen(serve, name):
    outcome, tries = one_reason(serve, lambda request: HEALING[name](request) if request.nth < 3 else request.good())
    assert isinstance(outcome, Occupancy)
    assert tries == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("503", Reason.SERVER_ERROR),
        ("429", Reason.SERVER_ERROR),
        ("an empty body", Reason.NOT_JSON),
        ("a dead renderer", Reason.NOT_JSON),
        ("an error with status 200", Reason.SERVER_ERROR),
        ("fewer bytes than promised", Reason.NO_ANSWER),
        ("a connection that breaks", Reason.NO_ANSWER),
    ],
)
def test_a_fault_that_does_not_heal_is_a_reason_after_all_tries(serve, name, reason):
    outcome, tries = one_reason(serve, HEALING[name])
    assert outcome.reason == reason
    assert outcome.detail.endswith(", 3 times")
    assert tries == 3


def test_without_retries_each_histogram_is_asked_for_once(serve):
    assert one_reason(serve, HEALING["503"], dqm_retries=0)[1] == 1


def test_a_request_that_times_out_is_tried_only_once_more_whatever_the_retries(serve):
    outcome, tries = one_reason(serve, Request.stall, dqm_read_timeout=0.3, dqm_retries=9)
    assert outcome.reason == Reason.NO_ANSWER
    assert tries == 2


def test_a_body_that_drips_is_given_up_at_the_deadline_of_the_reply(serve):
    def drip(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        with contextlib.suppress(OSError):
            while not request.server.released.wait(0.05):
                request.wfile.write(b" ")

    outcome, tries = one_reason(serve, drip, dqm_read_timeout=0.4)
    assert outcome.reason == Reason.NO_ANSWER
    assert "within 0.4 s" in outcome.detail
    assert tries == 2


def test_headers_that_drip_are_given_up_at_the_deadline_of_the_reply(serve):
    def drip(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        request.close_connection = True
        with contextlib.suppress(OSError):
            while not request.server.released.wait(0.05):
                request.wfile.write(b"x")

    outcome, _ = one_reason(serve, drip, dqm_read_timeout=0.4)
    assert outcome.reason == Reason.NO_ANSWER
    assert "within 0.4 s" in outcome.detail


LATER = format_datetime(datetime.now(UTC) + timedelta(days=400), usegmt=True)


@pytest.mark.parametrize("value", ["1", LATER], ids=["seconds", "date"])
def test_retry_after_is_waited_for_but_no_longer_than_the_cap(serve, value):
    times = []

    def respond(request: Request) -> None:
        times.append(time.monotonic())
        if request.nth == 1:
            request.answer("", 429, Retry_After=value)
        else:
            request.good()

    found = fetched(jsonfairy(serve(respond), dqm_retry_after_max=0.5), [ONE])
    assert isinstance(found[ONE], Occupancy)
    assert times[1] - times[0] >= 0.5


ODD_DATES = [
    "Fri, 99 Foo 2026 00:00:00 GMT",
    "Mon, 01 Jan 99999 00:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +999999999999",
    ",",
]


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "²", *ODD_DATES])
def test_a_retry_after_that_cannot_be_understood_is_as_none(value):
    assert retry_after(value) is None


def test_retry_after_takes_dates():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 60 < retry_after(soon) <= 90


@given(tries=st.integers(1, 21), backoff=st.floats(0, 60), wanted=st.none() | st.floats(0, 1e9))
def test_a_pause_is_never_longer_than_the_settings_allow(tries, backoff, wanted):
    settings = Settings(dqm_backoff=backoff, dqm_retry_after_max=30)
    seconds = pause(settings, tries, wanted)
    if wanted is None:
        assert 0 <= seconds <= min(60, backoff * 2 ** (tries - 1))
    else:
        assert min(wanted, 30) <= seconds <= 30 + backoff


def test_pauses_are_spread_over_the_whole_backoff():
    seconds = sorted(pause(Settings(dqm_backoff=1), tries=4) for _ in range(400))
    assert seconds[20] < 2
    assert seconds[-20] > 6


# ---- the deadline of the run, and being stopped


def test_what_has_not_arrived_when_the_runs_time_is_up_is_missing_for_that_reason(serve):
    server = serve(lambda request: request.good() if request.chamber in SOME[:10] else request.stall())
    found = fetched(jsonfairy(server, dqm_run_deadline=5, dqm_read_timeout=20))
    assert missing(found) == dict.fromkeys(SOME[10:], Reason.DEADLINE)
    assert set(found) == set(SOME)
    assert server.most_at_once <= 16


STUCK = {
    "stalls": Request.stall,
    "asks to come back later": lambda request: request.answer("", 503, Retry_After="20"),
}


@pytest.mark.parametrize("name", STUCK)
def test_stop_ends_a_fetch_soon_when_the_server(serve, name):
    server = serve(lambda request: request.good() if request.chamber in SOME[:10] else STUCK[name](request))
    stop, found = threading.Event(), {}
    fetch = jsonfairy(server, dqm_read_timeout=20, dqm_retry_after_max=20).fetch(RUN, SOME, stop)
    for chamber, outcome in fetch:
        found[chamber] = outcome
        if len(found) == 10:
            stopped = time.monotonic()
            threading.Timer(0.2, stop.set).start()
    assert time.monotonic() - stopped < 5, "not after the 20 s that each request would take"
    assert missing(found) == {}
    assert set(found) == set(SOME[:10])


def test_a_fetch_that_is_stopped_before_it_begins_yields_nothing(serve):
    stop = threading.Event()
    stop.set()
    assert fetched(jsonfairy(serve(Request.good)), SOME, stop) == {}


def test_closing_the_generator_ends_its_threads_and_connections(serve):
    server = serve(lambda request: request.good() if request.chamber == SOME[0] else request.stall())
    fetch = jsonfairy(server, dqm_read_timeout=20).fetch(RUN, SOME, threading.Event())
    assert next(fetch)[0] == SOME[0]
    fetch.close()
    assert dqm_threads() == []


@pytest.mark.parametrize(
    "respond",
    [
        Request.good,
        lambda request: request.answer("no", 404),
        lambda request: request.answer('{"hist"'),
        lambda request: request.answer("x" * 50_000),
        Request.stall,
    ],
    ids=["good", "a status", "no JSON", "too large", "stalled"],
)
def test_no_connection_is_left_to_the_garbage_collector(serve, respond):
    server = serve(respond)
    gc.disable()
    try:
        with contextlib.suppress(SourceDown):
            fetched(jsonfairy(server, dqm_max_reply_bytes=40_000, dqm_retries=1, dqm_read_timeout=0.5))
        server.released.set()
        deadline = time.monotonic() + 10
        while server.open and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.open == 0
        assert server.connections
    finally:
        gc.enable()


def test_closing_the_source_ends_a_fetch_under_way_and_allows_no_other(serve):
    source = jsonfairy(serve(lambda request: request.good() if request.chamber == SOME[0] else request.stall()))
    fetch = source.fetch(RUN, SOME, threading.Event())
    next(fetch)
    source.close()
    assert list(fetch) == []
    with pytest.raises(RuntimeError, match="closed"):
        fetched(source)


# ---- a server that is down


def down(source: Jsonfairy, chambers=None) -> tuple[SourceDown, dict]:
    """The error that ends a fetch, of a whole run if nothing else is said, and what came before it."""
    found = {}
    try:
        for chamber, outcome in source.fetch(RUN, chambers or all_chambers(), threading.Event()):
            found[chamber] = outcome
    except SourceDown as error:
        return error, found
    pytest.fail("the fetch did not end with SourceDown")


@pytest.mark.parametrize("chambers", [all_chambers(), [ONE]], ids=["a run", "one chamber"])
@pytest.mark.parametrize(
    ("respond", "seen"),
    [
        (lambda request: request.answer("", 401), "401 Unauthorized"),
        (lambda request: request.answer("", 403), "403 Forbidden"),
        (lambda request: request.answer("<html><title>Sign in</title>"), "web page (Sign in)"),
        (
            lambda request: request.answer("", 302, Location="https://auth.example.org/"),
            "redirect to https://auth.example",
        ),
    ],
)
def test_a_server_that_refuses_is_left_at_once_with_what_to_set(serve, chambers, respond, seen):
    server = serve(respond)
    error, found = down(jsonfairy(server), chambers)
    assert error.reason == Reason.REFUSED
    assert str(error).startswith(f"{server.url} refuses: it answered ")
    assert seen in str(error)
    assert str(error).endswith("a client certificate is needed: set DQM_CERT and DQM_KEY, or DQM_PROXY.")
    assert set(missing(found).values()) <= {Reason.REFUSED}
    assert len(server.paths) < 60


def test_a_server_that_nobody_runs_is_left_after_the_tries_of_the_first_requests():
    with socket.socket() as taken:  # bound, but not listening: nobody else can take the port meanwhile
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error, found = down(jsonfairy(url))
    assert error.reason == Reason.NO_ANSWER
    assert str(error) == (
        f"{url} does not answer: no connection (connection refused) (tried 3 times); "
        "check DQM_URL, the network, and whether the server is up."
    )
    assert len(found) < 60


def test_a_host_that_does_not_exist_is_one_clear_sentence():
    error, _ = down(jsonfairy("http://dqm.invalid", dqm_retries=0, dqm_parallel=1))
    assert error.reason == Reason.NO_ANSWER
    assert str(error).startswith("http://dqm.invalid does not answer: no connection (")


@pytest.mark.parametrize("url", ["http://dqm..example.org", "http://", "http://host:port"])
def test_a_url_that_no_request_can_be_made_of_is_one_clear_sentence(url):
    error, _ = down(jsonfairy(url))
    assert error.reason == Reason.NO_ANSWER
    assert "the request cannot be made" in str(error)


@pytest.mark.parametrize("name", ["503", "an empty body", "a connection that breaks"])
def test_a_server_that_fails_every_request_is_left_after_the_first_few(serve, name):
    server = serve(HEALING[name])
    error, found = down(jsonfairy(server))
    assert error.reason == (Reason.NO_ANSWER if name == "a connection that breaks" else Reason.SERVER_ERROR)
    assert "consecutive requests, tried 3 times" in str(error)
    assert len(found) < 60
    assert len(server.paths) < 180


def test_a_server_that_never_answers_is_left_after_two_timeouts(serve):
    server = serve(Request.stall)
    error, _ = down(jsonfairy(server, dqm_read_timeout=0.3, dqm_retries=9))
    assert error.reason == Reason.NO_ANSWER
    assert len(server.paths) <= 64


def test_a_server_that_dies_in_the_middle_is_left_and_what_came_before_is_kept(serve):
    def respond(request: Request) -> None:
        if len(request.server.paths) <= 30:
            request.good()
        else:
            request.answer("", 503)

    server = serve(respond)
    error, found = down(jsonfairy(server))
    assert error.reason == Reason.SERVER_ERROR
    assert len(found) - len(missing(found)) == 30
    assert LATER_FAILURES <= len(missing(found)) < 60


def test_a_few_histograms_that_fail_do_not_end_a_run(serve):
    bad = set(SOME[:3])
    server = serve(lambda request: request.answer("", 500) if request.chamber in bad else request.good())
    assert missing(fetched(jsonfairy(server), all_chambers())) == dict.fromkeys(bad, Reason.SERVER_ERROR)


def test_asking_again_for_the_few_that_fail_gives_their_reasons_and_not_a_server_that_is_down(serve):
    server = serve(lambda request: request.answer("", 500))
    assert missing(fetched(jsonfairy(server), SOME[:3])) == dict.fromkeys(SOME[:3], Reason.SERVER_ERROR)


def test_a_run_that_is_not_on_the_server_is_absent_everywhere_and_no_server_that_is_down(serve):
    server = serve(lambda request: request.answer('{"hist": "unsupported type"}'))
    assert set(missing(fetched(jsonfairy(server), all_chambers())).values()) == {Reason.ABSENT}


def test_a_mistake_of_ours_in_a_thread_is_raised_and_not_waited_for(serve, monkeypatch):
    def broken(reply: object, chamber: Chamber) -> Occupancy:
        raise ZeroDivisionError

    monkeypatch.setattr(dqm, "occupancy_of", broken)
    with pytest.raises(ZeroDivisionError):
        fetched(jsonfairy(serve(Request.good)))


@hypothesis.settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["good", "absent", "500", "403", "hang up", "half"]), min_size=1, max_size=30))
def test_whatever_the_server_does_each_chamber_comes_at_most_once_and_exactly_once_unless_it_is_down(answers):
    respond = {
        "good": Request.good,
        "absent": lambda request: request.answer('{"hist": "unsupported type"}'),
        "500": HEALING["500"],
        "403": lambda request: request.answer("", 403),
        "hang up": hang_up,
        "half": HEALING["half a body"],
    }
    chambers = all_chambers()[: len(answers)]
    planned = dict(zip(chambers, answers, strict=True))
    server = Server(lambda request: respond[planned[request.chamber]](request))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        found, is_down = [], False
        try:
            found += jsonfairy(server, dqm_retries=1, dqm_backoff=0).fetch(RUN, chambers, threading.Event())
        except SourceDown:
            is_down = True
        names = [chamber for chamber, _ in found]
        assert len(names) == len(set(names))
        assert is_down or set(names) == set(chambers)
        for chamber, outcome in found:
            assert isinstance(outcome, Occupancy) == (planned[chamber] == "good")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# ---- JSON as the server makes it


@pytest.mark.parametrize("text", ["nan", "-nan", "+inf", "-inf", "Infinity", "NaN", "nan(0x8)", "INF"])
def test_what_c_writes_for_no_number_is_read_as_one_outside_of_strings_only(text):
    found = decoded(f'{{"title": "nan, {text} and \\"inf\\"", "x": [1, {text}]}}'.encode())
    assert found["title"] == f'nan, {text} and "inf"'
    assert found["x"][1] != found["x"][1] or abs(found["x"][1]) == float("inf")


def test_a_word_that_only_begins_like_nan_is_not_json():
    with pytest.raises(UnusableHistogram) as caught:
        decoded(b"[nano, info]")
    assert caught.value.reason == Reason.NOT_JSON


def test_a_key_with_two_values_is_not_believed_but_one_that_is_repeated_is():
    assert decoded(b'{"a": 1, "a": 1}') == {"a": 1}
    with pytest.raises(UnusableHistogram, match="the key 'a' has two values"):
        decoded(b'{"a": 1, "a": 2}')


def with_title(title: str, chamber: Chamber = ONE) -> bytes:
    """A reply as the server makes it: the title is put in as it stands, in all the places that it has there."""
    written = histogram_json(chamber, counts(chamber))
    return re.sub('OccupancyAllHits[^"]*', lambda _: title, written).encode("utf-8", "surrogatepass")


ODD_TITLES = [
    "back\\slash",
    "\\",
    '5" tube',
    '"',
    '", "bins": {"content": [[1]]}, "',
    '"}, "bins": [], "x": {"',
    '"}}',
    "tab\t, line\nbreak, NUL\0",
    "\\u12",
    "{[}]",
    '"bins": {"content": [[1]]}}}',
]


@pytest.mark.parametrize("title", ODD_TITLES)
def test_a_title_that_is_not_escaped_costs_no_count(serve, title):
    found = fetched(jsonfairy(serve(lambda request: request.answer(with_title(title, request.chamber)))))
    assert all(occupancy.counts.tolist() == counts(chamber) for chamber, occupancy in found.items())


@given(st.text(max_size=40) | st.text(alphabet='{}[]",:\\bins0 ', max_size=40))
def test_whatever_a_title_is_it_costs_no_count(title):
    assert dqm.occupancy_of(histogram(with_title(title)), ONE).counts.tolist() == counts(ONE)


def test_a_reply_cut_within_its_counts_is_not_json_whatever_its_title(serve):
    with pytest.raises(UnusableHistogram) as caught:
        histogram(with_title('"bins": {"content": [[1]]}}}')[:-100])
    assert caught.value.reason == Reason.NOT_JSON


@pytest.mark.parametrize("piece", [b'"\\', b"nan(", b'"', b"{", b'{"run"', b'"bins"', b"\\"])
def test_a_reply_that_is_not_json_is_read_in_a_time_that_grows_with_its_length_only(piece):
    def seconds(times: int) -> float:
        begun = time.process_time()
        for read in (histogram, lambda body: jsonfairy_module._run_list("", body)):
            with contextlib.suppress(UnusableHistogram):
                read(b'{"hist": {' + piece * times + b" x]}")
        return time.process_time() - begun

    small = max(seconds(2_000), 0.001)
    assert seconds(40_000) < 120 * small  # 20 times as long; a square would be 400


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:.-+0123456789eEnaif \\', max_size=200).map(str.encode))
def test_any_bytes_are_json_or_a_reason(body):
    for read in (decoded, histogram, lambda body: jsonfairy_module._run_list("", body)):
        with contextlib.suppress(UnusableHistogram, Failed):
            read(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["-1", 10**400, -1]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["hist", "bins", "content"]), inner),
    max_leaves=20,
)


@given(JSON, st.integers(0, 11), st.integers(0, 40))
def test_any_json_is_counts_or_a_reason_that_can_be_kept_and_shown(value, layer, cell):
    rows = counts(ONE)
    rows[layer][cell] = value
    for made in (value, {"hist": value}, {"hist": {"bins": value}}, {"hist": {"bins": {"content": rows}}}):
        seen = "counts"
        try:
            dqm.occupancy_of(histogram(json.dumps(made).encode()), ONE)
        except (UnusableHistogram, Failed) as error:
            seen = str(error)
        assert seen.isprintable()  # which a lone surrogate is not


def test_a_value_nested_as_deep_as_json_is_read_is_a_reason():
    for depth in (*range(900, 1000), 100_000):
        with pytest.raises(UnusableHistogram):
            dqm.occupancy_of(histogram(reply(ONE, "X").replace('"X"', "[" * depth + "]" * depth).encode()), ONE)
        rows = json.dumps(counts(ONE)).replace("1000,", "[" * depth + "]" * depth + ",", 1)
        with pytest.raises(UnusableHistogram):
            dqm.occupancy_of(histogram(reply(ONE, "X").replace('"X"', rows).encode()), ONE)


# ---- the list of runs


def run_list(*runs: object, dataset: str = "/Global/Online/ALL") -> str:
    items = [{"type": "online_data", "run": run, "dataset": dataset} for run in runs]
    return json.dumps(
        {"samples": [{"type": "online_data", "items": items}, {"type": "online_data", "items": items[:1]}]}
    )


def test_the_runs_that_the_server_lists_come_sorted_and_once(serve):
    server = serve(lambda request: request.answer(run_list("302635", "279794", "302635")))
    assert jsonfairy(server).runs(only="^30|^27") == [279794, 302635]
    assert server.paths == ["/dqm/online/data/json/samples?match=%5E%2FGlobal%2FOnline%2FALL%24&run=%5E30%7C%5E27"]


def test_what_is_no_run_number_or_of_another_dataset_is_left_out(serve, caplog):
    strange = run_list("0", "abc", "-5", "1000000000", "²", "9" * 5000, None, 317111, "302635")
    assert jsonfairy(serve(lambda request: request.answer(strange))).runs() == [302635, 317111]
    assert "8 entries" in caplog.text
    other = run_list("302635", dataset="/ZeroBias/Run2017/DQMIO")
    assert jsonfairy(serve(lambda request: request.answer(other))).runs() == []


@pytest.mark.parametrize(
    "body", ["{}", "[]", '{"samples": 5}', '{"samples": [{"items": [1]}]}', "oh no", '{"samples": {"a": 1}}']
)
def test_a_list_of_runs_that_cannot_be_understood_is_one_clear_sentence(serve, body):
    server = serve(lambda request: request.answer(body))
    with pytest.raises(SourceDown, match=r"gives no list of runs: .+\.$"):
        jsonfairy(server).runs()


ODD_ENTRIES = [
    "5",
    "null",
    "{}",
    "[]",
    '{"run": 5}',
    '{"run": {}, "dataset": "/Global/Online/ALL"}',
    '{"run": "7", "version": "5" tube", "dataset": "/Global/Online/ALL"}',
    '{"run": "7", "version": "back\\slash", "dataset": "/Global/Online/ALL"}',
    '{"run": "7", "version": "x", "run": "8", "dataset": "/Global/Online/ALL"}',
    '{"run": nan, "dataset": "/Global/Online/ALL"}',
]


@pytest.mark.parametrize("odd", ODD_ENTRIES)
def test_an_odd_entry_in_the_list_of_runs_costs_no_other(serve, caplog, odd):
    body = run_list("302635", "7", "279794").replace(
        json.dumps({"type": "online_data", "run": "7", "dataset": "/Global/Online/ALL"}), odd
    )
    assert odd in body
    assert jsonfairy(serve(lambda request: request.answer(body))).runs() == [279794, 302635]
    assert "1 entries in the list of runs are not runs, such as " in caplog.text


@pytest.mark.parametrize("odd", ["5", "null", "{}", '{"items": 5}', '{"items": null}', "[]"])
def test_an_odd_group_in_the_list_of_runs_costs_no_other(serve, odd):
    body = run_list("302635").replace('{"samples": [', f'{{"samples": [{odd}, ')
    assert jsonfairy(serve(lambda request: request.answer(body))).runs() == [302635]


def test_a_list_of_runs_that_is_cut_or_an_error_is_asked_for_again(serve):
    for bad in (run_list("302635", "279794")[:-30], '{"error": "busy"}', ""):
        server = serve(lambda request, bad=bad: request.answer(bad if request.nth < 3 else run_list("302635")))
        assert jsonfairy(server).runs() == [302635]


def test_a_list_of_runs_from_a_server_that_refuses_says_what_to_set(serve):
    with pytest.raises(SourceDown, match="set DQM_CERT and DQM_KEY, or DQM_PROXY"):
        jsonfairy(serve(lambda request: request.answer("", 401))).runs()


# ---- certificates


@pytest.fixture
def tls_server(serve, pem):
    def start(client_needed: bool = False) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem / "server.pem", pem / "server.key")
        if client_needed:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(pem / "authority.pem")
        return serve(Request.good, context)

    return start


@pytest.fixture(autouse=True)
def no_grid_proxy_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "there is none"))


def test_a_server_whose_certificate_nobody_vouches_for_is_not_asked(tls_server):
    server = tls_server()
    error, found = down(jsonfairy(server))
    assert error.reason == Reason.NO_ANSWER
    assert "certificate cannot be verified" in str(error)
    assert "set DQM_CA_BUNDLE to a PEM file of the authority that signed it" in str(error)
    assert server.paths == []
    assert len(found) < 60


def test_the_environments_own_bundle_and_netrc_are_not_believed(tls_server, serve, pem, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem / "authority.pem"))
    with pytest.raises(SourceDown, match="cannot be verified"):
        fetched(jsonfairy(tls_server()))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    sent = []

    def respond(request: Request) -> None:
        sent.append(request.headers.get("Authorization"))
        request.good()

    fetched(jsonfairy(serve(respond)), [ONE])
    assert sent == [None]


def test_with_the_authority_in_the_bundle_the_server_is_asked(tls_server, pem):
    found = fetched(jsonfairy(tls_server(), dqm_ca_bundle=pem / "authority.pem"))
    assert missing(found) == {}


@pytest.fixture
def folder_of(pem, tmp_path):
    """Makes a folder of authorities as grid sites have it: `folder_of("authority")`."""

    def make(*authorities: str, rehash: bool = True) -> Path:
        folder = tmp_path / "certificates"
        folder.mkdir()
        for name in authorities:
            shutil.copy(pem / f"{name}.pem", folder)
        (folder / "authority.signing_policy").write_text("what grid sites keep besides")
        if rehash:
            subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
        return folder

    return make


def test_with_the_authority_in_a_folder_with_hashes_the_server_is_asked(tls_server, folder_of):
    found = fetched(jsonfairy(tls_server(), dqm_ca_bundle=folder_of("stranger", "authority")))
    assert missing(found) == {}


def test_a_server_whose_authority_is_not_in_the_folder_is_not_asked(tls_server, folder_of):
    server = tls_server()
    error, _ = down(jsonfairy(server, dqm_ca_bundle=folder_of("stranger")))
    assert "certificate cannot be verified" in str(error)
    assert server.paths == []


def test_a_folder_without_hashes_says_how_to_make_them(tls_server, folder_of):
    folder = folder_of("authority", rehash=False)
    error, _ = down(jsonfairy(tls_server(), dqm_ca_bundle=folder))
    assert f"create these names with openssl rehash {folder}" in str(error)


def test_a_bundle_that_has_gone_since_the_start_is_named(tls_server, pem, tmp_path):
    bundle = shutil.copy(pem / "authority.pem", tmp_path)
    source = jsonfairy(tls_server(), dqm_ca_bundle=bundle)
    Path(bundle).unlink()
    error, _ = down(source)
    assert f"The authorities in {bundle} cannot be read (no such file or directory)" in str(error)


def test_another_host_than_the_certificate_names_is_not_asked(tls_server, pem):
    server = tls_server()
    error, _ = down(jsonfairy(server.url.replace("127.0.0.1", "localhost"), dqm_ca_bundle=pem / "authority.pem"))
    assert "cannot be verified" in str(error)
    assert server.paths == []


@pytest.mark.parametrize("how", ["certificate and key", "DQM_PROXY", "X509_USER_PROXY"])
def test_a_server_that_wants_a_client_certificate_gets_ours(tls_server, pem, monkeypatch, how):
    server = tls_server(client_needed=True)
    settings = {
        "certificate and key": {"dqm_cert": pem / "client.crt", "dqm_key": pem / "client.key"},
        "DQM_PROXY": {"dqm_proxy": pem / "client.pem"},
        "X509_USER_PROXY": {},
    }[how]
    if how == "X509_USER_PROXY":
        monkeypatch.setenv("X509_USER_PROXY", str(pem / "client.pem"))
    assert missing(fetched(jsonfairy(server, dqm_ca_bundle=pem / "authority.pem", **settings))) == {}


def test_a_server_that_wants_a_client_certificate_and_gets_none_is_left_with_what_to_set(tls_server, pem):
    error, found = down(jsonfairy(tls_server(client_needed=True), dqm_ca_bundle=pem / "authority.pem"))
    assert str(error).endswith("set DQM_CERT and DQM_KEY, or DQM_PROXY.")
    assert len(found) < 60


def test_a_stranger_s_client_certificate_is_refused_and_named(tls_server, pem):
    shown = {"dqm_cert": pem / "stranger.pem", "dqm_key": pem / "stranger.key"}
    error, _ = down(jsonfairy(tls_server(client_needed=True), dqm_ca_bundle=pem / "authority.pem", **shown))
    assert f"the client certificate in {pem / 'stranger.pem'} was used" in str(error)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"dqm_cert": "client.crt", "dqm_key": "server.key"}, "client.crt"),
        ({"dqm_cert": "client.crt", "dqm_key": "locked.key"}, "client.crt"),
        ({"dqm_cert": "client.csr", "dqm_key": "client.key"}, "client.csr"),
        ({"dqm_proxy": "client.crt"}, "client.crt"),
        ({"dqm_ca_bundle": "client.key"}, "client.key"),
    ],
    ids=["another's key", "a key with a passphrase", "no certificate", "a proxy without a key", "no authority"],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_is_asked(tls_server, pem, files, named):
    server = tls_server()
    error, found = down(jsonfairy(server, **{name: pem / file for name, file in files.items()}))
    assert str(pem / named) in str(error)
    assert "DQM_" in str(error)
    assert found == {}
    assert server.paths == []


def test_a_server_without_tls_asked_with_it_is_one_clear_sentence(serve):
    error, _ = down(jsonfairy(serve(Request.good).url.replace("http://", "https://")))
    assert "does not speak TLS" in str(error)


def test_a_server_without_tls_is_shown_no_certificate(tmp_path):
    proxy = tmp_path / "proxy.pem"
    proxy.touch()
    settings = Settings(dqm_proxy=proxy)
    assert Certificates.of(settings, "http://dqm.example.org").cert is None
    assert Certificates.of(settings, "https://dqm.example.org").cert == str(proxy)


def test_a_certificate_of_the_settings_comes_before_the_grid_proxy_of_the_environment(tmp_path):
    for name in ("cert", "key", "proxy", "grid"):
        (tmp_path / name).touch()
    environment = {"X509_USER_PROXY": str(tmp_path / "grid")}

    def shown(**files: str) -> object:
        settings = Settings(**{name: tmp_path / file for name, file in files.items()})
        return Certificates.of(settings, "https://dqm.example.org", environment).cert

    assert shown() == str(tmp_path / "grid")
    assert shown(dqm_proxy="proxy") == str(tmp_path / "proxy")
    assert shown(dqm_cert="cert", dqm_key="key") == (str(tmp_path / "cert"), str(tmp_path / "key"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file that is another user's")
def test_a_grid_proxy_that_is_another_users_file_is_not_shown(tmp_path, caplog):
    proxy = tmp_path / "proxy.pem"
    proxy.touch()
    os.chown(proxy, 12345, 12345)
    found = Certificates.of(Settings(), "https://dqm.example.org", {"X509_USER_PROXY": str(proxy)})
    assert found.cert is None
    assert "not a readable file of this user" in caplog.text


def test_a_proxy_of_the_environment_is_used_but_never_for_this_machine(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    assert proxies_for("http://dqm.example.org/online")["http"] == "http://proxy.example.org:3128"
    for here in ("http://127.0.0.1:8081/dqm", "http://localhost:8081/dqm", "http://[::1]:8081/dqm"):
        assert proxies_for(here) == {}
    monkeypatch.setenv("no_proxy", "example.org")
    assert "http" not in proxies_for("http://dqm.example.org/online")
