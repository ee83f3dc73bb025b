"""One GET on one thread's own connection, with every limit that requests does not keep by itself.

Not for retries or many requests at once: see `parallel`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import responses
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app.errors import Reason
from app.sources.certificates import Certificates
from config import Settings

log = logging.getLogger(__name__)

CHUNK = 65_536  # bytes; what one read takes at most, and so what a compressed reply can grow by unseen
_NO_REQUEST = (  # raised before anything is sent: by the URL, never by a reply
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    urllib3.exceptions.LocationValueError,
)
_MAY_HEAL = {408, 425, 429} | set(range(500, 600))


class Failed(Exception):
    """One try of one request brought nothing that can be used.

    Args:
        reason: the kind, as a missing histogram is recorded.
        detail: what was seen, as the end of a sentence.
        heals: whether another try can end otherwise.
        wait: seconds that the server asks us to wait (Retry-After), where it does.
        timed_out: the try ended because its time was up.
        unreachable: no connection came about, so the server as a whole is meant, not this request.
        final: every further request will end in the same way, if none has ended otherwise.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        heals: bool = False,
        wait: float | None = None,
        timed_out: bool = False,
        unreachable: bool = False,
        final: bool = False,
    ) -> None:
        self.reason, self.detail, self.heals, self.wait = reason, detail, heals, wait
        self.timed_out, self.unreachable, self.final = timed_out, unreachable, final
        super().__init__(detail)


class Line:
    """One thread's session, which another thread may cut at any time: what stalls then ends at once.

    Of the environment only HTTP_PROXY, HTTPS_PROXY and NO_PROXY count, and never for this machine itself. requests'
    `trust_env` is off, because it would also send passwords from ~/.netrc, and let REQUESTS_CA_BUNDLE stand in for
    DQM_CA_BUNDLE, besides looking all of that up for every request. Cookies are not kept. Redirects are not followed:
    the DQM server has none, so one comes from a front end that wants a sign-in.
    """

    def __init__(self, settings: Settings, base_url: str, certificates: Certificates) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._deadline: float | None = None  # of the request under way, on time.monotonic's clock
        self._cut = self._ended = False
        self._session = _Session()
        self._session.trust_env = False
        self._session.proxies = proxies_for(base_url)
        self._session.verify, self._session.cert = certificates.verify, certificates.cert
        self._session.headers["User-Agent"] = f"Driftwatch {requests.utils.default_user_agent()}"
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter(self._opened)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._base_url = base_url

    def get(self, url: str, limit: int) -> bytes:
        """The body of a reply with status 200, decompressed, its last byte within DQM_READ_TIMEOUT.

        Args:
            url: what to ask for.
            limit: bytes that the decompressed body may have. The Content-Length is not believed.

        Raises:
            Failed: anything else, whatever the reply made the libraries below raise.
        """
        deadline = time.monotonic() + self._settings.dqm_read_timeout
        timeouts = (self._settings.dqm_connect_timeout, self._settings.dqm_read_timeout)
        with self._under_way(deadline):
            try:
                request = self._template.copy()
                request.prepare_url(url, None)
                with self._session.send(request, stream=True, timeout=timeouts, allow_redirects=False) as reply:
                    _check_status(reply)
                    body = self._body(reply, deadline, limit)
            except Failed:
                raise
            except Exception as error:  # odd replies make the libraries raise nearly anything
                raise self._late() if self._cut else _failure(error) from error
            if self._cut:  # a body without a length ends where it was cut
                raise self._late()
        _check_not_a_page(body)
        return body

    def cut_if_late(self, now: float) -> None:
        """Cut the request under way if its deadline has passed (headers that drip escape every other limit)."""
        with self._lock:
            if self._deadline is not None and now > self._deadline:
                self._cut_locked()

    def end(self) -> None:
        """Cut the request under way, if there is one, and allow no other. It fails in its own thread."""
        with self._lock:
            self._ended = True
            if self._deadline is not None:
                self._cut_locked()

    def close(self) -> None:
        """Close the connection. Only for the line's own thread."""
        self._session.close()

    @cached_property
    def _template(self) -> requests.PreparedRequest:
        """Headers and sign-in, the same for every request: preparing them each time would be a third of its cost."""
        return self._session.prepare_request(requests.Request("GET", self._base_url))

    @contextlib.contextmanager
    def _under_way(self, deadline: float) -> Iterator[None]:
        with self._lock:
            if self._ended:
                raise Failed(Reason.NO_ANSWER, "no request is made any more")
            self._deadline, self._cut = deadline, False
        try:
            yield
        finally:
            with self._lock:
                self._deadline = None

    def _opened(self, opened: socket.socket) -> None:
        with self._lock:
            self._socket = opened
            if self._cut:
                self._cut_locked()

    def _cut_locked(self) -> None:
        self._cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # the plain socket's shutdown, not the TLS one's, which would change an object that a thread is using
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _body(self, reply: requests.Response, deadline: float, limit: int) -> bytes:
        body = bytearray()
        while chunk := reply.raw.read1(CHUNK, decode_content=True):
            body += chunk
            if len(body) > limit:
                raise Failed(Reason.TOO_LARGE, f"the reply has more than {limit:,} bytes")
            if time.monotonic() > deadline:
                raise self._late()
        return bytes(body)

    def _late(self) -> Failed:
        seconds = self._settings.dqm_read_timeout
        return Failed(Reason.NO_ANSWER, f"no whole answer within {seconds:g} s", heals=True, timed_out=True)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: even with redirects off, requests would read the whole body of one to prepare the next request."""


class _Adapter(HTTPAdapter):
    """For one server. Tells `opened` of each socket, which urllib3 keeps to itself until the headers have come."""

    def __init__(self, opened: Callable[[socket.socket], None]) -> None:
        self._opened = opened
        self._pool: urllib3.HTTPConnectionPool | None = None
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args, **kwargs) -> urllib3.HTTPConnectionPool:
        if self._pool is None:  # always the same server: no need to look its pool up for each request
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = _telling(pool.ConnectionCls, self._opened)
            self._pool = pool
        return self._pool

    def close(self) -> None:
        """Close the connection now; requests leaves that to the garbage collector."""
        if self._pool is not None:
            self._pool.close()
        super().close()


def _telling(connection_class: type, opened: Callable[[socket.socket], None]) -> type:
    class Telling(connection_class):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    return Telling


def without_password(url: str) -> str:
    """The URL as it may be logged and shown.

    >>> without_password("https://me:secret@dqm.example.org:8443/online")
    'https://dqm.example.org:8443/online'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def proxies_for(url: str) -> dict[str, str]:
    """The HTTP proxies that the environment names for this URL; none for this machine itself."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        if ip_address(host).is_loopback:
            return {}
    return {} if host == "localhost" else requests.utils.get_environ_proxies(url)


def retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for: a number or a date; None where it cannot be understood.

    >>> retry_after("120"), retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), retry_after("soon"), retry_after(None)
    (120.0, 0.0, None, None)
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):  # all of these, for one odd date or another
        return None


def _check_status(reply: requests.Response) -> None:
    status = reply.status_code
    seen = f"{status} {responses.get(status, '')}".rstrip()
    if reply.is_redirect:
        raise Failed(Reason.REFUSED, f"it answered {seen}: a redirect to {_target(reply)}")
    if status in (401, 403, 407):
        raise Failed(Reason.REFUSED, f"it answered {seen}")
    if status in (404, 410):
        raise Failed(Reason.ABSENT, f"it answered {seen}")
    if status in _MAY_HEAL:
        wait = retry_after(reply.headers.get("retry-after"))
        raise Failed(Reason.SERVER_ERROR, f"it answered {seen}", heals=True, wait=wait)
    if status != 200:
        raise Failed(Reason.SERVER_ERROR, f"it answered {seen}")


def _target(reply: requests.Response) -> str:
    """Where a redirect leads, without its password and query, which may be private; words where it is no URL."""
    try:
        target = without_password(urljoin(reply.url, reply.headers["location"]))
    except ValueError:
        return "what is no URL"
    return _shown(target.partition("?")[0][:200])


def _shown(text: str) -> str:
    """Text from a reply as it may be logged, kept and printed: on one line, and with nothing that steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _check_not_a_page(body: bytes) -> None:
    start = body[:2_000].lstrip().lower()
    if start.startswith(b"<") and (b"<html" in start or b"<!doctype html" in start):
        title = re.search(rb"<title[^>]*>([^<]{1,80})", body[:CHUNK], re.IGNORECASE)
        named = f" ({_shown(title[1].decode(errors='replace'))})" if title else ""
        raise Failed(Reason.REFUSED, f"it answered with a web page{named}, as for a sign-in")


def _failure(error: Exception) -> Failed:
    """What an exception of requests, urllib3 or the socket means."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed(
                Reason.NO_ANSWER,
                f"its certificate cannot be verified ({cause.verify_message})",
                final=True,
                unreachable=True,
            )
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            words = cause.reason.partition("ALERT_")[2].replace("_", " ").lower()
            return Failed(Reason.REFUSED, f"it ended the TLS handshake ({words})", final=True, unreachable=True)
        if isinstance(cause, ssl.SSLError) and cause.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return Failed(Reason.NO_ANSWER, "it does not speak TLS; is it http://?", final=True, unreachable=True)
    system = next((c for c in causes if isinstance(c, OSError) and c.errno and c.strerror), None)
    words = f" ({system.strerror.lower()})" if system and system.strerror else ""
    if isinstance(error, requests.ConnectTimeout):
        return Failed(Reason.NO_ANSWER, "no connection in time", heals=True, timed_out=True, unreachable=True)
    if isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        return Failed(Reason.NO_ANSWER, "no answer in time", heals=True, timed_out=True)
    if isinstance(error, urllib3.exceptions.DecodeError):
        return Failed(Reason.NOT_JSON, "the compressed reply is damaged", heals=True)
    if isinstance(error, requests.exceptions.ProxyError):
        return Failed(Reason.NO_ANSWER, f"the HTTP proxy gives no connection{words}", heals=True, unreachable=True)
    if any(isinstance(c, urllib3.exceptions.NewConnectionError) for c in causes):
        return Failed(Reason.NO_ANSWER, f"no connection{words}", heals=True, unreachable=True)
    if isinstance(error, _NO_REQUEST):
        return Failed(Reason.NO_ANSWER, f"the request cannot be made ({error})", final=True, unreachable=True)
    if isinstance(error, (requests.ConnectionError, urllib3.exceptions.HTTPError, OSError)):
        return Failed(Reason.NO_ANSWER, f"the connection broke{words}", heals=True)
    log.warning("a reply that cannot be read", exc_info=error)
    return Failed(Reason.SERVER_ERROR, f"its reply cannot be read ({type(error).__name__})", heals=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it was made of, outermost first: libraries hide causes in `args` and `reason`."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        error = todo.pop(0)
        if id(error) not in seen:
            seen.add(id(error))
            yield error
            inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
            todo += [cause for cause in inner if isinstance(cause, BaseException)]
