"""TensorFlow and Keras, imported once and quietly, by the first job that needs them and never to serve a page.

This is the only place that configures them. All other code calls `keras()` or `tensorflow()` inside functions.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from types import ModuleType

# Read by the libraries on import; values already in the environment take precedence.
_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # what matters is raised; users cannot act on what is logged
    "CUDA_VISIBLE_DEVICES": "-1",  # 786 parameters gain nothing from a GPU
}
_NOTES = (b"before absl::InitializeLog()", b"oneDNN custom operations", b"cpu_feature_guard", b"To enable the foll")
_OPTIONAL = ("matplotlib", "pandas", "sklearn")  # Keras imports them where installed, though nothing here passes them
THREADS = 2  # per operation: a run takes milliseconds, and pages are served meanwhile

_lock = threading.Lock()


def tensorflow() -> ModuleType:
    """The configured module `tensorflow`. The first call takes seconds."""
    with _lock:
        return _import()


def is_imported() -> bool:
    """Whether this program has imported TensorFlow: work that can wait should not be the first to import it."""
    return "tensorflow" in sys.modules


def keras() -> ModuleType:
    """The module `keras`, on TensorFlow. The first call takes seconds."""
    tensorflow()
    import keras

    return keras


@contextmanager
def numpy_2_forgiven() -> Iterator[None]:
    """Around Keras calls that read variables: TensorFlow 2.21 does not know NumPy 2's keyword `copy` of `__array__`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept", DeprecationWarning)
        yield


@cache
def _import() -> ModuleType:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _notes_left_out(), _optional_left_out():
        import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(THREADS)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    # Its 240,000 objects stay: no collection shall walk over them again, which would hold all pages up for 0.15 s.
    gc.collect()
    gc.freeze()
    return tensorflow


class _OptionalFinder(MetaPathFinder):
    """Finds none of `_OPTIONAL` for this thread; others may import them meanwhile."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if threading.get_ident() == self._thread and fullname.partition(".")[0] in _OPTIONAL:
            raise ModuleNotFoundError(f"{fullname} is left out, to import Keras sooner", name=fullname)


@contextmanager
def _optional_left_out() -> Iterator[None]:
    """Import Keras without its optional libraries: they take a third of the time, and memory."""
    finder = _OptionalFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _notes_left_out() -> Iterator[None]:
    """Suppress two notes that TensorFlow's C++ part writes to standard error at every start, whatever the log level.

    Only the file descriptor can be redirected. Anything else written to it meanwhile is passed on at the end.
    """
    with tempfile.TemporaryFile() as aside:
        kept = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            aside.seek(0)
            for line in aside:
                if not any(note in line for note in _NOTES):
                    os.write(2, line)
