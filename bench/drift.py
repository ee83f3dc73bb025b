"""Which distance best detects what a model has never seen: the figures of docs/drift.md.

    .venv/bin/python -m bench.drift [MODEL] [REAL]

For the shipped default model, or another: the share of chambers beyond the distance that 99 % of ordinary simulated
chambers stay below, and the area under the ROC curve against these, for several distances of the last hidden layer.
The chambers are ordinary ones, ones with faults as in training, and ones changed in ways that the simulator never
draws; REAL is a file of labelled real chambers as for `flask evaluate-model --real`. There is no bound.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from app.ml.models import default_model, named_model
from app.subsystems.dt.histogram import NO_CELL, Occupancy
from app.subsystems.dt.learning.drift import SHARE_WITHIN, make_reference
from app.subsystems.dt.learning.known_chambers import evaluation_seed, read_labelled
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.simulate import ORDINARY, RICH, SimulatedChamber, simulate_chambers, simulate_run
from config import ROOT

COUNT = 1_000  # chambers of each kind
ORDINARY_ONES = "ordinary"
Distance = Callable[[np.ndarray], np.ndarray]


def main() -> int:
    models = ROOT / "models"
    scorer = Scorer(named_model(models, sys.argv[1]) if len(sys.argv) > 1 else default_model(models))
    reference = make_reference(scorer, stop=lambda: False)
    seen = np.sign(reference.seen) * np.expm1(np.abs(reference.seen)) * reference.scale
    vectors = {name: embedded(scorer, occupancies) for name, occupancies in kinds().items()}
    print(f"{scorer.version}: {len(seen)} chambers seen; share beyond the bound, and area under the ROC curve")
    for name, distance in distances(seen.astype(np.float64), reference.scale).items():
        ordinary = distance(vectors[ORDINARY_ONES])
        bound = np.quantile(ordinary, SHARE_WITHIN)
        print(name)
        for kind, of_kind in vectors.items():
            found = distance(of_kind)
            truth = np.repeat((0, 1), (len(ordinary), len(found)))
            area = roc_auc_score(truth, np.concatenate((ordinary, found)))
            print(f"    {kind:44} {(found > bound).mean():6.1%} {area:6.2f}   {len(found)} chambers")
    return 0


def kinds() -> dict[str, Sequence[Occupancy]]:
    """The chambers, by how they were modified."""
    ordinary = simulate_chambers(COUNT, evaluation_seed(0, 0), ORDINARY)
    rng = np.random.default_rng(1)

    def one_layer(factor: Callable[[int], np.ndarray | float]) -> Callable[[tuple[int, int]], np.ndarray]:
        def factors(shape: tuple[int, int]) -> np.ndarray:
            made = np.ones(shape)
            made[rng.integers(shape[0])] = factor(shape[1])
            return made

        return factors

    def stripes(cells: int) -> np.ndarray:
        return np.where(np.arange(cells) % 2, 1, 0.4)

    def changed(factors: Callable[[tuple[int, int]], np.ndarray]) -> list[Occupancy]:
        return [drawn_anew(one, factors(one.expected.shape), rng) for one in ordinary]

    drawn = {
        ORDINARY_ONES: [one.occupancy for one in ordinary],
        "faults as in training": [one.occupancy for one in simulate_chambers(COUNT, evaluation_seed(0, 1), RICH)],
        "a demonstration run": [one.occupancy for one in simulate_run(302_635).values()],
        "every other cell low, in all layers": changed(lambda shape: np.tile(stripes(shape[1]), (shape[0], 1))),
        "every other cell low, in one layer": changed(one_layer(stripes)),
        "one layer with 1.8 times the hits": changed(one_layer(lambda cells: 1.8)),
        "one layer rising from 0.3 to 1.7": changed(one_layer(lambda cells: np.linspace(0.3, 1.7, cells))),
        "one layer with waves of 60 %": changed(
            one_layer(lambda cells: 1 + 0.6 * np.sin(2 * np.pi * np.arange(cells) / rng.uniform(6, 14)))
        ),
        "cells that vary by 50 % more than Poisson": changed(lambda shape: rng.gamma(4, 1 / 4, shape)),
    }
    if len(sys.argv) > 2:
        drawn["real chambers"] = [one.occupancy for one in read_labelled(Path(sys.argv[2]))]
    return drawn


def drawn_anew(one: SimulatedChamber, factors: np.ndarray, rng: np.random.Generator) -> Occupancy:
    """A chamber without its defects, but with modified rates."""
    counts = rng.poisson(one.expected * factors)
    return Occupancy(one.occupancy.chamber, np.where(one.occupancy.counts == NO_CELL, NO_CELL, counts))


def embedded(scorer: Scorer, occupancies: Sequence[Occupancy]) -> np.ndarray:
    """float64 (n, units), for chambers with an embedding."""
    kept = [judgement.embedding for judgement in scorer.judge(occupancies) if judgement.embedding]
    return np.stack([np.frombuffer(embedding, np.float16) for embedding in kept]).astype(np.float64)


def distances(seen: np.ndarray, scale: np.ndarray) -> Mapping[str, Distance]:
    """The distances compared, by name."""

    def logarithm(vectors: np.ndarray) -> np.ndarray:
        return np.sign(vectors) * np.log1p(np.abs(vectors) / scale)

    centre, (values, axes) = seen.mean(axis=0), np.linalg.eigh(np.cov(seen.T))
    white = axes / np.sqrt(np.maximum(values, 1e-3 * values.max()))
    return {
        "nearest, logarithm (in use)": lambda vectors: nearest(logarithm(vectors), logarithm(seen)),
        "nearest, in units of the spread": lambda vectors: nearest(vectors / scale, seen / scale),
        "nearest, whitened": lambda vectors: nearest((vectors - centre) @ white, (seen - centre) @ white),
        "Mahalanobis": lambda vectors: np.linalg.norm((vectors - centre) @ white, axis=1),
    }


def nearest(vectors: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """float64 (n,): the Euclidean distance to the nearest one seen."""
    return np.array([np.sqrt(((seen - vector) ** 2).sum(axis=1).min()) for vector in vectors])


if __name__ == "__main__":
    sys.exit(main())
