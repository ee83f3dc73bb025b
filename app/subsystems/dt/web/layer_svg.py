"""One layer of a heat map as SVG. It is generated in code because a page has a thousand cells, for which a template
takes ten times as long. It only contains integers and our own colours, so nothing needs escaping.
"""

from __future__ import annotations

from markupsafe import Markup

from app.subsystems.dt.web.heatmap import Row
from app.subsystems.dt.web.influence_map import PushedRow, logits, short_logits

_LIGHT = ' class="l"'


def rectangles(row: Row) -> Markup:
    """A square of size 1 for each bin, at x from 0; invisible but hoverable if there is no cell."""
    layer = row.layer
    return Markup(
        "".join(
            f'<rect x="{cell.number - 1}" width="1" height="1" data-layer="{layer}" data-cell="{cell.number}" '
            f'data-count="{cell.count}" ' + (f'fill="{cell.fill}"/>' if cell.exists else 'class="none"/>')
            for cell in row.cells
        )
    )


def numbers(row: Row, columns: int) -> Markup:
    """The count of each cell, centred in it."""
    return Markup("".join(_text(cell.number, columns, cell.count, cell.dark) for cell in row.cells if cell.exists))


def marks(row: Row, columns: int) -> Markup:
    """A triangle on each cell above the scale."""
    return Markup("".join(_text(cell.number, columns, "▲", cell.dark) for cell in row.cells if cell.over))


def outline(cells: tuple[int, int], columns: int) -> Markup:
    """A frame around a range of cells: a known problem."""
    first, last = cells
    x, width = (first - 1) * 100 / columns, (last - first + 1) * 100 / columns
    return Markup(f'<rect class="known-cells" x="{x:.4g}%" y="1" width="{width:.4g}%" height="26"/>')


def pushes(row: PushedRow) -> Markup:
    """The squares of a layer's influence, one per existing cell, on top of those of its counts."""
    return Markup(
        "".join(
            f'<rect x="{cell.number - 1}" width="1" height="1" data-cell="{cell.number}" '
            f'data-influence="{logits(cell.value)}" fill="{cell.fill}"/>'
            for cell in row.cells
        )
    )


def push_numbers(row: PushedRow, columns: int) -> Markup:
    """The influence of each cell, centred in it: in black, which is legible on all influence colours."""
    return Markup("".join(_text(cell.number, columns, short_logits(cell.value), False) for cell in row.cells))


def _text(number: int, columns: int, what: int | str, dark: bool) -> str:
    return f'<text x="{(number - 0.5) * 100 / columns:.4g}%" y="50%"{_LIGHT if dark else ""}>{what}</text>'
