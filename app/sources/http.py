"""One GET on a connection of one thread, with all limits that requests itself does not enforce.

Not for retries or parallel requests: see `parallel`.
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

CHUNK = 65_536  # bytes per read at most, and so the most by which a compressed reply can grow unchecked
_NO_REQUEST = (  # raised before anything is sent, because of the URL, never of a reply
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    urllib3.exceptions.LocationValueError,
)
_MAY_HEAL = {408, 425, 429} | set(range(500, 600))


class Failed(Exception):
    """One attempt at a request gave nothing usable.

    Args:
        reason: the kind, as recorded for the missing histogram.
        detail: what happened, as the end of a sentence.
        heals: whether a retry may succeed.
        wait: seconds that the server asks us to wait (Retry-After), if it does.
        timed_out: the attempt timed out.
        unreachable: no connection was made, so the whole server is affected, not this request.
        final: every further request will fail in the same way, unless one has succeeded before.
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
    """One thread's session, which another thread may cut at any time, so that a stalled request ends at once.

    Of the environment only HTTP_PROXY, HTTPS_PROXY and NO_PROXY count, and never for this machine itself. requests'
    `trust_env` is off because it would also send passwords from ~/.netrc, let REQUESTS_CA_BUNDLE replace
    DQM_CA_BUNDLE, and look all of that up for every request. Cookies are not kept. Redirects are not followed: the
    DQM server has none, so a redirect comes from a front end that requires a sign-in.
    """

    def __init__(self, settings: Settings, base_url: str, certificates: Certificates) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._deadline: float | None = None  # of the current request, by time.monotonic
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
            url: what to get.
            limit: largest decompressed body, in bytes. The Content-Length is not trusted.

        Raises:
            Failed: in any other case, whatever exception the reply caused in the libraries below.
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
            except Exception as error:  # odd replies make the libraries raise almost anything
                raise self._late() if self._cut else _failure(error) from error
            if self._cut:  # a body without a length ends where we cut it
                raise self._late()
        _check_not_a_page(body)
        return body

    def cut_if_late(self, now: float) -> None:
        """Cut the current request if its deadline has passed (slowly dripping headers escape all other limits)."""
        with self._lock:
            if self._deadline is not None and now > self._deadline:
                self._cut_locked()

    def end(self) -> None:
        """Cut the current request, if any, and allow no further one. It fails in its own thread."""
        with self._lock:
            self._ended = True
            if self._deadline is not None:
                self._cut_locked()

    def close(self) -> None:
        """Close the connection. Call only from the line's own thread."""
        self._session.close()

    @cached_property
    def _template(self) -> requests.PreparedRequest:
        """Headers and credentials, the same for all requests: preparing them each time would be a third of the cost."""
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
            with contextlib.suppress(OSError):  # already closed
                # the plain socket's shutdown: that of TLS would change an object in use by another thread
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
        """None: even with redirects off, requests would read a redirect's whole body to prepare the next request."""


class _Adapter(HTTPAdapter):
    """For one server. Reports each socket to `opened`; urllib3 does not expose it until the headers have arrived."""

    def __init__(self, opened: Callable[[socket.socket], None]) -> None:
        self._opened = opened
        self._pool: urllib3.HTTPConnectionPool | None = None
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args, **kwargs) -> urllib3.HTTPConnectionPool:
        if self._pool is None:  # always the same server, so no need to look up its pool for each request
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = _telling(pool.ConnectionCls, self._opened)
            self._pool = pool
        return self._pool

    def close(self) -> None:
        """Close the connection now; requests would leave that to the garbage collector."""
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
    """The URL in a form safe to log and show.

    >>> without_password("https://me:secret@dqm.example.org:8443/online")
    'https://dqm.example.org:8443/online'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def proxies_for(url: str) -> dict[str, str]:
    """The HTTP proxies from the environment for this URL; none for this machine itself."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        if ip_address(host).is_loopback:
            return {}
    return {} if host == "localhost" else requests.utils.get_environ_proxies(url)


def retry_after(value: str | None) -> float | None:
    """The seconds requested by a Retry-After header, a number or a date; None if it cannot be parsed.

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
    except (ValueError, OverflowError, TypeError, IndexError):  # odd dates raise all of these
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
    """The target of a redirect, without password and query, which may be private; words if it is not a URL."""
    try:
        target = without_password(urljoin(reply.url, reply.headers["location"]))
    except ValueError:
        return "something that is not a URL"
    return _shown(target.partition("?")[0][:200])


def _shown(text: str) -> str:
    """Text from a reply, safe to log, store and print: on one line, without terminal control characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _check_not_a_page(body: bytes) -> None:
    start = body[:2_000].lstrip().lower()
    if start.startswith(b"<") and (b"<html" in start or b"<!doctype html" in start):
        title = re.search(rb"<title[^>]*>([^<]{1,80})", body[:CHUNK], re.IGNORECASE)
        named = f" ({_shown(title[1].decode(errors='replace'))})" if title else ""
        raise Failed(Reason.REFUSED, f"it answered with a web page{named}, as for a sign-in")


def _failure(error: Exception) -> Failed:
    """Translate an exception of requests, urllib3 or the socket."""
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
    """The error and its causes, outermost first: libraries hide them in `args` and `reason`."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        error = todo.pop(0)
        if id(error) not in seen:
            seen.add(id(error))
            yield error
            inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
            todo += [cause for cause in inner if isinstance(cause, BaseException)]
