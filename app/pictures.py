"""How pictures of curves and bars look: one style for all of them, on light or dark paper. Not for what is on them.

Ticks point inwards on all four sides, as physicists are used to. The same figures give the same bytes. No colour stands
alone: lines differ by their dashes too, bars by their hatching; colours are those of Okabe and Ito (2008), which people
with any colour vision can tell apart. Text stays text.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#888888")
DARK_COLOURS = ("#7fb8e0", "#f0a35e", "#5fd0a5", "#e0a3c4", "#dfe4e6", "#e6c04a")  # as these, for dark paper
DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "//", "\\\\", "xx", "--", "||", "++", "/")  # no dots: each would be drawn as a circle of its own

# A picture drawn by this needs its own style, and nothing else.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"

_STYLE: dict[str, object] = {
    "svg.hashsalt": "driftwatch",  # identifiers inside the picture: not random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.linewidth": 0.8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_lock = threading.Lock()  # the style is the library's, for all threads


class Scheme(StrEnum):
    """What a picture stands on."""

    PAPER = "paper"  # white, whatever the page
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Inks:
    """The colours of a scheme: of text and axes, of what is quiet, of a line, of the range around it, of a warning."""

    text: str
    soft: str
    line: str
    range: str
    warning: str


INKS = {
    Scheme.PAPER: Inks("#000000", "#888888", "#0072B2", "#A8CFE6", "#D55E00"),
    Scheme.LIGHT: Inks("#1a2024", "#7d878c", "#00506e", "#9cc7d6", "#b0641a"),
    Scheme.DARK: Inks("#dfe4e6", "#74818a", "#7fd3e4", "#2f6270", "#e3a262"),
}


def colours(scheme: Scheme) -> Sequence[str]:
    """Of lines and bars, in the order in which they are used."""
    return DARK_COLOURS if scheme is Scheme.DARK else COLOURS


@contextmanager
def figure(
    title: str,
    width: float,
    height: float,
    scheme: Scheme = Scheme.PAPER,
    layout: Literal["constrained"] | None = "constrained",
) -> Iterator[tuple[Figure, io.BytesIO]]:
    """A figure of so many inches to draw in; written as SVG when the block ends.

    Args:
        title: what a reader of the file is told.
        layout: None where axes are placed by whoever draws.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    written = io.BytesIO()
    style: dict[Any, Any] = {**_STYLE, **_paper(scheme)}
    with _lock, matplotlib.rc_context(style):
        made = Figure((width, height), layout=layout)
        FigureCanvasSVG(made)
        yield made, written
        # No date, and no version of the library: neither is a figure.
        made.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Title": title})


def _paper(scheme: Scheme) -> dict[str, str]:
    if scheme is Scheme.PAPER:
        return {}
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    return dict.fromkeys(names, INKS[scheme].text) | {"figure.facecolor": "none", "axes.facecolor": "none"}
