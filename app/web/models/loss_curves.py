"""The loss curves of a training: loss per epoch for training and validation data. Coordinates for an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from app.web.shared.ticks import ticks

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 96, 12, 36  # margins; the right one has room for the names of the curves
NEAREST = 16  # between two names


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: shown at its end.
        points: for a polyline.
        end: its last point.
        name_y: position of the name.
    """

    name: str
    points: str
    end: tuple[float, float]
    name_y: float


class LossCurves:
    """Both curves in one picture, with axes from zero to the greatest loss and to the last possible epoch.

    Attributes:
        curves: training first; empty before the end of the first epoch.
        ticks: (y, words) on the loss axis.
        epochs: (x, number) on the epoch axis.
        best: (x, y, epoch) of the lowest validation loss, whose weights are kept.
    """

    def __init__(self, losses: Sequence[Sequence[float]], epochs: int) -> None:
        """
        Args:
            losses: (epoch, training loss, validation loss), from epoch 1.
            epochs: maximum number of epochs.
        """
        self.width, self.height, self.left, self.top = WIDTH, HEIGHT, LEFT, TOP
        self.right, self.bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        self._epochs = max(epochs, 2)
        greatest = max((max(row[1:]) for row in losses), default=1.0) or 1.0
        at_axis = ticks(greatest, most=6)
        self._top_loss = at_axis[-1]
        self.ticks = [(self._y(loss), f"{loss:.4g}") for loss in at_axis]
        every = max(1, ceil(self._epochs / 10))
        self.epochs = [(self._x(n), n) for n in range(every, self._epochs + 1, every)]
        self.curves = self._curves(losses) if losses else []
        best = min(losses, key=lambda row: row[2], default=None)
        self.best = best and (self._x(best[0]), self._y(best[2]), int(best[0]))

    def _curves(self, losses: Sequence[Sequence[float]]) -> list[Curve]:
        ends = [(self._x(losses[-1][0]), self._y(losses[-1][column])) for column in (1, 2)]
        middle, apart = (ends[0][1] + ends[1][1]) / 2, max(abs(ends[0][1] - ends[1][1]), NEAREST) / 2
        first_is_upper = ends[0][1] <= ends[1][1]
        names = (middle - apart, middle + apart) if first_is_upper else (middle + apart, middle - apart)
        lift = max(0.0, max(names) - self.bottom)
        return [
            Curve(
                name=name,
                points=" ".join(f"{self._x(row[0]):.1f},{self._y(row[column]):.1f}" for row in losses),
                end=end,
                name_y=y - lift,
            )
            for column, name, end, y in zip((1, 2), ("training", "validation"), ends, names, strict=True)
        ]

    def _x(self, epoch: float) -> float:
        return LEFT + (epoch - 1) / (self._epochs - 1) * (self.right - LEFT)

    def _y(self, loss: float) -> float:
        return self.bottom - loss / self._top_loss * (self.bottom - TOP)
