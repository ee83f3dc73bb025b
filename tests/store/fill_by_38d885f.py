"""Fills a database by the code of commit 38d885f, in whose tree this is run, and writes down what that code answers.

Arguments: a folder for the answers. The environment names the database and the server.
"""

import json
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, ".")

from app.labelling.events import Seen

import wsgi
from app.accounts import Role

RUNS = (302634, 302635)
FIRST = "chamber-cnn-1"  # the model that shipped then
KINDS = ("runs", "histograms", "scores", "past_scores", "labels", "problems", "models", "thresholds")
ADDRESSES = (
    "/api/v1/runs?sort=number",
    "/api/v1/scores?run=302634&size=100&sort=run",
    "/api/v1/labels?size=100",
    "/api/v1/models",
    "/api/v1/runs/302634/summary",
)


def wait_until(done, seconds=300):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise SystemExit("the old program does not finish")
        time.sleep(0.2)


def answer(driftwatch, person, place, bad, **more):
    item = driftwatch.store.items.get(RUNS[0], place)
    return driftwatch.labelling.submit(person, RUNS[0], place, bad, str(uuid.uuid4()), Seen.of(item), **more).event


def scored_again(driftwatch, run, tries=5):
    """The old program gives a run up at the first slow query or lost lease: ask again, as its expert would."""
    store = driftwatch.store
    for _ in range(tries):
        asked = driftwatch.reevaluate([run], "eva")
        wait_until(lambda: store.reevaluations.opened() is None and not store.jobs.active())
        if store.runs.get(run).model == driftwatch.model and store.past_scores.count_by_model(run):
            return
    raise SystemExit(f"the old program does not score run {run} again: {store.reevaluations.get(asked.id)}")


def main(folder: Path) -> None:
    app = wsgi.create_app()
    driftwatch = app.extensions["driftwatch"]
    for name, role in (("zoe", Role.ADMIN), ("eva", Role.EXPERT), ("ann", Role.SHIFTER), ("bob", Role.SHIFTER)):
        driftwatch.accounts.add(name, role, by="tests")
    driftwatch.start()
    for run in RUNS:
        driftwatch.ask_for_run(run, by="eva")
    idle = lambda: not driftwatch.store.jobs.active()  # noqa: E731
    wait_until(idle)
    places = [item.place for item in driftwatch.store.items.of_run(RUNS[0])[:8]]
    for i, place in enumerate(places[:6]):
        answer(driftwatch, "ann", place, [1] if i % 2 else [], comment=f"label {i}")
    answer(driftwatch, "bob", places[1], [2, 3])  # a second opinion: they differ
    answer(driftwatch, "bob", places[2], [])
    answer(driftwatch, "ann", places[6], [], reason="unclear")
    mine = answer(driftwatch, "ann", places[7], [4])
    driftwatch.labelling.undo("ann", mine.id, str(uuid.uuid4()))
    problem = driftwatch.labelling.problems.add("eva", places[0], [1], "dead cable", since=RUNS[0])
    driftwatch.labelling.problems.add("eva", places[1], [2], "noisy", since=RUNS[0], cells=(3, 5))
    driftwatch.labelling.problems.end("eva", problem.id, RUNS[0])
    driftwatch.explain(RUNS[0], places[1], driftwatch.model, "occlusion", "eva")
    wait_until(idle)
    driftwatch.set_threshold(driftwatch.model, "shifter", 0.4, "fewer calls", "eva")
    driftwatch.activate("row-cnn-1", "eva")
    scored_again(driftwatch, RUNS[0])
    driftwatch.close()
    # What a program leaves that was killed: a run that is asked for, and its job that nobody does.
    app = wsgi.create_app()
    driftwatch = app.extensions["driftwatch"]
    driftwatch.store.runs.request(302640, "eva", 250)
    driftwatch.store.jobs.ask("fetch", 302640, "dqm", "eva")
    said = app.test_client()
    answers = {address: said.get(address).get_json() for address in ADDRESSES}
    explained = driftwatch.influence(RUNS[0], places[1], FIRST, "occlusion")
    answers["influence"] = explained is not None
    (folder / "api.json").write_text(json.dumps(answers))
    for kind in KINDS:
        pieces = driftwatch.exporting.export([kind], "jsonl", "zoe", whole=True).pieces
        (folder / f"{kind}.jsonl").write_bytes(b"".join(pieces))
    driftwatch.close()


main(Path(sys.argv[1]))
