"""The networks' input: every layer as 47 bins, whatever its number of cells. Not for verdicts: see `verdict`.

47 is the length of the shortest layer, so no layer is stretched. As in 2018, except at the ends: a layer's last cells
keep their counts, whereas the old program mixed them with zeros from beyond the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np

from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.histogram import Occupancy, alike

BINS = 47


def layer_bins(occupancies: Sequence[Occupancy]) -> np.ndarray:
    """Resize each layer's counts on its existing cells to 47 bins, by linear interpolation; all layers at once.

    Returns:
        float32 (n, 12, 47), in hits per cell, not scaled; NaN where a chamber has no such layer. A layer of 47 cells is
        unchanged. The result is bit-identical whatever the rest of the batch.

    >>> from app.subsystems.dt.geometry import Chamber
    >>> chamber = Chamber(wheel=0, station=4, sector=9)
    >>> layer_bins([Occupancy(chamber, np.where(chamber.read_out, 7, -1))])[0, (0, 4, 11), :3]
    array([[ 7.,  7.,  7.],
           [nan, nan, nan],
           [ 7.,  7.,  7.]], dtype=float32)
    """
    bins = np.empty((len(occupancies), LAYERS * BINS), np.float32)
    for cells, those in alike(occupancies).items():
        left, right, share = taps(*cells)
        counts = np.array([occupancies[i].counts for i in those], np.float64).reshape(len(those), -1)
        bins[those] = counts.take(left, axis=1) * (1 - share) + counts.take(right, axis=1) * share
    return bins.reshape(-1, LAYERS, BINS)


def row_scaled(bins: np.ndarray) -> np.ndarray:
    """Divide each row (the last axis) by its greatest absolute value; rows of zeros are unchanged, NaN stays NaN.

    >>> row_scaled(np.array([[0.0, 2.0, 4.0], [0.0, 0.0, 0.0]]))
    array([[0. , 0.5, 1. ],
           [0. , 0. , 0. ]])
    """
    greatest = np.abs(bins).max(axis=-1, keepdims=True)
    return bins / np.where(greatest == 0, np.ones_like(greatest), greatest)


@lru_cache(maxsize=256)  # 10 kB each; a histogram with missing cells has its own
def taps(cells: bytes, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of a chamber's 12 × 47 bins: the two cells it lies between, and the share of the right one.

    Args:
        cells: the bytes of a bool (12, columns): which cells exist.

    Returns:
        int, int and float64 (564,): two indices into the flattened counts, and the share, NaN for absent layers.
    """
    left, right = np.zeros((2, LAYERS, BINS), int)
    share = np.full((LAYERS, BINS), np.nan)
    for layer, exists in enumerate(np.frombuffer(cells, bool).reshape(LAYERS, columns)):
        existing = np.flatnonzero(exists)
        if existing.size:
            first, second, share[layer] = _interpolation(existing.size)
            left[layer], right[layer] = layer * columns + existing[first], layer * columns + existing[second]
    return left.ravel(), right.ravel(), share.ravel()


@cache
def _interpolation(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for one layer of `length` cells: int, int and float64 (47,), exactly as scikit-image resizes a row.

    Derived from `skimage.transform.resize` of the identity, then applied to a whole run in one step: bit-identical to
    its own calls (which a test ensures), in a fraction of the time. Mode 'constant' would darken the ends.
    """
    from skimage.transform import resize  # slow to import, and not needed by pages

    weights = resize(
        np.eye(length), (length, BINS), order=1, mode="edge", preserve_range=True, anti_aliasing=False
    )  # [cell, bin]
    left = (weights > 0).argmax(axis=0)
    right = length - 1 - (weights[::-1] > 0).argmax(axis=0)
    return left, right, np.where(left == right, 0.0, weights[right, np.arange(BINS)])
