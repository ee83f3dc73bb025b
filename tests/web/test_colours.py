from itertools import pairwise

import pytest

from app.web.shared.colours import STEPS, colour, influence_colour, is_dark


def linear(channel):
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def rgb(text):
    return [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(text):
    """Relative luminance after WCAG 2."""
    red, green, blue = map(linear, rgb(text))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def oklab(text):
    red, green, blue = map(linear, rgb(text))
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


TABLE = [colour(i / (STEPS - 1)) for i in range(STEPS)]


def test_more_hits_are_always_brighter():
    assert all(luminance(darker) < luminance(brighter) for darker, brighter in pairwise(TABLE[::3]))


def test_equal_steps_of_the_count_look_equally_far_apart():
    places = [oklab(text) for text in TABLE[::17]]  # so far apart that rounding to 8 bits does not count
    steps = [sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in pairwise(places)]
    assert max(steps) / min(steps) < 1.15


@pytest.mark.parametrize("fraction", [i / 100 for i in range(101)])
def test_the_number_on_a_cell_can_be_read(fraction):
    ground, ink = luminance(colour(fraction)), 1.0 if is_dark(fraction) else 0.0
    assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) >= 4.5


INFLUENCE = [influence_colour(i / 50) for i in range(-50, 51)]


def test_influence_is_white_at_nothing_and_as_far_from_it_on_both_sides():
    white, blue, orange = (oklab(influence_colour(value)) for value in (0, -1, 1))
    assert abs(white[1]) + abs(white[2]) < 0.01
    assert blue[0] == pytest.approx(orange[0], abs=0.01)
    assert blue[2] < -0.1 < 0.08 < orange[2]


def test_equal_steps_of_influence_look_equally_far_apart():
    places = [oklab(text) for text in INFLUENCE[::10]]
    steps = [sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in pairwise(places)]
    assert max(steps) / min(steps) < 1.15


def test_black_is_read_on_every_influence():
    assert min(luminance(fill) for fill in INFLUENCE) + 0.05 >= 4.5 * 0.05
