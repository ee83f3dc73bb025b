"""Colour maps: a perceptually uniform one for counts, from 0 (dark) to 1 (bright), and one for influence.

The map of counts is a helix in OKLab: lightness and hue change in proportion to the value at constant chroma, so that
equal steps of the value are equal distances in that space. It runs from dark violet over teal to yellow, like viridis.
Lightness alone orders the colours, so that the order is the same in grey and with any colour vision.

The map of influence consists of two straight lines in OKLab, from white at 0 to orange at 1 and to blue at −1. Equal
steps are equal distances here too, both ends are equally far from white, and blue and orange are distinguishable with
any colour vision.

Source: B. Ottosson, "A perceptual color space for image processing" (2020), for OKLab and its matrices.
"""

from __future__ import annotations

from functools import cache
from math import cos, radians, sin

STEPS = 256
_LIGHTNESS = (0.30, 0.92)
_HUE = (300.0, 105.0)  # degrees in OKLab: violet, yellow
_CHROMA = 0.10  # about the maximum at which screens can show the whole helix
_LIGHT_INK_BELOW = 0.557  # lightness from which black text is easier to read than white

_WHITE = 0.97  # lightness at influence 0
_END, _END_CHROMA = 0.62, 0.15  # at −1 and 1: as dark as possible with legible black text
_GREY = (0.55, 0.88)
_ORANGE, _BLUE = 52.0, 250.0  # degrees in OKLab


def colour(fraction: float) -> str:
    """The colour of a value from 0 to 1; out-of-range values are clipped.

    >>> colour(0), colour(1) == colour(7.5)
    ('#361e57', True)
    """
    return _table()[round(min(max(fraction, 0.0), 1.0) * (STEPS - 1))]


def is_dark(fraction: float) -> bool:
    """Whether text on this colour must be light to be legible (WCAG contrast of at least 4.5)."""
    return _between(_LIGHTNESS, min(max(fraction, 0.0), 1.0)) < _LIGHT_INK_BELOW


def influence_colour(fraction: float) -> str:
    """The colour of an influence from −1 (towards good) to 1 (towards bad); out-of-range values are clipped.

    >>> influence_colour(-1), influence_colour(0), influence_colour(1)
    ('#2f8adc', '#f5f5f5', '#ca6719')
    """
    return _influence_table()[round((min(max(fraction, -1.0), 1.0) + 1) / 2 * (STEPS - 2))]


def grey(fraction: float) -> str:
    """A subdued grey for a value from 0 to 1, for counts below an influence overlay."""
    return _hex(oklab_to_srgb(_between(_GREY, min(max(fraction, 0.0), 1.0)), 0, 0))


@cache
def _influence_table() -> tuple[str, ...]:
    return tuple(_on_line(2 * i / (STEPS - 2) - 1) for i in range(STEPS - 1))  # odd, so that one of them is 0


def _on_line(fraction: float) -> str:
    hue, far = radians(_ORANGE if fraction > 0 else _BLUE), abs(fraction)
    chroma = far * _END_CHROMA
    return _hex(oklab_to_srgb(_between((_WHITE, _END), far), chroma * cos(hue), chroma * sin(hue)))


@cache
def _table() -> tuple[str, ...]:
    return tuple(_helix(i / (STEPS - 1)) for i in range(STEPS))


def _helix(fraction: float) -> str:
    hue = radians(_between(_HUE, fraction))
    return _hex(oklab_to_srgb(_between(_LIGHTNESS, fraction), _CHROMA * cos(hue), _CHROMA * sin(hue)))


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * min(max(value, 0.0), 1.0)):02x}" for value in rgb)


def oklab_to_srgb(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    """Convert OKLab to sRGB; values outside 0…1 cannot be shown on a screen.

    >>> [round(value, 3) for value in oklab_to_srgb(1, 0, 0)]
    [1.0, 1.0, 1.0]
    """
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _between(ends: tuple[float, float], fraction: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * fraction
