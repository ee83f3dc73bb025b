"""Bench (b): processing and scoring the 2,720 layers of a run, once TensorFlow is warm.

    .venv/bin/python -m bench.score

Two bounds: at least 500 times faster than one `predict` a layer, which is how the program of 2018 did it (measured on
40 layers and multiplied); and at most 5 times the bare forward pass of the same network on rows that are ready. Ours
goes all the way from the counts of 250 chambers to their judgements. It takes turns with the bare pass, so that what
else the machine does meets both. Medians are compared. The exit status is 1 when a bound does not hold.
"""

from __future__ import annotations

import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from app.ml.backend import keras
from app.ml.models import MODEL_FILE, default_model
from app.ml.scoring import Scorer
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.preprocess import layer_bins, row_scaled
from app.subsystems.dt.simulate import simulate_run
from config import ROOT

RUN = 302_635
LAYERS = 2_720
REPETITIONS = 60
PREDICTED = 40  # layers; all of them would take minutes
FASTER_THAN_PREDICT, OVER_BARE = 500, 5  # the bounds


def main() -> int:
    folder = default_model(ROOT / "models")
    scorer = Scorer(folder)
    occupancies = [simulated.occupancy for simulated in simulate_run(RUN).values()]
    bins = layer_bins(occupancies)
    ready = row_scaled(bins)[~np.isnan(bins[..., 0])]
    assert len(ready) == LAYERS
    for _ in range(5):
        scorer.judge(fresh(occupancies)), scorer.scores(ready)

    ours, bare = [], []
    for _ in range(REPETITIONS):
        given = fresh(occupancies)
        ours.append(timed(lambda given=given: scorer.judge(given)))
        bare.append(timed(lambda: scorer.scores(ready)))
    network = keras().saving.load_model(folder / MODEL_FILE, compile=False)
    network.predict(ready[:1], verbose=0)
    each = [timed(lambda row=row: network.predict(row[None], verbose=0)) for row in ready[:PREDICTED]]

    whole, forward = statistics.median(ours), statistics.median(bare)
    one_by_one = statistics.median(each) * LAYERS
    print(f"Python {platform.python_version()}, {multiprocessing.cpu_count()} cores, {folder.name}, {LAYERS} layers")
    print(f"one predict a layer   {one_by_one * 1000:9.0f} ms   {LAYERS} × the median of {PREDICTED}, {spread(each)}")
    print(f"bare forward pass     {forward * 1000:9.1f} ms   median of {REPETITIONS}, {spread(bare)}")
    print(f"counts to judgements  {whole * 1000:9.1f} ms   median of {REPETITIONS}, {spread(ours)}")
    held = [
        verdict("one predict a layer / ours", one_by_one / whole, FASTER_THAN_PREDICT, at_least=True),
        verdict("ours / bare forward pass", whole / forward, OVER_BARE, at_least=False),
    ]
    return 0 if all(held) else 1


def fresh(occupancies: Sequence[Occupancy]) -> list[Occupancy]:
    """The same histograms as they come from a source: with nothing worked out yet."""
    return [Occupancy(occupancy.chamber, occupancy.counts) for occupancy in occupancies]


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def spread(times: Sequence[float]) -> str:
    return f"from {min(times) * 1000:.1f} to {max(times) * 1000:.1f} ms"


def verdict(what: str, ratio: float, bound: float, at_least: bool) -> bool:
    held = ratio >= bound if at_least else ratio <= bound
    print(f"{'PASS' if held else 'FAIL'}  {what}: {ratio:,.2f}, {'at least' if at_least else 'at most'} {bound}")
    return held


if __name__ == "__main__":
    sys.exit(main())
