"""Evaluating a model as a task for another process: figures and pictures, as stored for the model's page.

Not for the figures themselves: see `evaluation`. Importing this does not import TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.ml.worker_process import Told

CHAMBERS = 4_000


@dataclass(frozen=True)
class Evaluating:
    """The work of `flask evaluate-model`, as a task.

    Attributes:
        folders: of the model in question, and of the one that it is compared with in addition to the simpler methods;
            each with the score from which a layer is bad.
        chambers: number of simulated ones to test on.
    """

    folders: tuple[tuple[Path, float], ...]
    chambers: int = CHAMBERS

    def __call__(self, tell: Callable[[Told], None]) -> dict[str, Any]:
        """{"figures": JSON as text, "pictures": name → SVG}; reports {"words"}."""
        from app.subsystems.dt.learning.evaluation import evaluate
        from app.subsystems.dt.learning.evaluation_pictures import pictures
        from app.subsystems.dt.learning.scoring import Scorer

        tell({"words": f"simulating {self.chambers:,} chambers"})
        scorers = [Scorer(folder).at(threshold) for folder, threshold in self.folders]
        found = evaluate(scorers, self.chambers, report=lambda line: tell({"words": line}))
        tell({"words": "drawing the pictures"})
        return {
            "figures": found.model_dump_json(),
            "pictures": {name: svg.decode() for name, svg in pictures(found).items()},
        }
