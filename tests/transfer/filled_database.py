"""A database in which all has happened that can befall runs, chambers and labels, and what of it an export has."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count

from pymongo import MongoClient

from app.domain.judgement import Judgement, Verdict
from app.domain.labels import Seen
from app.domain.origin import Origin, SourceKind
from app.domain.runs import RunState
from app.errors import Reason, UnusableHistogram
from app.subsystems.dt.geometry import all_chambers
from app.subsystems.dt.simulate import simulate_run

RUN = 302635
PLACES = [chamber for chamber in all_chambers() if chamber.station in (2, 4)][:8]
HISTOGRAMS = {place: simulated.occupancy for place, simulated in simulate_run(RUN).items()}
# In no export: who holds a chamber just now, when what follows from the chambers of a run was worked out last, and when
# a server is asked again.
LEFT_OUT = {
    "items": ("held_by", "held_tabs", "held_until", "held_at", "chosen"),
    "runs": ("changed_at", "first_asked_at", "ask_again_at"),
}
# Added under another id, for nothing names them by it.
WITHOUT_ID = ("past_scores", "model_thresholds")
NASTY = '=1+1, "quoted"\r\n−2\n\t@here, \'tis µ\u2028'
FINDING = {
    "kind": "block",
    "layer": 7,
    "cells": [3, 4],
    "text": "cells 3–4 dead",
    "makes_bad": True,
    "factor": 0.1 + 0.2,
}


def judgement(place, worst, seed=0):
    present = {layer.number for layer in place.layers}
    scores = [None if n not in present else 0.01 * n + 0.001 * seed for n in range(1, 13)]
    scores[0] = worst
    verdicts = [Verdict.ABSENT if s is None else Verdict.BAD if s >= 0.5 else Verdict.GOOD for s in scores]
    certainty = min(abs(0.5 - s) for s in scores if s is not None)
    return Judgement(tuple(scores), tuple(verdicts), ("=why",) + ("",) * 11, certainty, b"\x00\x01+seen")


def fill(driftwatch, run=RUN, places=PLACES, text=NASTY):
    """A run with all that can befall its chambers."""
    store, labelling, model = driftwatch.store, driftwatch.labelling, driftwatch.model
    store.runs.request(run, text, len(places), Origin(SourceKind.ROOT, "=a source"))
    gone = UnusableHistogram(Reason.NOT_JSON, f"a reply {text}")
    results = [(place, HISTOGRAMS[place]) for place in places[:-1]]
    store.items.store(run, [*results, (places[-1], gone)], "=a source")
    judged = [(place, judgement(place, 0.5 + 0.01 * i, run % 7), [FINDING]) for i, place in enumerate(places[:-2])]
    store.items.keep_scores(run, judged, model)
    unjudged = Judgement((None,) * 12, (Verdict.UNJUDGED,) * 12, ("too few hits",) * 12, None, None)
    if len(places) > 3:
        store.items.keep_scores(run, [(places[2], unjudged, [])], model)
    keys = (f"key-of-{run}-{i}" for i in count())

    def say(person, place, bad=(), **more):
        seen = Seen.of(store.items.look(run, place))
        return labelling.submit(person, run, place, bad, next(keys), seen, **more).event

    first = say("ann", places[0], [1, 3], comment=text, seconds=1.25)
    say("-bob", places[0], [2], chosen={"strategy": "contamination", "score": 0.3, "layer": 1})
    labelling.undo("-bob", store.labels.of_item(run, places[0])[-1].id, next(keys))
    say("@eve", places[1], reason="unclear", comment="=cmd|' /C calc'!A0")
    undone = say("ann", places[1], [5] if places[1].station != 4 else [9])
    labelling.undo("ann", undone.id, next(keys))
    if len(places) > 3:
        say("ann", places[3])
        store.items.keep_scores(run, [(places[3], judgement(places[3], 0.9), [])], "row-cnn-1")
    facts = driftwatch.scoring.facts(run)
    store.runs.update(run, state=RunState.FINISHED, finished_at=datetime.now(UTC), **facts)
    assert first.comment == text.strip()
    labelling.problems.add("eve", places[0], [1, 2], f"dead {text}"[:400], since=run - 1, cells=(3, 9))
    ended = labelling.problems.add("eve", places[1], [2], "noisy", since=run - 1)
    labelling.problems.end("ann", ended.id, until=run + 1)


def whole(driftwatch):
    """Every document that an export has a part in, by collection."""
    with MongoClient(driftwatch.settings.mongodb_uri, tz_aware=True) as client:
        database = client.get_default_database()
        found = {}
        for name in ("runs", "items", "labels", "problems", "models", "model_evaluations"):
            documents = {d.pop("_id"): d for d in database[name].find()}
            left_out = LEFT_OUT.get(name, ())
            found[name] = {i: {k: v for k, v in d.items() if k not in left_out} for i, d in documents.items()}
        for name in WITHOUT_ID:
            found[name] = {str(sorted(d.items())): d for d in database[name].find({}, {"_id": 0})}
        found["files"] = sorted((f["filename"], f["length"]) for f in database["model_files.files"].find())
        return found
