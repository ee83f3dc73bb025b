"""Round numbers along an axis, found by matplotlib. Their positions are up to each picture."""

from __future__ import annotations

from collections.abc import Sequence

ROUND = (1, 2, 5, 10)


def ticks(top: float, most: int, steps: Sequence[float] = ROUND, whole: bool = False) -> list[float]:
    """Multiples of a round step, from 0 to the first that reaches the top.

    Args:
        top: above 0.
        most: maximum number of steps.
        steps: round numbers from 1 to 10, valid for any power of ten.
        whole: whole numbers only.

    >>> ticks(87, 5), ticks(2.5, 3), ticks(1, 5, whole=True)
    ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [0.0, 1.0, 2.0, 3.0], [0.0, 1.0])
    """
    from matplotlib.ticker import MaxNLocator  # takes half a second, which would delay every start of the program

    reached = float(f"{top:.9g}")  # rounding errors must not cost a step
    return [float(value) for value in MaxNLocator(most, steps=list(steps), integer=whole).tick_values(0, reached)]
