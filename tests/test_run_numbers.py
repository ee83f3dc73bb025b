import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.run_numbers import LARGEST_RUN, MOST_RUNS_AT_ONCE, run_number, run_numbers
from app.errors import InvalidInput


@pytest.mark.parametrize("value", [0, -5, 10**9, "abc", "", "1.5", "1e5", "٣٠٢", True, None, "302635 x", "9" * 5000])
def test_what_is_no_run_number_is_refused(value):
    with pytest.raises(InvalidInput, match="must be a whole number from 1 to 999,999,999"):
        run_number(value)


@given(st.integers(1, LARGEST_RUN))
def test_every_run_number_is_read_as_itself(number):
    assert run_number(str(number)) == run_numbers(f" {number} ")[0] == number


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_several_are_read_in_their_order_each_once(numbers):
    assert run_numbers(", ".join(map(str, numbers))) == list(dict.fromkeys(numbers))


@pytest.mark.parametrize("text", ["5-7", "5 - 7", "5–7", "5,6;7", "5\n6\r\n7", " 5 6 7 , "])
def test_ranges_and_separators(text):
    assert run_numbers(text) == [5, 6, 7]


@pytest.mark.parametrize(
    "text", ["", "  ", ",", "7-5", "-5", "5-", "5--7", "1-5-9", "0-3", f"1-{MOST_RUNS_AT_ONCE + 1}", "1-999999999"]
)
def test_what_is_no_list_of_runs_is_refused(text):
    with pytest.raises(InvalidInput, match=r"^runs is "):
        run_numbers(text)
