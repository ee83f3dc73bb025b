"""A server on a plain socket that sends what it is told, byte by byte, and strategies for what an odd server sends."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from hypothesis import strategies as st

from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.sources import dqm

LIMIT = 200_000  # bytes of a reply that are read
READ_SECONDS = 0.3  # that one request may take
GIVE_UP_SECONDS = 20  # a test that hangs; never a measure of speed


class End(Enum):
    """What becomes of a connection when a reply was sent."""

    KEEP = "it takes the next request"
    CLOSE = "it is closed"
    RESET = "it breaks"
    STALL = "nothing more comes"


@dataclass(frozen=True)
class OddReply:
    """Bytes, each piece after a pause in seconds."""

    pieces: tuple[tuple[float, bytes], ...]
    end: End


class RawServer:
    """Answers a request with what `reply_to` says of its path. Stop it in the end."""

    def __init__(self) -> None:
        self.reply_to: Callable[[str], OddReply] = lambda path: good_reply(chamber_of(path))
        self._stopping = threading.Event()
        self._connections: list[tuple[threading.Thread, socket.socket]] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/dqm/online"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        for thread, _ in self._connections:
            thread.join()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:  # stopped
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._connections = [(t, c) for t, c in self._connections if t.is_alive()] + [(thread, connection)]
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(0.1)
        with connection, suppress(OSError):  # the client went away
            asked = b""
            while not self._stopping.is_set():
                try:
                    received = connection.recv(65_536)
                except TimeoutError:
                    continue
                if not received:
                    return
                asked += received
                while b"\r\n\r\n" in asked:
                    request, _, asked = asked.partition(b"\r\n\r\n")
                    if not self._answer(connection, request.split(b" ")[1].decode()):
                        return

    def _answer(self, connection: socket.socket, path: str) -> bool:
        """Whether the connection is to be kept."""
        reply = self.reply_to(path)
        connection.settimeout(GIVE_UP_SECONDS)
        for pause, piece in reply.pieces:
            if pause and self._stopping.wait(pause):
                return False
            connection.sendall(piece)
        connection.settimeout(0.1)
        if reply.end is End.STALL:
            self._wait_until_it_leaves(connection)
        elif reply.end is End.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return reply.end is End.KEEP

    def _wait_until_it_leaves(self, connection: socket.socket) -> None:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while not self._stopping.is_set() and time.monotonic() < deadline:
            with suppress(TimeoutError):
                if not connection.recv(65_536):
                    return


def chamber_of(path: str) -> Chamber | None:
    found = dqm.parse_histogram_path(path.partition("/jsonfairy/")[2])
    return found[1] if found else None


def counts(chamber: Chamber) -> list[list[int]]:
    """Counts that no other chamber, layer or cell has: one reply taken for another is seen."""
    first = 100_000 * (1 + all_chambers().index(chamber))
    return [
        [first + 1000 * row + column if exists else -1 for column, exists in enumerate(cells)]
        for row, cells in enumerate(chamber.read_out.tolist(), start=1)
    ]


def good_body(chamber: Chamber) -> bytes:
    return json.dumps({"hist": {"title": "x", "bins": {"content": counts(chamber)}}}).encode()


def good_reply(chamber: Chamber | None) -> OddReply:
    body = good_body(chamber) if chamber else b'{"samples": []}'
    return OddReply(((0, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)),), End.KEEP)


# ---- what may be odd: the status line, the headers, the body, the time that it takes

_LINES = (
    *("HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 200", "HTTP/1.1 200 \xff\x00\x1b[2J", "HTTP/2 200", "HTTP/1.1"),
    *(
        "",
        " ",
        "ICY 200 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 -1 OK",
        "HTTP/1.1 0 OK",
        "HTTP/1.1 99999 OK",
        "GET / HTTP/1.1",
    ),
    *("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", "HTTP/1.1 100 Continue\r\n\r\n" * 50 + "HTTP/1.1 200 OK"),
    *(
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 " + "2" * 70_000,
    ),
)
_line = st.sampled_from(_LINES) | st.builds("HTTP/1.1 {} Odd".format, st.integers(100, 599)) | st.text(max_size=30)

_words = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
_url = st.sampled_from(
    ["https://[cern.ch/login", "//[", "http://[::1]x", "https://a:b@c:d", "\x00", "http://\xad/", "?", "a" * 70_000]
)
_number = st.integers(-2, 10).map(str) | st.sampled_from(
    ["1" + "0" * 30, "9" * 5_000, "1e9", "0x5", "5, 5", "5, 6", "²", "-0", "+5", "5.0", " ", "nan"]
)
_when = _number | st.sampled_from(
    ["Wed, 21 Oct 9999 07:28:00 GMT", "Wed, 21 Oct 99999999 07:28:00 +9999999999", "Wed, 99 Foo 1 1:1:1 X", ",,,", "0"]
)
_encoding = st.lists(st.sampled_from(["gzip", "deflate", "br", "zstd", "identity", "x-gzip", "odd"]), max_size=9)
_cookie = st.sampled_from(
    ["a=b; expires=Thu, 99 Foo 0 0:0:0; max-age=x; domain=[", "=;;=;", 'a="; path=\x00', "a=b; version=x"]
)
_header = st.one_of(
    st.tuples(st.just("Location"), _url | _words),
    st.tuples(st.sampled_from(["Content-Length", "content-length"]), _number),
    st.tuples(st.just("Retry-After"), _when | _words),
    st.tuples(st.just("Content-Encoding"), _encoding.map(", ".join) | _words),
    st.tuples(
        st.just("Transfer-Encoding"), st.sampled_from(["chunked", "gzip", "chunked, chunked", "gzip, chunked", "x"])
    ),
    st.tuples(st.sampled_from(["Set-Cookie", "Set-Cookie2"]), _cookie | _words),
    st.tuples(st.just("Connection"), st.sampled_from(["close", "keep-alive", "upgrade", "\x00"])),
    st.tuples(
        st.just("Content-Type"), st.sampled_from(["text/html; charset=\x00", "multipart/mixed; boundary=x", ";;"])
    ),
    st.tuples(_words, _words),
    st.tuples(st.just("X"), st.sampled_from(["a" * 70_000, "a\r\n b", "a\r\nno colon at all", "a\r\n: b", "a\rb\nc"])),
)
_headers = st.lists(_header, max_size=5) | st.just([("X", "y")] * 120)

_ONE = Chamber(wheel=-1, station=1, sector=2)
_deep = b'{"hist": ' + b"[" * 50_000
_bodies = st.one_of(
    st.sampled_from([b"", b"{}", _deep, b"[1]", b'{"hist": "unsupported type"}', b'{"error": "interrupted"}', b"nan"]),
    st.sampled_from(
        [b"<!DOCTYPE html><title>\x1b[2J\xff</title>", b"\xff\xfe\x00", b'{"hist": {"bins": {"content": "\\ud800"}}}']
    ),
    st.sampled_from([b" " * 300_000, b"0" * 5_000, b'{"samples": [5, {"items": [{"run": []}]}]}']),
    st.just(good_body(_ONE)),
    st.binary(max_size=60),
)


def _packed(body: bytes) -> list[bytes]:
    whole = gzip.compress(body, 1)
    return [whole, whole[:-6], whole[: len(whole) // 2], whole + b"more", whole * 2, zlib.compress(body), body]


def _chunked(body: bytes) -> list[bytes]:
    middle = len(body) // 2
    ends = [
        b"0\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"",
        b"-5\r\n",
        b"zz\r\n",
        b"f" * 40 + b"\r\n",
        b"0" * 70_000,
        b"\r\n",
    ]
    begun = b"%x;ext=\x00\r\n%s\r\n%x\r\n%s\r\n" % (middle, body[:middle], len(body) - middle, body[middle:])
    return [begun + end for end in ends]


_BOMB = gzip.compress(b" " * 3_000_000)
_body = st.one_of(
    _bodies,
    _bodies.flatmap(lambda body: st.sampled_from(_packed(body))),
    _bodies.flatmap(lambda body: st.sampled_from(_chunked(body))),
    _bodies.flatmap(lambda body: st.sampled_from(_chunked(gzip.compress(body, 1)))),
    st.sampled_from([_BOMB, gzip.compress(_BOMB)]),
)
_pause = st.sampled_from([0, 0, 0, 0, 0.001, 0.02])
_end = st.sampled_from([End.KEEP, End.KEEP, End.CLOSE, End.CLOSE, End.RESET])


@st.composite
def odd_replies(draw: st.DrawFn) -> OddReply:
    """Whatever a server may send for one request, whole or not, at once or in pieces."""
    line, headers, body = draw(_line), draw(_headers), draw(_body)
    if draw(st.booleans()):
        headers = [*headers, ("Content-Length", str(len(body)))]
    head = "".join([line, "\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"])
    sent = head.encode("latin-1", errors="replace") + body
    if draw(st.integers(0, 5)) == 0:
        sent = sent[: draw(st.integers(0, len(sent)))]
    if draw(st.integers(0, 5)) == 0:
        sent += draw(st.sampled_from([b"\r\n", b"\x00", sent, b"HTTP/1.1 200 OK\r\n\r\n{}"]))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    end = End.STALL if draw(st.integers(0, 40)) == 0 else draw(_end)
    return OddReply(tuple((draw(_pause), piece) for piece in pieces), end)
