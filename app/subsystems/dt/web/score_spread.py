"""Score distributions and calibration: figures and pictures. The page is in `statistics`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.pictures import DASHES, INKS, Scheme, colours, figure
from app.subsystems.dt.geometry import STATIONS, WHEELS
from app.subsystems.dt.summary import CERTAINTY_STEPS, SCORE_STEPS, STEP

_DASHES = (*DASHES, (0, (8, 1, 1, 1, 1, 1)))  # one per wheel
CALIBRATION_STEPS = 10
LEAST_LAYERS = 5  # minimum number of layers in a score bin for its share of bad ones to be drawn


@dataclass(frozen=True, eq=False)
class Spread:
    """Histograms of chambers of several runs by their worst layer's score and by their certainty.

    Attributes:
        runs: number of runs.
        scores: int (5 wheels from −2, 4 stations, 20): in bins of 0.05 from 0 to 1.
        certainties: int (5, 4, 10): in bins of 0.05 from 0 to 0.5.
    """

    runs: int
    scores: np.ndarray
    certainties: np.ndarray

    @classmethod
    def nothing(cls) -> Spread:
        shape = len(WHEELS), len(STATIONS)
        return cls(0, np.zeros((*shape, SCORE_STEPS), int), np.zeros((*shape, CERTAINTY_STEPS), int))

    def of(self, wheel: int | None, station: int | None) -> Spread:
        """The same for one wheel, one station, or both; all other entries are 0."""
        chosen = np.ones((len(WHEELS), len(STATIONS), 1), int)
        if wheel is not None:
            chosen *= (np.array(WHEELS) == wheel)[:, None, None]
        if station is not None:
            chosen *= (np.array(STATIONS) == station)[None, :, None]
        return Spread(self.runs, self.scores * chosen, self.certainties * chosen)

    @property
    def chambers(self) -> int:
        return int(self.scores.sum())

    def uncertain(self, below: float) -> np.ndarray:
        """int (5, 4): chambers with a certainty below a multiple of 0.05."""
        return self.certainties[..., : round(below / STEP)].sum(axis=-1)


@dataclass(frozen=True)
class CalibrationStep:
    """The labelled layers in one score bin.

    Attributes:
        least, most: edges of the bin.
        layers, bad: number of layers, and number of those labelled bad.
        mean: mean score; None if there are no layers.
    """

    least: float
    most: float
    layers: int
    bad: int
    mean: float | None

    @property
    def share(self) -> float | None:
        return self.bad / self.layers if self.layers else None

    @property
    def error(self) -> float:
        """Binomial uncertainty of the share, one sigma: Agresti and Coull, The American Statistician 52 (1998) 119."""
        n, p = self.layers + 1, (self.bad + 0.5) / (self.layers + 1)
        return float(np.sqrt(p * (1 - p) / n))


def calibration(labelled: Sequence[tuple[Sequence[float | None], Sequence[int]]]) -> list[CalibrationStep]:
    """Compare a model's layer scores with labels, in score bins of 0.1.

    Args:
        labelled: for each labelled chamber (scores of layers 1–12, its bad layers).

    >>> steps = calibration([((0.95, 0.02, None), (1,)), ((0.93, 0.04, 0.5), ())])
    >>> [(step.layers, step.bad) for step in steps if step.layers]
    [(2, 0), (1, 0), (2, 1)]
    """
    pairs = [
        (score, layer in bad)
        for scores, bad in labelled
        for layer, score in enumerate(scores, start=1)
        if score is not None
    ]
    scores, bad = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs], bool)
    step = np.minimum((scores * CALIBRATION_STEPS).astype(int), CALIBRATION_STEPS - 1)
    found = []
    for i in range(CALIBRATION_STEPS):
        inside = step == i
        mean = float(scores[inside].mean()) if inside.any() else None
        ends = i / CALIBRATION_STEPS, (i + 1) / CALIBRATION_STEPS
        found.append(CalibrationStep(*ends, int(inside.sum()), int(bad[inside].sum()), mean))
    return found


def spread_picture(groups: Sequence[tuple[str, np.ndarray]], scheme: Scheme) -> bytes:
    """Draw chambers by their worst layer's score, one line per group, on a logarithmic axis.

    Args:
        groups: (words, int (20,)).
    """
    edges = np.linspace(0, 1, SCORE_STEPS + 1)
    with figure("Scores of chambers", 7.2, 3.6, scheme) as (drawn, written):
        axes = drawn.add_subplot()
        most = max(int(counts.max(initial=0)) for _, counts in groups)
        for (words, counts), colour, dashes in zip(groups, colours(scheme), _DASHES, strict=False):
            axes.stairs(np.maximum(counts, 0.5), edges, color=colour, linestyle=dashes, linewidth=1.5, label=words)
        axes.set(xlim=(0, 1), yscale="log", ylim=(0.7, 2 * max(most, 5)))
        axes.set(xlabel="score of the worst layer", ylabel="chambers")
        if len(groups) > 1:
            axes.legend(loc="upper center", ncols=min(len(groups), 5))
    return written.getvalue()


def calibration_picture(steps: Sequence[CalibrationStep], scheme: Scheme) -> bytes:
    """Draw the share of layers labelled bad against the score. On the diagonal a score is a probability."""
    inks = INKS[scheme]
    with figure("What a score means", 4.8, 3.6, scheme) as (drawn, written):
        axes = drawn.add_subplot()
        axes.plot((0, 1), (0, 1), color=inks.soft, linewidth=0.8, linestyle="--")
        shown = [step for step in steps if step.layers >= LEAST_LAYERS]
        values = [step.mean for step in shown], [step.share for step in shown], [step.error for step in shown]
        axes.errorbar(*values, color=inks.line, linestyle="none", marker="o", ms=4, capsize=2, linewidth=1.2)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean score of the layers", ylabel="share called bad")
    return written.getvalue()
