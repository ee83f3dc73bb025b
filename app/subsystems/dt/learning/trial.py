"""A trial of a model before it is put into use: it is loaded, and judges, in a process of its own.

A model's file may come from anywhere, and one that cannot be loaded, or gives no scores, would be found out only by the
next run. What loading it does to the memory or to the process stays there. Not for how good a model is: see
`evaluating`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.errors import DriftwatchError, ModelRefused
from app.ml.worker_process import Told, done_apart

SECONDS = 120  # until a model is given up: to import TensorFlow takes five, on a busy machine thirty
CHAMBERS, SEED = 40, 2026  # simulated ones; with every station and with faults


@dataclass(frozen=True)
class Trial:
    """Loading the model of a folder and judging with it, as a task for another process."""

    folder: Path

    def __call__(self, tell: Callable[[Told], None]) -> int:
        """How many layers it judged."""
        from app.subsystems.dt.learning.scoring import Scorer
        from app.subsystems.dt.simulate import simulate_chambers

        chambers = [simulated.occupancy for simulated in simulate_chambers(CHAMBERS, SEED)]
        judged = Scorer(self.folder).judge(chambers)
        return sum(score is not None for judgement in judged for score in judgement.scores)


def require_working(folder: Path) -> None:
    """Refuse a model that cannot judge.

    Raises:
        ModelRefused: it cannot be loaded, takes or gives something else than its card says, or gives no scores.
    """
    ends = time.monotonic() + SECONDS
    try:
        judged = done_apart(Trial(folder), lambda _: None, lambda: time.monotonic() > ends)
    except DriftwatchError as error:
        raise ModelRefused(f"The model {folder.name} cannot be put into use: {error}") from None
    if judged is None:
        raise ModelRefused(f"The model {folder.name} cannot be put into use: it judged nothing within {SECONDS} s.")
