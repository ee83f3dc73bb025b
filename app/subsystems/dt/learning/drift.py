"""Drift: how far a run is from its model's training data, by its scores and by the network's activations.

There are two measures. The population stability index tells whether scores, hits and distances are distributed as in
the reference. The distance of a chamber tells whether the model has seen anything like it, because a network can be
confidently wrong about what it has never seen. The reference consists of simulated chambers, drawn as in training and
scored by the model like chambers of runs. Importing this does not import TensorFlow. For results see docs/drift.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from app.subsystems.dt.learning.known_chambers import evaluation_seed
from app.subsystems.dt.simulate import ORDINARY, RICH, SIMULATOR_VERSION, SimulatedChamber, simulate_chambers

if TYPE_CHECKING:
    from app.subsystems.dt.learning.scoring import Scorer

SEED = 302_635
SEEN = 1_000  # nearest-neighbour candidates: chambers with as many faults as in training, and as many with few as usual
HELD_OUT = 2_000  # ordinary chambers, for the bound and the bins
SHARE_WITHIN = (
    0.99  # share of held-out ordinary chambers below the bound, beyond which a chamber is unlike anything seen
)
BINS = 10
LEAST_SCALE = 1e-3  # of a unit's spread, relative to that of all
AT_ONCE = 250  # chambers drawn and scored together: the work can be stopped between batches

_RICH, _ORDINARY, _HELD_OUT = 3, 4, 5  # streams of seeds; the first three are those of the evaluation


@dataclass(frozen=True)
class Bins:
    """A binned distribution.

    Attributes:
        edges: between the bins, ascending; the first and the last bin are open.
        shares: of the reference in each bin, one more than edges; equal, except for tied values.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> Bins:
        """Bins with a tenth of the values each; fewer if many values are tied.

        >>> Bins.of(np.arange(1000.0)).shares
        (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
        """
        edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
        return cls(tuple(edges.tolist()), tuple(_shares(values, edges).tolist()))

    def stability_index(self, values: np.ndarray) -> float | None:
        """The population stability index: Σ (a − e) ln(a / e) over the bins, a the share here and e in the reference.

        It is Jeffreys' divergence (Proc. R. Soc. A 186 (1946) 453) of binned shares; the name and the rule that 0.1 is
        little and 0.25 a change come from credit scoring (Siddiqi, Credit Risk Scorecards, 2006). Without any change it
        is about (bins − 1) (1/n + 1/m) for n independent values and m in the reference (Yurdakul and Naranjo, Journal
        of Risk Model Validation 14 (2020)). An empty bin counts as half a value, to keep the logarithm finite.

        Args:
            values: float (n,).

        Returns:
            0 for the same shares, and more; None for no values.

        >>> Bins((0.0,), (0.5, 0.5)).stability_index(np.array([-1.0, 1.0]))
        0.0
        >>> round(Bins((0.0,), (0.5, 0.5)).stability_index(np.array([-1.0, 1.0, 1.0, 1.0])), 3)
        0.275
        """
        if not len(values):
            return None
        least = 0.5 / len(values)
        here = np.maximum(_shares(values, np.array(self.edges)), least)
        expected = np.maximum(np.array(self.shares), least)
        return float(((here - expected) * np.log(here / expected)).sum())


@dataclass(frozen=True, eq=False)
class Reference:
    """A summary of a model's training data.

    Attributes:
        simulator_version, chambers: what it was made from.
        scale: float32 (units,): the standard deviation of each unit of the last hidden layer.
        seen: float32 (n, units): embeddings as `_compared` makes them.
        bound: the distance to the nearest of these that 99 % of held-out ordinary chambers stay below.
        scores, hits, distances: bins of layer scores, hits per cell and distances of held-out ordinary chambers.
    """

    simulator_version: int
    chambers: int
    scale: np.ndarray
    seen: np.ndarray
    bound: float
    scores: Bins
    hits: Bins
    distances: Bins

    def unlike(self, embeddings: Sequence[bytes | None]) -> list[float | None]:
        """The distance of chambers from what the model has seen: 1 at the bound, more beyond.

        Args:
            embeddings: `Judgement.embedding` of each chamber, made by the same model.

        Returns:
            For each the distance divided by the bound; None without an embedding.
        """
        known = [i for i, embedding in enumerate(embeddings) if embedding]
        found: list[float | None] = [None] * len(embeddings)
        if known:
            vectors = _compared(_vectors([embeddings[i] for i in known]), self.scale)
            for i, distance in zip(known, _nearest(vectors, self.seen), strict=True):
                found[i] = float(distance / self.bound)
        return found


_ARRAYS = tuple(field.name for field in fields(Reference) if field.type == "np.ndarray")


def to_document(reference: Reference) -> dict[str, Any]:
    """A reference in stored form: arrays as their shape and little-endian float32."""
    arrays = {name: getattr(reference, name) for name in _ARRAYS}
    return asdict(reference) | {
        name: {"shape": list(array.shape), "data": array.astype("<f4").tobytes()} for name, array in arrays.items()
    }


def of_document(document: Mapping[str, Any]) -> Reference:
    """A reference from its stored form."""
    arrays = {name: np.frombuffer(document[name]["data"], "<f4").reshape(document[name]["shape"]) for name in _ARRAYS}
    bins = {
        field.name: Bins(**{name: tuple(values) for name, values in document[field.name].items()})
        for field in fields(Reference)
        if field.type == "Bins"
    }
    return Reference(**{**document, **arrays, **bins})


@dataclass(frozen=True)
class Measured:
    """The quantities of a chamber that are compared with the reference.

    Attributes:
        hits: per cell.
        scores: of its layers; None for layers without one.
    """

    hits: float
    scores: Sequence[float | None]
    embedding: bytes | None


@dataclass(frozen=True)
class Drift:
    """How far a run is from its model's reference.

    Attributes:
        chambers: those with an embedding, for which distances are known.
        unlike: the share of these beyond the bound; None if there are none.
        scores, hits, distances: stability indexes; None where there are no values.
    """

    chambers: int
    unlike: float | None
    scores: float | None
    hits: float | None
    distances: float | None


def measure(reference: Reference, chambers: Sequence[Measured]) -> tuple[Drift, list[float | None]]:
    """How far a run is from the reference, and for each of its chambers `Reference.unlike`."""
    unlike = reference.unlike([chamber.embedding for chamber in chambers])
    known = np.array([distance for distance in unlike if distance is not None])
    scores = np.array([score for chamber in chambers for score in chamber.scores if score is not None])
    seen = [chamber.hits for chamber, distance in zip(chambers, unlike, strict=True) if distance is not None]
    drift = Drift(
        chambers=len(known),
        unlike=float((known > 1).mean()) if len(known) else None,
        scores=reference.scores.stability_index(scores),
        hits=reference.hits.stability_index(np.array(seen)),
        distances=reference.distances.stability_index(known),
    )
    return drift, unlike


def make_reference(scorer: Scorer, stop: Callable[[], bool]) -> Reference | None:
    """Score simulated chambers with a model and summarise them; None if stopped.

    Args:
        stop: polled now and then.
    """
    seen: list[Measured] = []
    held_out: list[Measured] = []
    for chambers, stream, count, faulty in (
        (seen, _RICH, SEEN, RICH),
        (seen, _ORDINARY, SEEN, ORDINARY),
        (held_out, _HELD_OUT, HELD_OUT, ORDINARY),
    ):
        for i in range(count // AT_ONCE):
            if stop():
                return None
            chambers += _judged(scorer, simulate_chambers(AT_ONCE, evaluation_seed(SEED + i, stream), faulty))
    vectors = _vectors([chamber.embedding for chamber in seen if chamber.embedding])
    # Units that are hardly ever active must not dominate.
    scale = np.maximum(vectors.std(axis=0), LEAST_SCALE * vectors.std() or 1)
    known = _compared(vectors, scale)
    ordinary = [chamber for chamber in held_out if chamber.embedding]
    distances = _nearest(_compared(_vectors([chamber.embedding for chamber in ordinary]), scale), known)
    bound = float(np.quantile(distances, SHARE_WITHIN))
    return Reference(
        simulator_version=SIMULATOR_VERSION,
        chambers=len(seen) + len(held_out),
        scale=scale,
        seen=known,
        bound=bound,
        scores=Bins.of(np.array([score for chamber in held_out for score in chamber.scores if score is not None])),
        hits=Bins.of(np.array([chamber.hits for chamber in ordinary])),
        distances=Bins.of(distances / bound),
    )


def _judged(scorer: Scorer, chambers: Sequence[SimulatedChamber]) -> list[Measured]:
    occupancies = [chamber.occupancy for chamber in chambers]
    return [
        Measured(occupancy.hits / int(occupancy.chamber.read_out.sum()), judgement.scores, judgement.embedding)
        for occupancy, judgement in zip(occupancies, scorer.judge(occupancies), strict=True)
    ]


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """float64 (bins,): the share of values in each bin; a value on an edge is in the bin above it."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) / len(values)


def _vectors(embeddings: Sequence[bytes]) -> np.ndarray:
    """float32 (n, units)."""
    return np.nan_to_num(np.stack([np.frombuffer(one, np.float16) for one in embeddings]).astype(np.float32))


def _compared(vectors: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Activations as compared: in units of their spread, and logarithmic where they are large.

    Activations grow with the statistics of a chamber, over orders of magnitude; without the logarithm the distances of
    busy chambers would hide all others.
    """
    return np.sign(vectors) * np.log1p(np.abs(vectors) / scale)


def _nearest(vectors: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """float64 (n,): the Euclidean distance of each vector to the nearest of those seen."""
    a, b = vectors.astype(np.float64), seen.astype(np.float64)
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares.min(axis=1), 0))
