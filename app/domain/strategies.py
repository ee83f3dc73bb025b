"""How the next item is chosen: the named strategies, and the choice of items unlike those seen before."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np


class Strategy(StrEnum):
    CERTAIN = "certain"
    RANDOM = "random"
    SCORE = "score"
    CONTAMINATION = "contamination"
    DIVERSE = "diverse"
    UNLIKE = "unlike"


STRATEGY_WORDS = {
    Strategy.CERTAIN: "least certain",
    Strategy.RANDOM: "random",
    Strategy.SCORE: "highest score",
    Strategy.CONTAMINATION: "person and network disagree most",
    Strategy.DIVERSE: "uncertain, and unlike the last ten",
    Strategy.UNLIKE: "unlike anything the network has seen",
}
DIRECT = "direct"  # of a label given without the queue
DEFAULT = Strategy.CERTAIN
DIVERSE_AMONG = 200  # number of least certain items to choose from
UNLIKE = 10  # number of the person's latest items to differ from


def farthest_first(candidates: Sequence[bytes | None], taken: Sequence[bytes]) -> list[int]:
    """Order candidates by their distance from what was taken before: greedy k-centre.

    The next centre is the candidate whose nearest neighbour among the centres so far is farthest away (Gonzalez,
    Theoretical Computer Science 38 (1985) 293; for active learning Sener and Savarese, ICLR 2018).

    Args:
        candidates: embeddings, float16 as bytes, in order of preference; None if there is none.
        taken: embeddings of what was taken before.

    Returns:
        Indexes into `candidates`, farthest first. The order is unchanged if nothing was taken before; candidates
        without an embedding, or with one of another length, come last.

    >>> points = [np.float16([x]).tobytes() for x in (1.0, 2.0, 5.0)]
    >>> farthest_first([*points, None], [np.float16([4.5]).tobytes(), np.float16([0.0]).tobytes()])
    [1, 0, 2, 3]
    """
    centres = [embedding for embedding in taken if embedding]
    if not centres:
        return list(range(len(candidates)))
    size = len(centres[0])
    known = np.stack([_vector(embedding) for embedding in centres if len(embedding) == size])
    distances = [
        -1.0
        if not candidate or len(candidate) != size
        else float(np.linalg.norm(known - _vector(candidate), axis=1).min())
        for candidate in candidates
    ]
    return sorted(range(len(candidates)), key=lambda i: -distances[i])


def _vector(embedding: bytes) -> np.ndarray:
    return np.nan_to_num(np.frombuffer(embedding, np.float16).astype(np.float32))
