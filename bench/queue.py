"""Bench (e): how long it takes to get the next chamber to label, with 10,000 chambers in the database and a million.

    .venv/bin/python -m bench.queue [CHAMBERS]

A separate embedded server has two databases of synthetic chambers without histograms, the least certain twentieth of
them labelled. Each strategy, and the limits to one run and one wheel, are requested alternately from the two. Two times
are taken: that of the atomic update that finds and leases the chamber, and that of the whole `Labelling.claim`
(including its explanation, for which it counts to 10,000). The bounds: with a million chambers the update takes at most
1.5 times as long as with 10,000, and reads at most 20 index keys each. Medians are compared; the exit status is 1 if a
bound does not hold.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymongo import MongoClient

from app.domain.strategies import Strategy
from app.driftwatch import Driftwatch
from app.ml.models import default_model
from app.store.embedded import EmbeddedMongo
from app.store.item_documents import FREE
from app.store.queue import Holder, Order, QueueFilter
from app.subsystems.dt.geometry import Chamber, all_chambers
from config import ROOT, Settings

FEW, MANY = 10_000, 1_000_000
REPETITIONS = 100
AT_ONCE = 10_000  # documents inserted
LABELLED = 0.05  # of all, the least certain
SLOWER, KEYS = 1.5, 20  # the bounds
PERSON = "bench"

UPDATES = {
    "least certain": (Order.RANK, {}),
    "random": (Order.DRAW, {}),
    "highest score": (Order.WORST, {}),
    "contamination": (Order.CONTAMINATION, {"labelled": True}),
    "least certain, one run": (Order.RANK, {"run": 300_010}),
    "least certain, one wheel": (Order.RANK, {"first_key": 1}),
}


def main() -> int:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedMongo(Path(folder))
        uri = server.join().removesuffix("driftwatch")
        made = [filled(f"{uri}chambers_{count}", count, Path(folder)) for count in (FEW, many)]
        print(f"{'one update':32} {FEW:>10,} {many:>10,}")
        held = []
        for name, (order, limits) in UPDATES.items():
            held.append(compared(name, *made, partial(update, order=order, limits=limits), True))
        print("all that a claim does:")
        for strategy in Strategy:
            compared(str(strategy), *made, partial(claim, strategy=strategy), False)
        for name, (order, limits) in UPDATES.items():
            keys = examined(made[1], order, limits)
            held.append(keys <= (250 if "run" in limits else KEYS))
            print(f"{'PASS' if held[-1] else 'FAIL'}  {name}: {keys} index keys read of {many:,} chambers")
        for driftwatch in made:
            driftwatch.close()
        server.leave()
    return 0 if all(held) else 1


def filled(uri: str, count: int, folder: Path) -> Driftwatch:
    """A database with this many chambers."""
    begin = time.perf_counter()
    with MongoClient(uri) as client:
        items, batch = client.get_default_database()["items"], []
        # Fields of the documents that follow from no label here are not recomputed.
        client.get_default_database()["upgrades"].insert_one({"_id": "contamination"})
        for document in documents(count):
            batch.append(document)
            if len(batch) == AT_ONCE:
                items.insert_many(batch, ordered=False)
                batch = []
        if batch:
            items.insert_many(batch, ordered=False)
        driftwatch = Driftwatch(Settings(mongodb_uri=uri, data_dir=folder, control_share=0))
        driftwatch.store.ping()  # makes the indexes
        size = client.get_default_database().command("collStats", "items")
    seconds = time.perf_counter() - begin
    print(
        f"{count:,} chambers made in {seconds:.0f} s; {size['totalIndexSize'] / count:.0f} bytes of indexes a chamber"
    )
    return driftwatch


def documents(count: int) -> Iterator[dict[str, Any]]:
    draw, chambers, model = random.Random(count), all_chambers(), default_model(ROOT / "models").name
    embeddings = np.random.default_rng(count).random((100, 32)).astype(np.float16)
    for i in range(count):
        chamber: Chamber = chambers[i % len(chambers)]
        rank = 0.5 * draw.random()
        labelled = rank < 0.5 * LABELLED
        yield {
            "run": 300_000 + i // len(chambers),
            "subsystem": "dt",
            "wheel": chamber.wheel,
            "station": chamber.station,
            "sector": chamber.sector,
            "state": "judged",
            "model": model,
            "rank": rank,
            "worst": 0.5 + rank,
            "scores": [0.5 + rank] + [0.0] * 11,
            "verdicts": ["good"] * 12,
            "reasons": [""] * 12,
            "bad": 0,
            "embedding": embeddings[i % 100].tobytes(),
            "draw": draw.random(),
            "waiting": not labelled,
            "labelled": labelled,
            "recheck": labelled,
            "held_until": FREE,
            "known": False,
            "scored_at": datetime.now(UTC),
        } | ({"contamination": draw.random(), "contaminated": 1} if labelled else {})


def update(driftwatch: Driftwatch, order: Order, limits: dict[str, Any]) -> float:
    """Seconds to take one; it is released again."""
    wanted = QueueFilter(driftwatch.model, **limits)
    also = {"draw": {"$gte": random.random() * 0.9}} if order is Order.DRAW else None
    begin = time.perf_counter()
    item = driftwatch.store.queue.take(Holder(PERSON), wanted, order, {}, also)
    seconds = time.perf_counter() - begin
    driftwatch.labelling.release(PERSON, [(item.run, item.place)])
    return seconds


def claim(driftwatch: Driftwatch, strategy: Strategy) -> float:
    """The same for a whole claim."""
    begin = time.perf_counter()
    claimed = driftwatch.labelling.claim(PERSON, strategy)
    seconds = time.perf_counter() - begin
    driftwatch.labelling.release(PERSON, [(claimed.item.run, claimed.item.place)])
    return seconds


def compared(
    name: str, few: Driftwatch, many: Driftwatch, timed: Callable[[Driftwatch], float], has_bound: bool
) -> bool:
    """Time both alternately; returns whether the bound holds."""
    times = {driftwatch: [] for driftwatch in (few, many)}
    for _ in range(REPETITIONS):
        for driftwatch, seconds in times.items():
            seconds.append(timed(driftwatch))
    first, second = (statistics.median(seconds) * 1000 for seconds in times.values())
    held = not has_bound or second / first <= SLOWER
    verdict = ("PASS  " if held else "FAIL  ") if has_bound else "      "
    bound = f", at most {SLOWER}" if has_bound else ""
    print(f"{verdict}{name:26} {first:7.2f} ms {second:7.2f} ms   ratio {second / first:.2f}{bound}")
    return held


def examined(driftwatch: Driftwatch, order: Order, limits: dict[str, Any]) -> int:
    """Index keys read to find the next one."""
    queue, wanted = driftwatch.store.queue, QueueFilter(driftwatch.model, **limits)
    found = queue._collection.find(queue._free(PERSON, wanted, datetime.now(UTC), order)).sort(*order.value)
    explained = found.hint(queue._index(wanted, order)).limit(1).explain()
    return explained["executionStats"]["totalKeysExamined"]


if __name__ == "__main__":
    sys.exit(main())
