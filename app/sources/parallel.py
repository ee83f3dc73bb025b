"""Many GETs from one server, a bounded number in parallel, with retries, a common deadline and rules for giving up.

It knows nothing of histograms: the caller's `read` interprets replies. Single requests are the business of `http`.
"""

from __future__ import annotations

import itertools
import logging
import queue
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.errors import Reason, SourceDown, UnusableHistogram
from app.sources.certificates import Certificates
from app.sources.http import Failed, Line, without_password
from config import Settings

log = logging.getLogger(__name__)

TICK = 0.1  # seconds between two checks of the clock and of `stop`
LONGEST_BACKOFF = 60.0  # seconds; a server that takes longer is down
TRIES_TIMED_OUT = 2  # per request: each costs DQM_READ_TIMEOUT, and a stalled server would cost minutes
FIRST_FAILURES = 5  # consecutive requests that failed for good before any answer: the server is down
LATER_FAILURES = 16  # the same after an answer: as many as run in parallel
FIRST_REFUSALS = 3  # answers that require a sign-in, before any other: access is denied

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Raised = TypeVar("Raised", bound=Exception)


class Server:
    """One DQM server as used by this process: at most `dqm_parallel` requests at once over all callers."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.url = url
        self.name = without_password(url)
        self.settings = settings
        self._slots = threading.BoundedSemaphore(settings.dqm_parallel)
        self._closed = threading.Event()

    def get_each(
        self,
        urls: Mapping[Key, str],
        read: Callable[[Key, bytes], Value],
        stop: threading.Event,
        limit: int | None = None,
    ) -> Iterator[tuple[Key, Value | UnusableHistogram]]:
        """Get every URL and yield what `read` makes of its reply, in order of arrival, each key once.

        Args:
            urls: what to get.
            read: converts a reply; raises UnusableHistogram if it cannot (only NOT_JSON is retried), or Failed if the
                reply reports a failure.
            stop: ends the iteration, without error, within about a second.
            limit: largest reply in bytes; DQM_MAX_REPLY_BYTES if not given.

        Raises:
            SourceDown: further requests are pointless; see `_Patience`. What had arrived was yielded before.
        """
        if self._closed.is_set():
            raise RuntimeError("this server's client was closed")
        if not urls:
            return
        certificates = Certificates.of(self.settings, self.url)
        certificates.check()
        work = _Work(self, certificates, urls, read, limit or self.settings.dqm_max_reply_bytes)
        with work.running():
            yield from work.outcomes(lambda: stop.is_set() or self._closed.is_set())

    def close(self) -> None:
        """Abort all requests, as `stop` does; no further ones are possible."""
        self._closed.set()

    @contextmanager
    def slot(self, over: threading.Event) -> Iterator[bool]:
        """Wait for a free slot to send one request; False if `over` was set first."""
        while not (given := self._slots.acquire(timeout=TICK)) and not over.is_set():
            pass
        try:
            yield given and not over.is_set()
        finally:
            if given:
                self._slots.release()


class _Work(Generic[Key, Value]):
    """One call of `get_each`: worker threads fill a queue; the caller's thread empties it and supervises."""

    def __init__(
        self,
        server: Server,
        certificates: Certificates,
        urls: Mapping[Key, str],
        read: Callable[[Key, bytes], Value],
        limit: int,
    ) -> None:
        self._server, self._settings, self._certificates = server, server.settings, certificates
        self._read, self._limit = read, limit
        self._todo = deque(urls.items())
        self._missing = dict.fromkeys(urls)
        self._arrived: queue.SimpleQueue = queue.SimpleQueue()
        self._over = threading.Event()
        self._lines: list[Line] = []
        self._workers: list[Future] = []
        self._began = time.monotonic()
        self._deadline = self._began + self._settings.dqm_run_deadline
        self._tally: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the workers inside the block. No request is in progress afterwards.

        A thread inside a TCP connect or a name look-up, which cannot be interrupted, ends by itself within
        DQM_CONNECT_TIMEOUT, and holds nothing but its slot until then.
        """
        threads = min(self._settings.dqm_parallel, len(self._todo))
        pool = ThreadPoolExecutor(threads, thread_name_prefix="dqm")
        asked = len(self._todo)
        try:
            self._workers = [pool.submit(self._work) for _ in range(threads)]
            yield
        finally:
            self._over.set()
            for line in tuple(self._lines):
                line.end()
            pool.shutdown(wait=False, cancel_futures=True)
            stuck = wait(self._workers, timeout=0.5).not_done
            pool.shutdown(wait=not stuck)
            kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self._tally.items()))
            seconds = time.monotonic() - self._began
            log.info("%s: %d requested, %.2f s: %s", self._server.name, asked, seconds, kinds or "nothing arrived")

    def outcomes(self, stopped: Callable[[], bool]) -> Iterator[tuple[Key, Value | UnusableHistogram]]:
        patience = _Patience(self._server, self._certificates, len(self._missing))
        looked = self._began
        while self._missing and not stopped():
            try:
                key, outcome = self._arrived.get(timeout=TICK)
            except queue.Empty:
                pass  # nothing yet: time to check the clock
            else:
                yield self._yielded(key, outcome)
                if patience.is_over(outcome):
                    yield from self._rest()
                    raise patience.verdict()
            if (now := time.monotonic()) - looked >= TICK:
                looked = now
                self._raise_from_workers()
                for line in tuple(self._lines):
                    line.cut_if_late(now)
                if now >= self._deadline:
                    yield from self._rest()
                    yield from self._late()

    def _yielded(
        self, key: Key, outcome: Value | UnusableHistogram | _Exhausted
    ) -> tuple[Key, Value | UnusableHistogram]:
        del self._missing[key]
        if isinstance(outcome, _Exhausted):
            outcome = outcome.as_missing()
        self._tally[outcome.reason if isinstance(outcome, UnusableHistogram) else "good"] += 1
        return key, outcome

    def _rest(self) -> Iterator[tuple[Key, Value | UnusableHistogram]]:
        """What has arrived so far; starts nothing new."""
        self._over.set()
        while not self._arrived.empty():
            yield self._yielded(*self._arrived.get())

    def _late(self) -> Iterator[tuple[Key, Value | UnusableHistogram]]:
        seconds = self._settings.dqm_run_deadline
        for key in list(self._missing):
            yield self._yielded(key, UnusableHistogram(Reason.DEADLINE, f"not arrived within {seconds:g} s"))

    def _raise_from_workers(self) -> None:
        for worker in self._workers:
            if worker.done():
                worker.result()  # re-raises what ended a worker: a mistake of ours, never the server's

    def _work(self) -> None:
        line = Line(self._settings, self._server.url, self._certificates)
        self._lines.append(line)
        try:
            while not self._is_over():
                try:
                    key, url = self._todo.popleft()
                except IndexError:
                    return
                outcome = self._outcome(line, key, url)
                if not self._is_over():  # otherwise it results from our own cut
                    self._arrived.put((key, outcome))
        finally:
            line.close()

    def _is_over(self) -> bool:
        return self._over.is_set() or time.monotonic() >= self._deadline

    def _outcome(self, line: Line, key: Key, url: str) -> Value | UnusableHistogram | _Exhausted | None:
        """The outcome of one request after all its tries; None if all was over before."""
        timed_out = 0
        for tries in itertools.count(1):
            try:
                with self._server.slot(self._over) as given:
                    if not given:
                        return None
                    body = line.get(url, self._limit)
                return self._read(key, body)
            except Failed as error:
                failed = _bare(error)
            except UnusableHistogram as error:
                if error.reason != Reason.NOT_JSON:
                    return _bare(error)
                failed = Failed(error.reason, error.detail, heals=True)
            timed_out += failed.timed_out
            if not failed.heals or tries > self._settings.dqm_retries or timed_out == TRIES_TIMED_OUT:
                return _Exhausted(failed, tries)
            seconds = pause(self._settings, tries, failed.wait)
            log.debug("%s: %s; try %d follows in %.2f s", without_password(url), failed.detail, tries + 1, seconds)
            if self._over.wait(seconds):
                return None
        raise AssertionError("unreachable: the tries are bounded")


@dataclass(frozen=True)
class _Exhausted:
    """A request that failed for good, and the number of its tries."""

    failed: Failed
    tries: int

    def as_missing(self) -> UnusableHistogram:
        again = f", {self.tries} times" if self.tries > 1 else ""
        return UnusableHistogram(self.failed.reason, f"{self.failed.detail}{again}")


def _bare(error: Raised) -> Raised:
    """The error without traceback and causes, which would keep the whole reply and its connection in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class _Patience:
    """Decides when a server is down, from what has arrived so far.

    - At once, if nothing was ever answered and either every request must fail alike (its certificate cannot be
      verified, it ends the TLS handshake) or all tries of a request found no connection.
    - If the first answers require a sign-in: at the third, or when everything requested is refused.
    - Otherwise after FIRST_FAILURES consecutive requests that failed for good, or LATER_FAILURES once one was
      answered. "Absent" and unusable histograms count as answers.
    """

    def __init__(self, server: Server, certificates: Certificates, asked: int) -> None:
        self._server, self._certificates, self._asked = server, certificates, asked
        self._answered = False
        self._in_succession: list[_Exhausted] = []

    def is_over(self, outcome: object) -> bool:
        if not isinstance(outcome, _Exhausted) or outcome.failed.reason in {Reason.ABSENT, Reason.TOO_LARGE}:
            self._answered = True
            self._in_succession.clear()
            return False
        self._in_succession.append(outcome)
        failed = outcome.failed
        if self._answered:
            return len(self._in_succession) >= LATER_FAILURES
        if failed.final or failed.unreachable:
            return True
        refused = sum(one.failed.reason == Reason.REFUSED for one in self._in_succession)
        return refused >= min(FIRST_REFUSALS, self._asked) or len(self._in_succession) >= FIRST_FAILURES

    def verdict(self) -> SourceDown:
        """One sentence for the user: what was tried, what came back, what to do."""
        last, count = self._in_succession[-1], len(self._in_succession)
        failed = last.failed
        reason = Reason.SERVER_ERROR if failed.reason == Reason.NOT_JSON else failed.reason
        does = {Reason.REFUSED: "refuses", Reason.SERVER_ERROR: "fails", Reason.NO_ANSWER: "does not answer"}[reason]
        tries = f"tried {last.tries} times" if last.tries > 1 else ""
        requests = f"{count} consecutive requests" if count > 1 else ""
        evidence = ", ".join(filter(None, (requests, tries)))
        seen = f"{failed.detail} ({evidence})" if evidence else failed.detail
        return SourceDown(reason, f"{self._server.name} {does}: {seen}; {self._advice(failed)}.")

    def _advice(self, failed: Failed) -> str:
        shown = self._certificates.certificate
        if "cannot be verified" in failed.detail:
            return "set DQM_CA_BUNDLE to a PEM file of the authority that signed it, or to a folder with such a file"
        if failed.reason == Reason.REFUSED and shown:
            return f"the client certificate in {shown} was used: renew it, or request access"
        if failed.reason == Reason.REFUSED:
            return "a client certificate is needed: set DQM_CERT and DQM_KEY, or DQM_PROXY"
        if failed.unreachable:
            return "check DQM_URL, the network, and whether the server is up"
        return "try again when it has recovered"


def pause(settings: Settings, tries: int, wanted: float | None = None) -> float:
    """Seconds to wait after a number of tries: exponential backoff with full jitter, or what the server asks for.

    Full jitter (uniform between 0 and the backoff) keeps 16 threads that failed together from retrying together:
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    >>> settings = Settings(dqm_backoff=0.5, dqm_retry_after_max=30)
    >>> 0 <= pause(settings, tries=3) <= 2
    True
    >>> 30 <= pause(settings, tries=1, wanted=3600) <= 30.5
    True
    """
    backoff = random.uniform(0, min(settings.dqm_backoff * 2.0 ** (tries - 1), LONGEST_BACKOFF))
    return backoff if wanted is None else min(wanted, settings.dqm_retry_after_max) + min(backoff, settings.dqm_backoff)
