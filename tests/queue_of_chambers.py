"""A run whose chambers have given scores, for tests of the labelling page: no network, no DQM server."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.judgement import Judgement, Verdict, at_threshold
from app.domain.runs import RunState
from app.driftwatch import Driftwatch
from app.ml.models import default_model, load_card
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.simulate import simulate_chamber
from config import ROOT

RUN = 302635
THRESHOLD = load_card(default_model(ROOT / "models")).threshold  # of the active model
PLACES = [Chamber(wheel=wheel, station=2, sector=sector) for wheel in (-1, 0, 2) for sector in (1, 4, 7, 10)]


def load(driftwatch: Driftwatch, scores: Mapping[Chamber, Mapping[int, float]], run: int = RUN) -> None:
    """Store chambers of a run and their scores, as those of the active model; 0.05 for layers that are not named."""
    driftwatch.store.runs.request(run, "tests", len(scores))
    driftwatch.store.items.store(run, [(place, simulate_chamber(run, place).occupancy) for place in scores], "tests")
    score(driftwatch, scores, run)
    done = {"done": len(scores), "model": driftwatch.model, "threshold": THRESHOLD}
    driftwatch.store.runs.update(run, state=RunState.FINISHED, **done)


def score(driftwatch: Driftwatch, scores: Mapping[Chamber, Mapping[int, float]], run: int = RUN) -> None:
    """Have chambers scored (again)."""
    kept = [(place, _judgement(place, given), []) for place, given in scores.items()]
    driftwatch.store.items.keep_scores(run, kept, driftwatch.model)


def load_queue(driftwatch: Driftwatch, run: int = RUN) -> None:
    """`PLACES`, the first the least certain: layer 7 has 0.51, 0.53, … 0.73."""
    load(driftwatch, {place: {7: 0.51 + 0.02 * i} for i, place in enumerate(PLACES)}, run)


def path(place: Chamber, run: int = RUN) -> str:
    return f"/eval/{run}/{place.wheel}/{place.sector}/{place.station}/"


def _judgement(place: Chamber, given: Mapping[int, float]) -> Judgement:
    present = {layer.number for layer in place.layers}
    scores = tuple(given.get(layer, 0.05) if layer in present else None for layer in range(1, 13))
    verdicts = tuple(Verdict.ABSENT if s is None else Verdict.GOOD for s in scores)
    certainty = min(abs(0.5 - s) for s in scores if s is not None)
    return at_threshold(Judgement(scores, verdicts, ("",) * 12, certainty, None), THRESHOLD)
