"""Why a part has its score: how much each cell pushed it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from app.errors import InvalidInput


class Method(StrEnum):
    """The ways to explain. The values are stored with what they gave."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    GRADIENT_INPUT = "gradient_input"
    SMOOTHGRAD = "smoothgrad"
    OCCLUSION = "occlusion"
    STUDY_2018 = "study_2018"  # what pushes the output for good up, and nothing else: only to be compared with


DEFAULT = Method.OCCLUSION  # the best in `flask evaluate-saliency`


@dataclass(frozen=True, eq=False)
class Influence:
    """How much the cells of one item pushed the scores of their parts.

    Attributes:
        cells: float32 (parts, columns), in logits: > 0 pushes to bad. 0 where no cell is.
        around: float32 (parts,): what pushed through what lies around the part.
        bins: float32 (parts, bins): the same on what the network takes, before it was carried back.
        logit: float32 (parts,), log(P(bad) / P(good)); NaN where no part is.
        expected: float32 (parts,), the logit of the same part as expected. Integrated gradients share out
            the difference of the two: cells and `around` sum to it.
    """

    cells: np.ndarray
    around: np.ndarray
    bins: np.ndarray
    logit: np.ndarray
    expected: np.ndarray


def method_named(name: str) -> Method:
    """The method of this name.

    Raises:
        InvalidInput: there is none.

    >>> method_named("lime")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    app.errors.InvalidInput: method is 'lime', but must be one of integrated_gradients, ...
    """
    try:
        return Method(name)
    except ValueError:
        raise InvalidInput("method", name, f"one of {', '.join(Method)}") from None
