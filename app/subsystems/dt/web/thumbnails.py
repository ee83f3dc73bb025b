"""Thumbnails of chambers, for strips of many, which show shapes rather than numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from app.subsystems.dt.web.heatmap import Cell, Heatmap, Row
from app.subsystems.dt.web.influence_map import InfluenceMap
from app.web.shared.colours import colour, grey, influence_colour

_SHADES = 16  # as many as are distinguishable on cells of two pixels; fewer make smaller files
_GAP = 0.5  # rows between superlayers
_HEIGHT = 12 + 2 * _GAP
_MARGIN = 3  # cells next to a picture with influence, for marking bad layers
_HATCH = (
    '<defs><pattern id="bad" width="1" height=".3" patternUnits="userSpaceOnUse">'
    '<rect width="1" height=".18" fill="#d8641f"/></pattern></defs>'
)


def thumbnail(heatmap: Heatmap) -> str:
    """An SVG without axes: a square for each cell, layer 1 at the bottom; nothing where there is no cell."""
    return _svg(heatmap.columns, _counts(heatmap, colour))


def influence_thumbnail(heatmap: Heatmap, pushed: InfluenceMap) -> str:
    """The same with the counts in grey and the influence on top, more opaque the stronger it is.

    Layers that the network calls bad have a hatched block on both sides.
    """
    columns, top = heatmap.columns, pushed.scale.top
    shapes: dict[int, list[str]] = {}
    marks = []
    for row in pushed.rows:
        y = _y(12 - row.layer, (row.layer - 1) // 4 + 1)
        for shade, cells in groupby(row.cells, lambda cell: round(cell.value / top * (_SHADES - 1))):
            stretch = list(cells)
            shapes.setdefault(shade, []).append(_stretch(stretch[0].number - 1, y, len(stretch)))
        if row.bad:
            marks += [_stretch(-_MARGIN, y, 2), _stretch(columns + _MARGIN - 2, y, 2)]
    above = "".join(
        f'<path fill="{influence_colour(1 if shade > 0 else -1)}" fill-opacity="{abs(shade) / (_SHADES - 1):.2g}" '
        f'd="{"".join(parts)}"/>'
        for shade, parts in sorted(shapes.items())
        if shade
    )
    hatch = f'{_HATCH}<path fill="url(#bad)" d="{"".join(marks)}"/>' if marks else ""
    return _svg(columns, _counts(heatmap, grey) + above + hatch, _MARGIN)


def _svg(columns: int, content: str, margin: float = 0) -> str:
    size = f'viewBox="{-margin:g} 0 {columns + 2 * margin:g} {_HEIGHT:g}" preserveAspectRatio="none"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} shape-rendering="crispEdges">{content}</svg>'


def _counts(heatmap: Heatmap, paint: Callable[[float], str]) -> str:
    shapes: dict[int, list[str]] = {}
    for y, row in enumerate(heatmap.rows):
        for shade, first, length in _runs(row, heatmap):
            shapes.setdefault(shade, []).append(_stretch(first, _y(y, row.superlayer), length))
    return "".join(
        f'<path fill="{paint(shade / (_SHADES - 1))}" d="{"".join(parts)}"/>' for shade, parts in sorted(shapes.items())
    )


def _y(from_top: int, superlayer: int) -> float:
    return from_top + (3 - superlayer) * _GAP


def _stretch(first: float, y: float, length: int) -> str:
    return f"M{first:g} {y:g}h{length}v.9h-{length}z"


def _runs(row: Row, heatmap: Heatmap) -> Iterator[tuple[int, int, int]]:
    """(shade, first cell from 0, number of cells) of the stretches of equal shade in a row."""

    def shade(cell: Cell) -> int | None:
        return round(min(heatmap.scale.fraction(cell.count), 1) * (_SHADES - 1)) if cell.exists else None

    for value, cells in groupby(row.cells, shade):
        stretch = list(cells)
        if value is not None:
            yield value, stretch[0].number - 1, len(stretch)
