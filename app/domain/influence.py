"""Explanation of a part's score: how strongly each cell pushed it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from app.errors import InvalidInput


class Method(StrEnum):
    """The explanation methods. The values are stored with the results."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    GRADIENT_INPUT = "gradient_input"
    SMOOTHGRAD = "smoothgrad"
    OCCLUSION = "occlusion"
    STUDY_2018 = "study_2018"  # everything that raises the output for good; for comparison only


DEFAULT = Method.OCCLUSION  # the best according to `flask evaluate-saliency`


@dataclass(frozen=True, eq=False)
class Influence:
    """How strongly the cells of one item pushed the scores of its parts.

    Attributes:
        cells: float32 (parts, columns), in logits; > 0 pushes towards bad. 0 where there is no cell.
        around: float32 (parts,): contribution of the part's surroundings.
        bins: float32 (parts, bins): the influence on the network's input, before mapping back to cells.
        logit: float32 (parts,), log(P(bad) / P(good)); NaN where there is no part.
        expected: float32 (parts,), the logit of the same part with the expected content. Integrated gradients
            distribute the difference of the two: cells and `around` sum to it.
    """

    cells: np.ndarray
    around: np.ndarray
    bins: np.ndarray
    logit: np.ndarray
    expected: np.ndarray


def method_named(name: str) -> Method:
    """Return the method with this name.

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
