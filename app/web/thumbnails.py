"""A chamber as a small picture: for strips of many, where one looks for a shape and reads no number."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from app.web.colours import colour
from app.web.heatmap import Cell, Heatmap, Row

_SHADES = 16  # as many as are told apart on a cell of two pixels; fewer make a smaller file
_GAP = 0.5  # rows between two superlayers
_HEIGHT = 12 + 2 * _GAP


def thumbnail(heatmap: Heatmap) -> str:
    """An SVG without axes: a square for each cell, layer 1 at the bottom; nothing where no cell is."""
    shapes: dict[int, list[str]] = {}
    for y, row in enumerate(heatmap.rows):
        for shade, first, length in _runs(row, heatmap):
            path = f"M{first} {y + (3 - row.superlayer) * _GAP:g}h{length}v.9h-{length}z"
            shapes.setdefault(shade, []).append(path)
    paths = "".join(
        f'<path fill="{colour(shade / (_SHADES - 1))}" d="{"".join(parts)}"/>'
        for shade, parts in sorted(shapes.items())
    )
    size = f'viewBox="0 0 {heatmap.columns} {_HEIGHT:g}" preserveAspectRatio="none" shape-rendering="crispEdges"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{paths}</svg>'


def _runs(row: Row, heatmap: Heatmap) -> Iterator[tuple[int, int, int]]:
    """(shade, first cell from 0, cells) of a row's stretches of one shade."""

    def shade(cell: Cell) -> int | None:
        return round(min(heatmap.scale.fraction(cell.count), 1) * (_SHADES - 1)) if cell.exists else None

    for value, cells in groupby(row.cells, shade):
        stretch = list(cells)
        if value is not None:
            yield value, stretch[0].number - 1, len(stretch)
