"""Compilation of the loops over layers and cells: by Numba, on first use on a machine, cached beside the file.

A loop is compiled with everything it calls, and changes in other files are not noticed, so loops that call each other
are in one file. They release the interpreter lock, so two threads are twice as fast. Importing this imports Numba,
which pages do not need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    reordered = {"reassoc", "contract", "nsz", "nnan"}  # several cells per step; bit-identical results; no NaN
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=reordered)(function)
