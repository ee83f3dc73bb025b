import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.shared.ticks import ticks


@pytest.mark.parametrize(
    ("top", "most", "step", "count"),
    [(0.31, 6, 0.1, 5), (1.0, 6, 0.2, 6), (0.07, 6, 0.02, 5), (4300, 5, 1000, 6), (2.5, 3, 1, 4), (1e-6, 6, 2e-7, 6)],
)
def test_numbers_along_an_axis_are_multiples_of_a_round_step_and_the_last_reaches_the_top(top, most, step, count):
    assert ticks(top, most) == pytest.approx([i * step for i in range(count)])


def test_what_arithmetic_adds_to_a_round_number_costs_no_step():
    assert ticks(1.0000000000000002, 2, (1, 2, 3, 5, 10)) == [0, 0.5, 1]
    assert ticks(0.1 + 0.2, 3) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_scale_of_counts_has_whole_numbers_only():
    assert ticks(1, 5, whole=True) == [0, 1]
    assert ticks(2_147_483_647, 5, whole=True) == [500_000_000 * i for i in range(6)]


@given(st.floats(0.01, 1e12))
def test_a_trend_has_a_number_at_its_top_and_one_half_way(top):
    zero, half, end = ticks(top, most=2, steps=(1, 2, 3, 5, 10))
    assert (zero, end) == (0, pytest.approx(2 * half))
    assert top * (1 - 1e-9) <= end <= 2.01 * top
