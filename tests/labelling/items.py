"""Chambers with given scores, for the tests of labelling: no network, no DQM server."""

from __future__ import annotations

import uuid

from app.domain.judgement import Judgement, Verdict
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.simulate import simulate_run

PLACES = [chamber for chamber in all_chambers() if chamber.station != 4][:60]
OCCUPANCIES = simulate_run(302635)


def judgement(scores: dict[int, float | None], embedding: bytes | None = None) -> Judgement:
    """A judgement of 12 layers with these scores, and 0.05 elsewhere."""
    full = tuple(scores.get(layer, 0.05) for layer in range(1, 13))
    verdicts = tuple(Verdict.UNJUDGED if s is None else Verdict.BAD if s >= 0.5 else Verdict.GOOD for s in full)
    certainty = min((abs(0.5 - s) for s in full if s is not None), default=None)
    return Judgement(full, verdicts, ("",) * 12, certainty, embedding)


def score(driftwatch, run: int, judgements: dict[Chamber, Judgement], model: str | None = None) -> None:
    """Keep judgements as those of the active model."""
    kept = [(place, judged, []) for place, judged in judgements.items()]
    driftwatch.store.items.keep_scores(run, kept, model or driftwatch.model)


def load(driftwatch, run: int, judgements: dict[Chamber, Judgement]) -> None:
    """Store chambers of a run with their judgements."""
    driftwatch.store.items.store(run, [(place, OCCUPANCIES[place].occupancy) for place in judgements], "test")
    score(driftwatch, run, judgements)


def key() -> str:
    return str(uuid.uuid4())
