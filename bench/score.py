"""Bench (b): processing and scoring the 2,720 layers of a run, once TensorFlow is warm.

    .venv/bin/python -m bench.score [MODEL]

For the shipped default model, or another, from the counts of 250 chambers to their verdicts. The bounds: at least 500
times faster than one `predict` per layer, as in the 2018 program (measured on 40 layers and extrapolated); the row-only
network at most 5 times its bare forward pass on prepared inputs; and 60 ms for the run on two idle cores. The ratio to
the row-only network is also shown. All variants alternate, so that other load affects all. Medians are compared; CPU
time is shown beside wall time. The exit status is 1 if a bound does not hold.
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
from app.ml.models import MODEL_FILE, default_model, named_model
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.preprocess import layer_bins, row_scaled
from app.subsystems.dt.simulate import simulate_run
from config import ROOT

RUN = 302_635
LAYERS = 2_720
REPETITIONS = 60
PREDICTED = 40  # layers; all of them would take minutes
FASTER_THAN_PREDICT, OVER_FORWARD = 500, 5  # the bounds
GOAL = 0.060  # seconds a run
ROW_ONLY = "row-cnn-1"


def main() -> int:
    models = ROOT / "models"
    folder = named_model(models, sys.argv[1]) if len(sys.argv) > 1 else default_model(models)
    scorer, row_only = Scorer(folder), Scorer(models / ROW_ONLY)
    occupancies = [simulated.occupancy for simulated in simulate_run(RUN).values()]
    bins = layer_bins(occupancies)
    inputs = architecture(scorer.card.architecture).inputs(occupancies, bins)
    ready = np.ascontiguousarray(inputs[~np.isnan(bins[..., 0])])
    assert len(ready) == LAYERS
    for _ in range(5):
        scorer.judge(fresh(occupancies)), scorer.scores(ready), row_only.judge(fresh(occupancies))

    scaled = np.ascontiguousarray(row_scaled(bins)[~np.isnan(bins[..., 0])])
    ours, bare, rows, busy, bare_rows = [], [], [], [], []
    for _ in range(REPETITIONS):
        given, again = fresh(occupancies), fresh(occupancies)
        begin = time.process_time()
        ours.append(timed(lambda given=given: scorer.judge(given)))
        busy.append(time.process_time() - begin)
        bare.append(timed(lambda: scorer.scores(ready)))
        rows.append(timed(lambda given=again: row_only.judge(given)))
        bare_rows.append(timed(lambda: row_only.scores(scaled)))
    network = keras().saving.load_model(folder / MODEL_FILE, compile=False)
    network.predict(ready[:1], verbose=0)
    each = [timed(lambda row=row: network.predict(row[None], verbose=0)) for row in ready[:PREDICTED]]

    whole, forward, row_whole = (statistics.median(times) for times in (ours, bare, rows))
    one_by_one = statistics.median(each) * LAYERS
    print(f"Python {platform.python_version()}, {multiprocessing.cpu_count()} cores, {folder.name}, {LAYERS} layers")
    print(f"one predict a layer   {one_by_one * 1000:9.0f} ms   {LAYERS} × the median of {PREDICTED}, {spread(each)}")
    print(f"bare forward pass     {forward * 1000:9.1f} ms   median of {REPETITIONS}, {spread(bare)}")
    print(f"counts to judgements  {whole * 1000:9.1f} ms   median of {REPETITIONS}, {spread(ours)}")
    print(f"  on the processor    {statistics.median(busy) * 1000:9.1f} ms   {spread(busy)}")
    print(f"{ROW_ONLY:20}  {row_whole * 1000:9.1f} ms   median of {REPETITIONS}, {spread(rows)}")
    held = [
        verdict("one predict a layer / ours", one_by_one / whole, FASTER_THAN_PREDICT, at_least=True),
        verdict(f"{ROW_ONLY} / its bare forward pass", row_whole / statistics.median(bare_rows), OVER_FORWARD, False),
        verdict(f"ours / {GOAL * 1000:.0f} ms", whole / GOAL, 1, at_least=False),
    ]
    print(f"      ours / {ROW_ONLY}: {whole / row_whole:.2f}; ours / our bare forward pass: {whole / forward:.2f}")
    return 0 if all(held) else 1


def fresh(occupancies: Sequence[Occupancy]) -> list[Occupancy]:
    """The same histograms as fresh from a source, with nothing cached."""
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
