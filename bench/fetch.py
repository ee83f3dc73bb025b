"""Bench (a): a whole run of 250 histograms from a local server that takes 50 ms for each.

    .venv/bin/python -m bench.fetch

Two bounds: wall time over the ideal, which is ceil(250 / 16) × 50 ms, at most 1.25; and over the same run with
aiohttp, 16 requests at once, the same parsing and checks, at most 1.1. The two alternate, so that other load affects
both. Medians are compared. The exit status is 1 if a bound does not hold.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import platform
import statistics
import sys
import threading
import time
from multiprocessing.connection import Connection

import aiohttp

from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.sources import dqm
from app.subsystems.dt.sources.demo import DemoOptions, DemoServer
from app.subsystems.dt.sources.jsonfairy import Jsonfairy, decoded
from config import Settings

RUN = 302_635
PARALLEL = 16
LATENCY = 0.05  # seconds
IDEAL = math.ceil(len(all_chambers()) / PARALLEL) * LATENCY
REPETITIONS = 7
OVER_IDEAL, OVER_AIOHTTP = 1.25, 1.1  # the bounds


def main() -> int:
    load = os.getloadavg()[0]
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = here.recv()
    try:
        with_requests(url), run_with_aiohttp(url)  # from here on the server has simulated the run
        times = [(timed(with_requests, url), timed(run_with_aiohttp, url)) for _ in range(REPETITIONS)]
    finally:
        here.send("stop")
        server.join()
    ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} before"
    print(f"{machine}, medians of {REPETITIONS}")
    print(f"ideal      {IDEAL * 1000:7.0f} ms   ceil({len(all_chambers())} / {PARALLEL}) × {LATENCY * 1000:.0f} ms")
    print(f"aiohttp    {theirs * 1000:7.0f} ms   {spread(t for _, t in times)}")
    print(f"Driftwatch {ours * 1000:7.0f} ms   {spread(t for t, _ in times)}")
    held = [
        verdict("Driftwatch / ideal", ours / IDEAL, OVER_IDEAL),
        verdict("Driftwatch / aiohttp", ours / theirs, OVER_AIOHTTP),
    ]
    return 0 if all(held) else 1


def serve(pipe: Connection) -> None:
    """The demonstration server, in a separate process, until told to stop."""
    with DemoServer(DemoOptions(latency=LATENCY)) as server:
        pipe.send(server.url)
        pipe.recv()


def with_requests(url: str) -> None:
    source = Jsonfairy(Settings(dqm_parallel=PARALLEL), url)
    check(dict(source.fetch(RUN, all_chambers(), threading.Event())))
    source.close()


async def with_aiohttp(url: str) -> None:
    async def fetch(session: aiohttp.ClientSession, chamber: Chamber) -> Occupancy:
        async with session.get(f"{url}/jsonfairy/{dqm.histogram_path(RUN, chamber)}") as reply:
            return dqm.occupancy_of(decoded(await reply.read()), chamber)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=PARALLEL)) as session:
        found = await asyncio.gather(*(fetch(session, chamber) for chamber in all_chambers()))
    check(dict(zip(all_chambers(), found, strict=True)))


def run_with_aiohttp(url: str) -> None:
    asyncio.run(with_aiohttp(url))


def check(found: dict[Chamber, object]) -> None:
    """Timing something that failed would be worthless."""
    usable = sum(isinstance(value, Occupancy) for value in found.values())
    if usable != len(all_chambers()):
        raise SystemExit(f"only {usable} of {len(all_chambers())} histograms arrived")


def timed(fetch, url: str) -> float:
    began = time.perf_counter()
    fetch(url)
    return time.perf_counter() - began


def spread(times) -> str:
    times = sorted(times)
    return f"{times[0] * 1000:.0f}–{times[-1] * 1000:.0f} ms"


def verdict(name: str, ratio: float, bound: float) -> bool:
    print(f"{name:20} {ratio:.3f}, at most {bound}: {'PASS' if ratio <= bound else 'FAIL'}")
    return ratio <= bound


if __name__ == "__main__":
    sys.exit(main())
