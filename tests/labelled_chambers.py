"""Runs of simulated chambers, many of them bad, that people labelled as the simulator made them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import cache

import numpy as np

from app.domain.judgement import Judgement, Verdict
from app.domain.labels import Seen
from app.domain.runs import RunState
from app.driftwatch import Driftwatch
from app.ml.split import Split, part_of
from app.subsystems.dt import DT
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.simulate import RICH, SimulatedChamber, simulate_chambers

RUNS = range(302641, 302646)  # the last is for the test
PARTS = (
    Split.TRAINING,
    Split.TRAINING,
    Split.TRAINING,
    Split.VALIDATION,
    Split.TEST,
)  # of all chambers of each run
MANY = {Split.TRAINING: 16, Split.VALIDATION: 14, Split.TEST: 14}  # chambers of each run


@cache
def simulated() -> Mapping[int, Mapping[Chamber, SimulatedChamber]]:
    """run → chambers, all of them in one part; those for the test are in no other run."""
    runs: dict[int, dict[Chamber, SimulatedChamber]] = {run: {} for run in RUNS}
    for one in simulate_chambers(600, seed=6, faulty=RICH):
        place = one.occupancy.chamber
        for (run, chambers), part in zip(runs.items(), PARTS, strict=True):
            others = runs.values() if part is Split.TEST else [chambers, runs[RUNS[-1]]]
            is_new = not any(place in other for other in others)
            if part_of(DT, run, place, run) is part and is_new and len(chambers) < MANY[part]:
                chambers[place] = one
                break
    return runs


def load(driftwatch: Driftwatch, run: int) -> None:
    """Store a run with scores that say of every layer that it is good, but for a little doubt."""
    chambers = simulated()[run]
    driftwatch.store.runs.request(run, "tests", len(chambers))
    driftwatch.store.items.store(run, [(place, one.occupancy) for place, one in chambers.items()], "tests")
    kept = [(place, _judgement(place, 0.05 + 0.9 * i / len(chambers)), []) for i, place in enumerate(chambers)]
    driftwatch.store.items.keep_scores(run, kept, driftwatch.model)
    driftwatch.store.runs.update(run, state=RunState.FINISHED, done=len(chambers), model=driftwatch.model)


def bad_layers(run: int, place: Chamber) -> tuple[int, ...]:
    return tuple(int(row) + 1 for row in np.flatnonzero(simulated()[run][place].bad > 0.5))


def say(driftwatch: Driftwatch, person: str, run: int, place: Chamber, bad=None, **more: object) -> str:
    """Have somebody label a chamber, as the simulator made it if nothing else is given; the label's id."""
    seen = Seen.of(driftwatch.store.items.look(run, place))
    bad = bad_layers(run, place) if bad is None else bad
    key = str(uuid.uuid4())
    return driftwatch.labelling.submit(person, run, place, bad, key, seen, **more).event.id


def label_all(driftwatch: Driftwatch, runs: range = RUNS) -> None:
    """Load runs and label every chamber, each second one as a random control."""
    for run in runs:
        load(driftwatch, run)
        for i, place in enumerate(simulated()[run]):
            chosen = {"strategy": "certain", "control": i % 2 == 0}
            say(driftwatch, ("ann", "bob")[i % 3 == 0], run, place, chosen=chosen)


def _judgement(place: Chamber, score: float) -> Judgement:
    present = {layer.number for layer in place.layers}
    scores = tuple((score if layer == 1 else 0.02) if layer in present else None for layer in range(1, 13))
    verdicts = tuple(Verdict.ABSENT if s is None else Verdict.BAD if s >= 0.5 else Verdict.GOOD for s in scores)
    certainty = min(abs(0.5 - s) for s in scores if s is not None)
    return Judgement(scores, verdicts, ("",) * 12, certainty, None)
