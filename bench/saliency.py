"""Bench (f): why the layers of a run have their scores, once TensorFlow is warm.

    .venv/bin/python -m bench.saliency [MODEL]

For the shipped default model, or another, from the counts of 250 simulated chambers to the influence of their cells,
chamber by chamber, and in batches as in the job. The bounds, for the default method: a chamber in 100 ms and a run in
5 s of wall time on two idle cores; and at least 10 times faster than the 2018 program: one call per layer and sample,
twenty samples per layer (measured on a few layers and extrapolated). CPU time is shown beside wall time, for busy
machines. The exit status is 1 if a bound does not hold.
"""

from __future__ import annotations

import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

from app.domain.influence import DEFAULT, Method
from app.jobs.explain import BATCH
from app.ml.backend import keras, tensorflow
from app.ml.models import MODEL_FILE, default_model, named_model
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.saliency import STUDY, Explainer
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import simulate_run
from bench.score import LAYERS, RUN, fresh, spread, timed, verdict
from config import ROOT

CHAMBERS = 40  # explained one by one
REPETITIONS = 5  # of the run
STUDIED = 5  # layers; all of them would take many minutes
GOALS = 0.100, 5.0  # seconds a chamber, and a run
FASTER_THAN_2018 = 10


def main() -> int:
    models = ROOT / "models"
    folder = named_model(models, sys.argv[1]) if len(sys.argv) > 1 else default_model(models)
    scorer = Scorer(folder)
    explainer = Explainer(scorer)
    occupancies = [simulated.occupancy for simulated in simulate_run(RUN).values()]
    for method in Method:
        explainer.explain(fresh(occupancies[:BATCH]), method)  # traced now
    print(f"Python {platform.python_version()}, {multiprocessing.cpu_count()} cores, {folder.name}, {LAYERS} layers")

    step = len(occupancies) // CHAMBERS
    chamber = [timed(lambda one=one: explainer.explain(fresh([one]))) for one in occupancies[::step]]
    times = {DEFAULT: REPETITIONS}
    runs = {m: [taken(explainer, occupancies, m) for _ in range(times.get(m, 1))] for m in Method}
    study = one_call_a_layer_and_sample(folder, scorer, occupancies)

    one, run = statistics.median(chamber), statistics.median(clock for clock, _ in runs[DEFAULT])
    print(f"one call a layer and sample {study * 1000:9.0f} ms   {LAYERS} × the median of {STUDIED} layers")
    print(f"a chamber, {DEFAULT:16} {one * 1000:9.1f} ms   median of {len(chamber)}, {spread(chamber)}")
    for method, each in runs.items():
        clock, processor = (statistics.median(some) * 1000 for some in zip(*each, strict=True))
        print(f"a run, {method:20} {clock:9.0f} ms   {processor:,.0f} ms on the processor, median of {len(each)}")
    held = [
        verdict(f"a chamber / {GOALS[0] * 1000:.0f} ms", one / GOALS[0], 1, at_least=False),
        verdict(f"a run / {GOALS[1]:.0f} s", run / GOALS[1], 1, at_least=False),
        verdict("one call a layer and sample / a run", study / run, FASTER_THAN_2018, at_least=True),
    ]
    return 0 if all(held) else 1


def taken(explainer: Explainer, occupancies: Sequence[Occupancy], method: Method) -> tuple[float, float]:
    """Wall and CPU time in seconds for a run, in the batches of the job."""
    given = fresh(occupancies)
    begin, clock = time.process_time(), time.perf_counter()
    for start in range(0, len(given), BATCH):
        explainer.explain(given[start : start + BATCH], method)
    return time.perf_counter() - clock, time.process_time() - begin


def one_call_a_layer_and_sample(folder, scorer: Scorer, occupancies: Sequence[Occupancy]) -> float:
    """Seconds for a run: the mean gradient of noisy copies of each layer, one by one, without tracing a graph."""
    tf = tensorflow()
    network = keras().saving.load_model(folder / MODEL_FILE, compile=False)
    bins = layer_bins(occupancies)
    inputs = architecture(scorer.card.architecture).inputs(occupancies, bins)
    ready = inputs[~np.isnan(bins[..., 0])]
    noise, samples = STUDY
    rng = np.random.default_rng(RUN)

    def explain(layer: np.ndarray) -> np.ndarray:
        gradients = []
        for _ in range(samples):
            noisy = tf.constant((layer + rng.normal(0, noise * np.ptp(layer), layer.shape))[None], tf.float32)
            with tf.GradientTape() as tape:
                tape.watch(noisy)
                good = network(noisy)[:, 0]
            gradients.append(tape.gradient(good, noisy).numpy())
        return np.mean(gradients, axis=0)

    explain(ready[0])
    return LAYERS * statistics.median(timed(lambda layer=layer: explain(layer)) for layer in ready[1 : STUDIED + 1])


if __name__ == "__main__":
    sys.exit(main())
