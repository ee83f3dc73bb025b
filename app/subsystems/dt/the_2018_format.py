"""The training format of the 2018 study: a JSON array with an object a layer, all of whose fields but one are texts.

`wheel`, `sector`, `station`, `layer`, `run` and `lumi` ("-1": the whole run) are texts; `content` has the counts of the
cells that exist, without the −1 of those that do not. The study's own files spell it `contect`; both are read. The
objects of a chamber stand one after another. Where a cell of the read-out map is missing from a histogram, its place
cannot be told from the content any more, so that such a chamber goes out but does not come in.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, BinaryIO

import numpy as np

from app.domain.run_numbers import run_number
from app.errors import DriftwatchError, InvalidInput
from app.given import whole_number
from app.subsystems.dt.geometry import LAYERS, Chamber
from app.subsystems.dt.histogram import NO_CELL, Occupancy

NAME = "training-2018"
FIELDS = ("wheel", "sector", "station", "layer", "run", "lumi")
LARGEST_OBJECT = 1_000_000  # characters; a layer has at most 96 cells
PIECE = 1 << 16  # bytes read at a time

_BLANKS = re.compile(r"[ \t\r\n]*")


def written(histograms: Iterable[tuple[int, Occupancy]]) -> Iterator[bytes]:
    """The pieces of a file.

    Args:
        histograms: (run, histogram).
    """
    before = "[\n"
    for run, histogram in histograms:
        objects = []
        for layer in histogram.chamber.layers:
            chamber = histogram.chamber
            values = (chamber.wheel, chamber.sector, chamber.station, layer.number, run, -1)
            given = dict(zip(FIELDS, map(str, values), strict=True))
            objects.append(json.dumps({**given, "content": histogram.row(layer.number).tolist()}))
        yield (before + ",\n".join(objects)).encode()
        before = ",\n"
    yield b"\n]\n" if before != "[\n" else b"[]\n"


def read(
    file: BinaryIO, seen: Callable[[int], object] = lambda size: None
) -> Iterator[tuple[int, tuple[int, Occupancy] | DriftwatchError]]:
    """The chambers of a file: (number of the object of its first layer, from 1; (run, histogram) or what is wrong).

    Args:
        seen: is told, piece by piece, how many bytes were read.
    """
    for (run, chamber), group in groupby(_layers(file, seen), key=lambda one: one[1]):
        layers = list(islice(group, LAYERS + 1))  # one too many is enough to be wrong, however many follow
        first = layers[0][0]
        wrong = next((content for _, _, _, content in layers if isinstance(content, DriftwatchError)), None)
        if wrong is not None or chamber is None:
            yield next((n, content) for n, _, _, content in layers if isinstance(content, DriftwatchError))
            continue
        try:
            yield first, (run, _occupancy(chamber, [(layer, content) for _, _, layer, content in layers]))
        except DriftwatchError as error:
            yield first, error


def _layers(
    file: BinaryIO, seen: Callable[[int], object]
) -> Iterator[tuple[int, tuple[int, Chamber | None], int, Any]]:
    """(number, (run, chamber), layer, its content or what is wrong); a number that no run has where it is not known."""
    for number, given in enumerate(_objects(file, seen), start=1):
        where: tuple[int, Chamber | None] = (-number, None)
        try:
            if isinstance(given, DriftwatchError):
                raise given
            values = {name: _whole(name, given.get(name)) for name in FIELDS}
            if values["lumi"] != -1:
                raise InvalidInput("lumi", given["lumi"], '"-1": histograms of whole runs')
            chamber = Chamber(values["wheel"], values["station"], values["sector"])
            where = run_number(values["run"]), chamber
            content = given.get("content", given.get("contect"))
            if not isinstance(content, list) or not all(type(count) is int and count >= 0 for count in content):
                raise InvalidInput("content", content, "a list of whole numbers, 0 or more")
            yield number, where, values["layer"], content
        except DriftwatchError as error:
            yield number, where, 0, error


def _occupancy(chamber: Chamber, layers: Sequence[tuple[int, Sequence[int]]]) -> Occupancy:
    rows = np.full((LAYERS, chamber.columns), NO_CELL, dtype=object)
    wanted = {layer.number: layer for layer in chamber.layers}
    for number, content in layers:
        layer = wanted.pop(number, None)
        if layer is None:
            accepted = f"one of those of {chamber}, each once: {', '.join(str(one.number) for one in chamber.layers)}"
            raise InvalidInput("layer", number, accepted)
        if len(content) != layer.cells:
            raise InvalidInput(
                "content", f"{len(content)} counts", f"{layer.cells} counts: layer {number} of {chamber}"
            )
        rows[number - 1, layer.first_cell - 1 : layer.last_cell] = content
    if wanted:
        raise InvalidInput("layer", None, f"given: {chamber} has layer {min(wanted)}, whose object does not follow")
    return Occupancy.from_rows(chamber, rows.tolist())


def _whole(field: str, value: object) -> int:
    try:
        return whole_number(str(value))
    except ValueError:
        raise InvalidInput(field, value, "a whole number, as a text") from None


def _objects(file: BinaryIO, seen: Callable[[int], object]) -> Iterator[Mapping[str, Any] | DriftwatchError]:
    """The objects of a JSON array, one after another; where the text is no JSON any more, that and nothing further."""
    text, decoder = codecs.getincrementaldecoder("utf-8-sig")(), json.JSONDecoder()
    held, at, opened = "", 0, False
    try:
        while True:
            blanks = _BLANKS.match(held, at)
            at = blanks.end() if blanks else at
            symbol = held[at : at + 1]
            if symbol == "]" and opened:
                return
            if symbol == ("," if opened else "["):
                opened, at = True, at + 1
                continue
            if symbol and opened:
                try:
                    given, at = decoder.raw_decode(held, at)
                except ValueError:
                    pass  # it may go on in the next piece
                else:
                    yield given if isinstance(given, dict) else InvalidInput("the object", given, "a JSON object")
                    continue
            data = file.read(PIECE)
            seen(len(data))
            piece = text.decode(data, final=not data)
            if not data or len(held) - at > LARGEST_OBJECT or (symbol and not opened):
                yield InvalidInput("the file", held[at : at + 40], "a JSON array of objects, to its end")
                return
            held, at = held[at:] + piece, 0
    except (UnicodeDecodeError, RecursionError):
        yield InvalidInput("the file", held[at : at + 40], "a JSON array of objects in UTF-8")
