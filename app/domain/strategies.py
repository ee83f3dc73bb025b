"""How the next item is chosen: the strategies by name, and the choice of an item unlike others."""

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
DIRECT = "direct"  # how a label came that came without the queue
DEFAULT = Strategy.CERTAIN
DIVERSE_AMONG = 200  # least certain items
UNLIKE = 10  # the last so many items of the person


def farthest_first(candidates: Sequence[bytes | None], taken: Sequence[bytes]) -> list[int]:
    """The order in which to take candidates so that they are unlike what was taken before: k-centre, one at a time.

    The next centre is the candidate whose nearest neighbour among the centres so far is the farthest (Gonzalez,
    Theoretical Computer Science 38 (1985) 293; for active learning Sener and Savarese, ICLR 2018).

    Args:
        candidates: embeddings, float16 as bytes, the one to prefer first; None where there is none.
        taken: embeddings of what was taken before.

    Returns:
        Indexes into `candidates`, the farthest first. As they are where nothing was taken before; those without an
        embedding, or with one of another length, come last.

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
