"""How the loops over layers and cells are compiled: by Numba, at the first use on a machine, and kept beside the file.

A loop is compiled with all that it calls; a change in another file would not be noticed. So loops that call each other
stand in one file. They hold no interpreter's lock, so that two threads are twice as fast. Importing this imports Numba,
which no page needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    reordered = {"reassoc", "contract", "nsz", "nnan"}  # several cells in one step; the same bits each time; no NaN
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=reordered)(function)
