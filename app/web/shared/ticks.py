"""Round numbers along an axis, as matplotlib finds them. Not for where they stand: that is each picture's."""

from __future__ import annotations

from collections.abc import Sequence

ROUND = (1, 2, 5, 10)


def ticks(top: float, most: int, steps: Sequence[float] = ROUND, whole: bool = False) -> list[float]:
    """Multiples of a round step, from 0 to the first that reaches the top.

    Args:
        top: above 0.
        most: steps there are at most.
        steps: what counts as round, times any power of ten, from 1 to 10.
        whole: only whole numbers.

    >>> ticks(87, 5), ticks(2.5, 3), ticks(1, 5, whole=True)
    ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [0.0, 1.0, 2.0, 3.0], [0.0, 1.0])
    """
    from matplotlib.ticker import MaxNLocator  # half a second to import, which no start of the program waits for

    reached = float(f"{top:.9g}")  # what arithmetic adds to a round number is not to cost a step
    return [float(value) for value in MaxNLocator(most, steps=list(steps), integer=whole).tick_values(0, reached)]
