"""A trial of a model before it is put into use: a separate process loads it and scores with it.

A model's file may come from anywhere, and a model that cannot be loaded, or gives no scores, would otherwise fail only
at the next run. Side effects of loading on memory or process stay in that process. Not for how good a model is: see
`evaluation`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.errors import DriftwatchError, ModelRefused
from app.ml.worker_process import Told, done_apart

SECONDS = 120  # until a model is abandoned: importing TensorFlow takes five, on a busy machine thirty
CHAMBERS, SEED = 40, 2026  # simulated ones; with every station and with faults


@dataclass(frozen=True)
class Trial:
    """Loading the model in a folder and scoring with it, as a task for another process."""

    folder: Path

    def __call__(self, tell: Callable[[Told], None]) -> int:
        """The number of layers it scored."""
        from app.subsystems.dt.learning.scoring import Scorer
        from app.subsystems.dt.simulate import simulate_chambers

        chambers = [simulated.occupancy for simulated in simulate_chambers(CHAMBERS, SEED)]
        judged = Scorer(self.folder).judge(chambers)
        return sum(score is not None for judgement in judged for score in judgement.scores)


def require_working(folder: Path) -> None:
    """Refuse a model that cannot score.

    Raises:
        ModelRefused: it cannot be loaded, its input or output differs from its card, or it gives no scores.
    """
    ends = time.monotonic() + SECONDS
    try:
        judged = done_apart(Trial(folder), lambda _: None, lambda: time.monotonic() > ends)
    except DriftwatchError as error:
        raise ModelRefused(f"The model {folder.name} cannot be put into use: {error}") from None
    if judged is None:
        raise ModelRefused(f"The model {folder.name} cannot be put into use: it gave no scores within {SECONDS} s.")
