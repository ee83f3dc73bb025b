"""Reads an untrusted Keras 2 `.h5` file: the config as JSON, and the weights. Not for what they mean.

The layout is that of `keras.engine.saving` (Keras 2.0 to 2.15, including tf.keras): the layers as JSON in the attribute
`model_config`, the weights as data sets `model_weights/LAYER/…/kernel:0`. Links are not followed, so nothing outside
the file is opened; the declared size of a data set is compared with that of the file before it is read.

A single flipped bit can make the HDF5 library crash or hang. The file is therefore read in a separate process with
limits: this module run as a script, which imports nothing from Driftwatch (see `app.limited`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py

HDF5_BEGINS = b"\x89HDF\r\n\x1a\n"
MOST_PARAMETERS = 10_000_000  # the network of 2018 has 786
MOST_TEXT = 1_000_000  # bytes of an attribute; the config of six layers takes 3,000
MOST_OBJECTS = 2_000  # groups and data sets; Keras writes about four per layer
DEEPEST = 20  # groups within groups; Keras writes four
LINKS = {"SoftLink": "a soft link", "ExternalLink": "a link into another file"}
CPU_SECONDS = 5  # of the reading process; starting takes 0.3, the largest network 0.1 more
WALL_SECONDS = 120  # the same on a busy machine
MEMORY = 2 << 30  # bytes of address space; the largest network takes an eighth
# What h5py raises on damaged files, found by flipping bits; MemoryError for a bogus size.
DAMAGED = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError)

Weights = dict[str, dict[str, np.ndarray]]  # float32, by layer, by weight: weights["conv1d_1"]["kernel"]


class Unfit(Exception):
    """Why a file is refused: the end of a sentence that begins with its name, without the full stop."""


def read(path: Path) -> tuple[Any, Weights]:
    """The config of the network in a file, as JSON, and its weights.

    Raises:
        Unfit: the file is damaged, not from Keras 2, or has unexpected contents.
    """
    from app import limited  # imported here, because the script does without it

    try:
        with path.open("rb") as file:
            begins = file.read(len(HDF5_BEGINS))
    except OSError as error:
        raise Unfit(f"it cannot be read: {error.strerror}") from None
    if begins != HDF5_BEGINS:
        raise Unfit(f"it is not an HDF5 file: it begins with {begins!r}")
    try:
        done = subprocess.run(
            limited.command(Path(__file__), (path.absolute(),), limited.Limits(MEMORY, CPU_SECONDS)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
            env=limited.environment(),
        )
    except subprocess.TimeoutExpired:
        raise Unfit(f"it is damaged: it was not read within {WALL_SECONDS} s") from None
    if done.returncode:
        raise Unfit(f"it is damaged: the HDF5 library failed or did not finish (exit {done.returncode})")
    head, _, numbers = done.stdout.partition(b"\n")
    found = json.loads(head)
    if "unfit" in found:
        raise Unfit(found["unfit"])
    weights: Weights = {}
    values, start = np.frombuffer(numbers, np.float32), 0
    for layer, weight, shape in found["weights"]:
        end = start + int(np.prod(shape))
        weights.setdefault(layer, {})[weight] = values[start:end].reshape(shape)
        start = end
    return _json(found["config"]), weights


def _answer(path: Path) -> None:
    """Run in the separate process: write a line of JSON, then all weights as float32, to standard output."""
    import h5py

    weights: Weights = {}
    try:
        with h5py.File(path, "r") as file:
            config = _config(file)
            weights = _weights(_datasets(file), path.stat().st_size)
        shapes = [(layer, name, x.shape) for layer, some in weights.items() for name, x in some.items()]
        head = {"config": config, "weights": shapes}
    except Unfit as reason:
        head, weights = {"unfit": str(reason)}, {}
    except DAMAGED as error:
        head, weights = {"unfit": _why(error)}, {}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    for some in weights.values():
        for x in some.values():
            sys.stdout.buffer.write(x.tobytes())


def _why(error: BaseException) -> str:
    """Why the library did not read it: a sound file may be in use by another program."""
    if isinstance(error, BlockingIOError):
        return "another program has locked it, perhaps to write it: try again when that is done"
    if "already open for write" in str(error):
        return "another program is writing it, or ended before closing it: try again when it has been rewritten"
    return f"it is damaged: {first_line(error)}"


def _config(file: h5py.File) -> str:
    """The JSON text of the config, from a file with today's layout of weights."""
    written_by, backend = _text(file, "keras_version"), _text(file, "backend")
    if written_by is None or not written_by.startswith("2."):
        raise Unfit(f"its keras_version is {short(written_by)}, and only files of Keras 2 are understood")
    if backend not in (None, "tensorflow"):
        raise Unfit(f"its backend is {short(backend)}, whose weights have a different layout from TensorFlow's")
    config = _text(file, "model_config")
    if config is None:
        raise Unfit("it has no model_config: only the weights were saved, not the whole network")
    return config


def _text(file: h5py.File, name: str) -> str | None:
    if name not in file.attrs:
        return None
    size = file.attrs.get_id(name).get_storage_size()
    value = file.attrs[name] if size <= MOST_TEXT else None
    if not isinstance(value, str | bytes) or len(value) > MOST_TEXT:
        raise Unfit(f"its attribute {name} is not a text of at most {MOST_TEXT:,} bytes")
    return value if isinstance(value, str) else value.decode()


def _json(text: str) -> Any:
    def plain(found: dict[str, Any]) -> Any:  # tf.keras wrote some lists in this form
        return found["items"] if found.get("class_name") in ("TensorShape", "__tuple__") else found

    try:
        return json.loads(text, object_hook=plain)
    except (ValueError, KeyError, RecursionError) as error:
        raise Unfit(f"its model_config is not JSON: {first_line(error)}") from None


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Each data set in the file with its path; refuses links and anything outside the file."""
    import h5py

    waiting, seen = [("", file)], 0
    while waiting:
        above, group = waiting.pop()
        for name in group:
            at, seen = f"{above}/{name}", seen + 1
            if seen > MOST_OBJECTS or at.count("/") > DEEPEST:
                raise Unfit(f"it holds more than {MOST_OBJECTS:,} objects, or more than {DEEPEST} within another")
            link = type(group.get(name, getlink=True)).__name__
            if link != "HardLink":
                raise Unfit(f"{short(at)} is {LINKS.get(link, 'a link of an unknown kind')}")
            found = group[name]
            if isinstance(found, h5py.Group):
                waiting.append((at, found))
            elif not isinstance(found, h5py.Dataset):
                raise Unfit(f"{short(at)} is neither a group nor a data set")
            elif found.external or found.is_virtual:
                raise Unfit(f"{short(at)} is stored in another file")
            else:
                yield at, found


def _weights(datasets: Iterable[tuple[str, h5py.Dataset]], file_size: int) -> Weights:
    """The weights in `/model_weights`; anything else, such as the optimizer's state, is not read."""
    weights: Weights = {}
    parameters = 0
    for path, dataset in datasets:
        top, *within = path[1:].split("/")
        if top != "model_weights" or not within or within[0] == "top_level_model_weights":  # the last: of tf.keras
            continue
        layer, weight = within[0], within[-1].removesuffix(":0")
        parameters += dataset.size or 0
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize > 8:
            raise Unfit(f"{short(path)} holds {dataset.dtype}, not floating-point numbers")
        if dataset.chunks is not None:
            raise Unfit(f"{short(path)} is compressed or in chunks, which Keras does not write")
        if dataset.nbytes > file_size or parameters > MOST_PARAMETERS:
            raise Unfit(f"{short(path)} with {dataset.size:,} numbers is too large for the file or for a row network")
        with np.errstate(all="ignore"):
            values = np.asarray(dataset[()], np.float32)
        if not np.isfinite(values).all():
            raise Unfit(f"{short(path)} holds a number that is not finite")
        if weight in weights.setdefault(layer, {}):
            raise Unfit(f"the layer {short(layer)} has two weights that are called {short(weight)}")
        weights[layer][weight] = values
    return weights


def short(value: Any, limit: int = 60) -> str:
    """A value from the file for use in a message: one short line without control characters."""
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, default=repr)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def first_line(error: BaseException) -> str:
    """A library's error message, without the long list that often follows."""
    lines = str(error).splitlines() or [type(error).__name__]
    return short(lines[0].rstrip(" ."), 120)


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
