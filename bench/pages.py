"""Bench (g): every page with 10,000 runs in the database (2.5 million chambers), beside the same page with 100.

    .venv/bin/python -m bench.pages [--runs N] [--times N] [--only TEXT] [--folder FOLDER]

In a separate embedded server, a few simulated runs are fetched, scored, labelled and explained by the program. Two
databases are then filled with copies of them, each with its own number and slightly different certainties: 100 runs and
N, with all indexes. Two applications in this process, one for each, are requested to serve every page in turn, round
after round. Before every fourth round a chamber is labelled and a run gets a new summary, which invalidates everything
cached over all labels, or over all runs. The first answer of each page is shown separately. The bounds are a median of
200 ms and a 95th percentile below 500 ms with N runs, a median of at most 3 times that with 100 runs, and memory that
grows by at most a tenth while the pages are requested; the exit status is 1 if one does not hold. GET addresses that
are not measured are listed with the reason: nothing is omitted silently.

With `--folder` the databases stay there (4 GB for 10,000 runs) and are reused.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from flask import Flask
from flask.testing import FlaskClient
from pymongo import MongoClient
from pymongo.database import Database

from app import create_app
from app.accounts import Role
from app.domain.influence import DEFAULT
from app.domain.labels import Seen
from app.driftwatch import Driftwatch
from app.store.embedded import CACHE_GIGABYTES, EmbeddedMongo
from app.store.item_lists import MOST_PAGED
from app.subsystems.dt.sources.demo import DemoServer
from config import Settings

FEW, MANY, TIMES = 100, 10_000, 20
TEMPLATES = range(302_601, 302_605)  # the simulated runs that are copied
FIRST = 300_000  # the first copy's number
LABELS, SECOND_OPINIONS = 4, 0.25  # labelled chambers per run; the share of them labelled by a second person
PROBLEMS = 12
EXPLAINED = 20  # the newest runs, whose influences are copied too
BEFORE = "row-cnn-1"  # the model that scored the templates first
RESCORED = 1_000  # the newest runs, whose past scores by that model are copied too
AT_ONCE, IN_FLIGHT = 5_000, 2  # documents inserted by one request, and requests
CHANGED = 4  # in one round of so many
MINUTES = 10  # between two runs, and so between their labels
PATIENCE = 600  # seconds to wait for the background
MEDIAN, P95, RATIO, GROWTH = 200, 500, 3.0, 1.1  # the bounds: ms, ms

# Copied for each run, with the fields that differ between copies; everything else is copied once.
VARIED = {
    "items": ("rank", "draw"),
    "labels": ("key", "at"),
    "answers": (),
    "influences": (),
    "past_scores": (),
    "jobs": ("key", "asked_at", "ended_at"),
    "runs": ("requested_at", "started_at", "finished_at", "changed_at", "kept"),
}
NEWEST = {"influences": EXPLAINED, "past_scores": RESCORED}  # only for this many of the newest runs

RUN = "/run/{run}/"
CHAMBER = "/eval/{run}/-1/7/2"
API = "/api/v1"
API_CHAMBER = f"{API}/runs/{{run}}/chambers/-1/7/2"

# The requests: endpoint → addresses. {run} is the newest one, {middle} another, {model} the active model, {deep} the
# last page that can be reached in a long list.
PAGES: Mapping[str, tuple[str, ...]] = {
    "overview.index": ("/",),
    "account.show": ("/account/",),
    "agreement.index": ("/agreement/",),
    "answers.index": ("/agreement/chambers/", "/agreement/chambers/?answers=different&sort=sector&page=2"),
    "chamber.show": (f"{CHAMBER}/", "/eval/{middle}/-1/7/2/"),
    "chamber.picture": (f"{CHAMBER}/occupancy.svg",),
    "chamber.small": (f"{CHAMBER}/small.svg",),
    "chamber.counts": (f"{CHAMBER}/counts.csv",),
    "comparison.show": ("/models/{model}/compare/",),
    "drift.index": ("/drift/", "/drift/?size=100", "/drift/?sort=hits&descending=true&size=100"),
    "drift.picture": ("/drift/stability.svg",),
    "health.healthz": ("/healthz",),
    "label.start": ("/eval/",),
    "label.mine": ("/eval/mine/",),
    "labels.contamination": ("/data/contamination/", "/data/contamination/?sort=layer_score&descending=true&size=100"),
    "labels.new_net_scores": ("/data/new_net_scores/", "/data/new_net_scores/?size=100&page={deep}"),
    "labels.user_scores": ("/data/user_scores/", "/data/user_scores/?sort=wheel&by=ann"),
    "models_page.index": ("/models/",),
    "models_page.show": ("/models/{model}/",),
    "models_page.card": ("/models/{model}/card.md",),
    "problems.index": ("/problems/", "/problems/?run={run}"),
    "problems.form": ("/problems/add?wheel=-1&sector=7&station=2",),
    "progress.index": ("/progress/",),
    "reevaluations.index": ("/reevaluations/",),
    "run_page.index": ("/run/",),
    "run_page.show": (RUN, "/run/{middle}/"),
    "runs.index": ("/fetch/", "/fetch/?size=100&sort=bad_items", "/fetch/?state=finished"),
    "runs.confirm": ("/fetch/{run}/delete",),
    "saliency.newest": ("/saliency/",),
    "saliency.of_run": ("/saliency/{run}/", "/saliency/{middle}/"),
    "saliency.overlay": (f"{CHAMBER}/influence/",),
    "saliency.picture": (f"{CHAMBER}/influence.svg",),
    "saliency.small": (f"{CHAMBER}/influence/small.svg",),
    "saliency.steps": (f"{CHAMBER}/influence/steps",),
    "scores.index": (
        "/data/net_scores/",
        "/data/net_scores/?state=any",
        "/data/net_scores/?sort=score&descending=true&wheel=-1&page=2",
        "/data/net_scores/?size=100&page={deep}",
        "/data/net_scores/?wheel=-1&sector=7&station=2",
        "/data/net_scores/?uncertain=0.3&station=4",
        "/data/net_scores/?run={run}&sort=layer_3",
    ),
    "signin.form": ("/sign-in/",),
    "statistics.index": ("/data/statistics/", "/data/statistics/?by=wheel"),
    "statistics.picture": ("/data/statistics/picture/scores.svg",),
    "transfer.index": ("/data/",),
    "trends.index": ("/trends/", "/trends/?by=kind"),
    "trends.of_chamber": ("/trends/-1/7/2/", "/trends/-1/7/2/?layer=3"),
    "trends.columns": ("/trends/columns.json", "/trends/-1/7/2/columns.json"),
    "trends.picture": ("/trends/picture.svg", "/trends/-1/7/2/picture.svg"),
    "users.index": ("/users/",),
    "api.describe": (f"{API}/openapi.json",),
    "api.drift.list_drift": (f"{API}/drift",),
    "api.label_lists.list_labels": (f"{API}/labels",),
    "api.labelling.list_mine": (f"{API}/labels/mine",),
    "api.models.list_models": (f"{API}/models",),
    "api.reevaluations.list_reevaluations": (f"{API}/reevaluations",),
    "api.runs.list_runs": (f"{API}/runs",),
    "api.scores.list_scores": (f"{API}/scores",),
    "api.chambers.list_scores_by_model": (f"{API_CHAMBER}/scores",),
    "api.models.list_thresholds": (f"{API}/models/{{model}}/thresholds",),
    "api.training.list_trainings": (f"{API}/trainings",),
    "api.chambers.show_chamber": (API_CHAMBER,),
    "api.influence.show_influence": (f"{API_CHAMBER}/influence",),
    "api.influence.influence_csv": (f"{API_CHAMBER}/influence.csv",),
    "api.models.show_model": (f"{API}/models/{{model}}",),
    "api.evaluation.show_evaluation": (f"{API}/models/{{model}}/evaluation",),
    "api.runs.show_run": (f"{API}/runs/{{run}}",),
    "api.runs.show_run_summary": (f"{API}/runs/{{run}}/summary",),
}

_FILE = "a file as long as what it lists; it is sent while it is read"
_TRAINED = "no model was trained or compared here"
LEFT_OUT: Mapping[str, str] = {
    "agreement.table": _FILE,
    "answers.table": _FILE,
    "api.transfer.export": _FILE,
    "api.transfer.good_runs": _FILE,
    "api.label_lists.labels_csv": _FILE,
    "drift.drift_file": _FILE,
    "labels.contamination_file": _FILE,
    "labels.new_net_scores_file": _FILE,
    "labels.user_scores_file": _FILE,
    "problems.problems_file": _FILE,
    "scores.scores_file": _FILE,
    "statistics.table": _FILE,
    "transfer.export": _FILE,
    "transfer.good_runs": _FILE,
    "trends.rows": _FILE,
    "api.models.show_comparison": _TRAINED,
    "api.training.show_training": _TRAINED,
    "comparison.figures": _TRAINED,
    "comparison.picture": _TRAINED,
    "models_page.figures": _TRAINED,
    "models_page.picture": _TRAINED,
    "threshold_curve.curve": _TRAINED,
    "trainings.show": _TRAINED,
    "api.nothing_here": "there is nothing",
    "api.reevaluations.show_reevaluation": "one document by its id",
    "problems.ask_end": "one document by its id",
    "item.find": "only leads to another page",
    "chamber.load": "only leads to another page",
    "models_page.after_mistake": "only leads to another page",
    "trainings.after_mistake": "only leads to another page",
    "training_labels.count": "reads every label once after each new one, for an expert who is about to train",
    "trends.choose": "only leads to another page",
    "signin.link": "used once by every account",
    "static": "no page",
    "transfer.show": "only while a file is being imported",
}


def main() -> int:
    args = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        server = EmbeddedMongo(folder)
        uri = server.join().removesuffix("driftwatch")
        try:
            if not is_made(uri, "templates"):
                make_templates(f"{uri}templates", folder)
                note_made(uri, "templates")
            apps = [filled(uri, count, folder) for count in (FEW, args.runs)]
            held = measured(apps, (FEW, args.runs), args)
            for app in apps:
                app.extensions["driftwatch"].close()
        finally:
            server.leave()
    return 0 if held else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Every page with 100 runs and with many.")
    parser.add_argument("--runs", type=int, default=MANY, help="how many are many")
    parser.add_argument("--times", type=int, default=TIMES, help="how often each page is asked for")
    parser.add_argument("--folder", type=Path, help="where the databases stay")
    parser.add_argument("--only", default="", help="only pages with this in their address")
    return parser.parse_args()


# --- the databases ---


def make_templates(uri: str, folder: Path) -> None:
    """A few runs, fetched, scored, labelled and explained by the program itself."""
    begin = time.perf_counter()
    with DemoServer() as demo:
        settings = Settings(mongodb_uri=uri, data_dir=folder, dqm_url=demo.url, second_opinions=SECOND_OPINIONS)
        driftwatch: Driftwatch = create_app(settings).extensions["driftwatch"]
        for name, role in {"bench": Role.ADMIN, "ann": Role.SHIFTER, "bob": Role.SHIFTER}.items():
            driftwatch.accounts.add(name, role, by="bench")
        for place in driftwatch.subsystem.places()[:: 250 // PROBLEMS]:
            part = next(iter(driftwatch.subsystem.parts(place)))
            driftwatch.labelling.problems.add("ann", place, [part], "a dead board", since=1)
        active = driftwatch.model
        driftwatch.activate(BEFORE, by="bench")
        driftwatch.start()
        for number in TEMPLATES:
            driftwatch.ask_for_run(number, by="bench")
        _wait(driftwatch)
        driftwatch.activate(active, by="bench")
        driftwatch.reevaluate(None, by="bench")
        _wait(driftwatch)
        for number in TEMPLATES:
            label(driftwatch, number)
        driftwatch.explain(TEMPLATES[0], None, driftwatch.model, DEFAULT, "bench")
        driftwatch.drifts.ask(by="bench")
        _wait(driftwatch)
        driftwatch.close()
    print(f"{len(TEMPLATES)} runs made in {time.perf_counter() - begin:.0f} s")


def _wait(driftwatch: Driftwatch) -> None:
    deadline = time.monotonic() + PATIENCE
    while driftwatch.store.jobs.active():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the background was not done after {PATIENCE} s")
        time.sleep(0.1)


def label(driftwatch: Driftwatch, number: int) -> None:
    """Labels of a run's least certain chambers; second opinions differ now and then."""
    items = [item for item in driftwatch.store.items.of_run(number) if item.judgement and item.judgement.certainty]
    items.sort(key=lambda item: item.judgement.certainty)
    for i, item in enumerate(items[:LABELS]):
        bad = sorted(item.bad_parts)
        submit(driftwatch, "ann", item, bad)
        item = driftwatch.store.items.look(number, item.place)
        if item.waiting:
            submit(driftwatch, "bob", item, [] if i == 0 else bad)


def submit(driftwatch: Driftwatch, person: str, item: Any, bad: list[int]) -> None:
    key = f"{person}-{item.run}-{item.place.wheel}-{item.place.sector}-{item.place.station}"
    driftwatch.labelling.submit(person, item.run, item.place, bad, key, Seen.of(item))


def filled(uri: str, count: int, folder: Path) -> Flask:
    """An application on a database with this many runs."""
    name = f"runs_{count}"
    settings = Settings(mongodb_uri=f"{uri}{name}", data_dir=folder, second_opinions=SECOND_OPINIONS)
    app, begin = create_app(settings), time.perf_counter()
    if is_made(uri, name):
        return app
    with MongoClient(uri, tz_aware=True) as client, hurrying(client):
        made, database = client["templates"], client[name]
        for collection in sorted(set(made.list_collection_names()) - set(VARIED)):
            if documents := list(made[collection].find()):
                database[collection].insert_many(documents)
        for collection in VARIED:
            insert(database, collection, copies(made, collection, count))
        inserted = time.perf_counter() - begin
        app.extensions["driftwatch"].store.ping()  # makes the indexes
        size = database.command("dbStats", scale=1_000_000)
    print(
        f"{count:,} runs: inserted in {inserted:.0f} s, all in {time.perf_counter() - begin:.0f} s; "
        f"{size['storageSize']:,.0f} MB and {size['indexSize']:,.0f} MB of indexes",
        flush=True,
    )
    note_made(uri, name)
    return app


def is_made(uri: str, name: str) -> bool:
    """Whether a complete database is already there; an incomplete one is removed."""
    with MongoClient(uri) as client:
        if client["made"]["databases"].find_one({"_id": name}) is None:
            client.drop_database(name)
            return False
    return True


def note_made(uri: str, name: str) -> None:
    with MongoClient(uri) as client:
        client["made"]["databases"].insert_one({"_id": name})


@contextmanager
def hurrying(client: MongoClient) -> Iterator[None]:
    """Give the server more memory for inserting and indexing; restore it afterwards."""
    names = ("wiredTigerEngineRuntimeConfig", "maxIndexBuildMemoryUsageMegabytes", "journalCommitInterval")
    before = {name: client.admin.command("getParameter", 1, **{name: 1})[name] for name in names[1:]}
    before[names[0]] = f"cache_size={round(CACHE_GIGABYTES * 1024)}M"
    for name, value in zip(names, ("cache_size=4G", 2_000, 500), strict=True):
        client.admin.command("setParameter", 1, **{name: value})
    yield
    for name, value in before.items():
        client.admin.command("setParameter", 1, **{name: value})


def insert(database: Database, collection: str, documents: Iterator[RawBSONDocument]) -> None:
    """Insert documents, some in flight while the next are made."""
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        while batch := list(islice(documents, AT_ONCE)):
            waiting.append(pool.submit(database[collection].insert_many, batch, ordered=False))
            if len(waiting) > IN_FLIGHT:
                waiting.popleft().result()
        for inserted in waiting:
            inserted.result()


def copies(made: Database, collection: str, count: int) -> Iterator[RawBSONDocument]:
    """The documents of this many runs, each copied from one of the templates."""
    draw, now = random.Random(count), datetime.now(UTC)
    number = "_id" if collection == "runs" else "run"
    templates: dict[int, list[tuple[dict[str, Any], bytes]]] = {run: [] for run in TEMPLATES}
    for document in made[collection].find({number: {"$in": list(TEMPLATES)}}):
        run = document.pop(number)
        document.pop("_id", None)
        varied = {name: document.pop(name) for name in VARIED[collection] if name in document}
        templates[run].append((varied, bson.encode(document)))
    for i in range(count):
        # The newest run is a copy of the first template, the one that is explained.
        template, copy = TEMPLATES[(count - 1 - i) % len(TEMPLATES)], FIRST + i
        if i < count - NEWEST.get(collection, count):
            continue
        at = now - timedelta(minutes=MINUTES * (count - 1 - i))
        for varied, rest in templates[template]:
            fields: dict[str, Any] = {number: copy}
            for name, value in varied.items():
                if isinstance(value, datetime):
                    fields[name] = at
                elif isinstance(value, str):
                    fields[name] = value.replace(str(template), str(copy))
                elif name == "kept":
                    fields[name] = value if i >= count - RESCORED else []
                elif name == "draw":
                    fields[name] = draw.random()
                else:  # a rank: above 0.5 it is not a certainty
                    fields[name] = value * (1 - 0.01 * draw.random()) if value < 0.5 else value
            yield RawBSONDocument(joined(bson.encode(fields), rest))


def joined(first: bytes, rest: bytes) -> bytes:
    """One BSON document with the fields of two: encoding 2.5 million of them again would take most of an hour."""
    body = first[4:-1] + rest[4:]
    return (len(body) + 4).to_bytes(4, "little") + body


# --- the pages ---


def measured(apps: Sequence[Flask], counts: Sequence[int], args: argparse.Namespace) -> bool:
    """Request every page in turn and print its times; returns whether all bounds hold."""
    complain_of_forgotten(apps[0])
    clients = [signed_in(app) for app in apps]
    pages = [page for addresses in PAGES.values() for page in addresses if args.only in page]
    print(
        f"\n{'ms':4}  {'first':>7} {'median':>7} {'95 %':>7} {f'of {counts[0]:,}':>8} {'ratio':>6}  {counts[1]:,} runs"
    )
    first = {page: [ask(*one, page) for one in zip(clients, counts, strict=True)] for page in pages}
    before = memory()
    times: dict[str, list[list[float]]] = {page: [[], []] for page in pages}
    for i in range(args.times):
        if i % CHANGED == 0:
            for app, count in zip(apps, counts, strict=True):
                change(app.extensions["driftwatch"], count, i)
        for page in pages:
            for client, count, taken in zip(clients, counts, times[page], strict=True):
                taken.append(ask(client, count, page))
        print(f"round {i + 1}: {memory():,.0f} MB", file=sys.stderr)
    held = [judged(page, first[page][1], *times[page]) for page in pages]
    grown = memory() / before
    print(f"{sum(held)} of {len(held)} pages within {MEDIAN} ms, {P95} ms and a ratio of {RATIO:g}")
    verdict = "PASS" if grown <= GROWTH else "FAIL"
    print(f"{verdict}  memory {before:,.0f} MB, then {grown:.2f} times as much, at most {GROWTH}")
    for endpoint, why in LEFT_OUT.items():
        print(f"left out: {endpoint} ({why})")
    return all(held) and grown <= GROWTH


def change(driftwatch: Driftwatch, count: int, i: int) -> None:
    """Ordinary activity: somebody labels a chamber, and a run gets a new summary.

    This invalidates everything cached over all labels or all runs.
    """
    number = FIRST + count - 2 - i
    item = next(item for item in driftwatch.store.items.of_run(number) if item.waiting and item.judgement)
    submit(driftwatch, "ann", item, sorted(item.bad_parts))
    tally = driftwatch.store.items.tally(number)
    counts, reasons = tally.counts, tally.reasons
    driftwatch.store.runs.update(number, summary=counts, reasons=reasons)


def complain_of_forgotten(app: Flask) -> None:
    """Raises ValueError if a GET address is neither measured nor excluded."""
    known = {rule.endpoint for rule in app.url_map.iter_rules() if "GET" in rule.methods}
    if different := known ^ (PAGES.keys() | LEFT_OUT.keys()):
        raise ValueError(f"neither asked for nor left out, or not there: {', '.join(sorted(different))}")


def signed_in(app: Flask) -> FlaskClient:
    driftwatch, client = app.extensions["driftwatch"], app.test_client()
    answer = client.post(f"/sign-in/link/{driftwatch.accounts.new_link('bench', by='bench')}")
    if answer.status_code != 303:
        raise RuntimeError(f"signing in answered {answer.status}")
    return client


def ask(client: FlaskClient, count: int, page: str) -> float:
    """Milliseconds for one page, to its last byte; infinite if it fails, for example on a timeout of the database.

    Raises:
        RuntimeError: it is not there.
    """
    model = client.application.extensions["driftwatch"].model
    address = page.format(run=FIRST + count - 1, middle=FIRST + count // 2, model=model, deep=MOST_PAGED // 100)
    begin = time.perf_counter()
    answer = client.get(address)
    taken = (time.perf_counter() - begin) * 1000
    if answer.status_code >= 500:
        return math.inf
    if answer.status_code not in (200, 302, 303):
        raise RuntimeError(f"{address} answered {answer.status}")
    return taken


def judged(page: str, first: float, few: list[float], many: list[float]) -> bool:
    """Print a page's figures; returns whether its bounds hold."""
    median, before = statistics.median(many), statistics.median(few)
    p95, ratio = statistics.quantiles(many, n=20, method="inclusive")[-1], median / before
    held = median <= MEDIAN and p95 <= P95 and ratio <= RATIO
    verdict = "PASS" if held else "FAIL"
    print(f"{verdict}  {first:7.1f} {median:7.1f} {p95:7.1f} {before:8.1f} {ratio:6.2f}  {page}")
    return held


def memory() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    sys.exit(main())
