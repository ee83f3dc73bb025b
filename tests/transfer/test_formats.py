"""Whatever a column can hold goes out and comes back the same, in every format."""

import csv
import hashlib
import io
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from drawn import cases
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.transfer.cells import STARTS_A_FORMULA, harmless, original
from app.transfer.columns import Column, Type
from app.transfer.formats import FORMATS, LONGEST_ROW

CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\t\n\r")
TEXTS = st.one_of(
    st.text(CHARACTERS),
    st.builds(
        str.__add__,
        st.sampled_from(["=", "+", "-", "@", "−", "＝", "＠", "'", " =", "\ufeff", "\ufeff=", '"', ",", "\r", ""]),
        st.text(CHARACTERS),
    ),
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {
    Type.INTEGER: INTEGERS,
    Type.NUMBER: NUMBERS,
    Type.TEXT: TEXTS,
    Type.YES_NO: st.booleans(),
    Type.TIME: st.integers(0, 4_000_000_000_000).map(
        lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    ),
    Type.BYTES: st.binary(),
    Type.INTEGERS: st.lists(INTEGERS, max_size=4),
    Type.NUMBERS: st.lists(st.none() | NUMBERS, max_size=4),
    Type.TEXTS: st.lists(TEXTS, max_size=3),
    Type.ROWS: st.lists(st.lists(st.integers(-1, 2**31 - 1), max_size=3), max_size=3),
    Type.JSON: st.dictionaries(TEXTS, st.none() | TEXTS | NUMBERS | st.lists(INTEGERS, max_size=2), max_size=3),
}
COLUMNS = [Column(str(one), one, "", optional=True) for one in Type]
ROWS = st.lists(st.fixed_dictionaries({str(one): st.none() | VALUES[one] for one in Type}), max_size=4)


def through(form, rows, columns=COLUMNS):
    content = b"".join(FORMATS[form].write(columns, rows, {"of": "a test"}))
    return list(FORMATS[form].read(io.BytesIO(content), columns))


@pytest.mark.parametrize("form", FORMATS)
@given(rows=ROWS)
@cases(20, many=200)
def test_what_goes_out_comes_back_the_same(form, rows):
    assert [row for _, row in through(form, rows)] == rows


@given(TEXTS)
def test_no_cell_is_a_formula_and_every_text_comes_back(text):
    assert not harmless(text).lstrip(" \ufeff").startswith(STARTS_A_FORMULA)
    assert original(harmless(text)) == text


def test_no_cell_of_a_csv_file_is_a_formula():
    columns = [Column("text", Type.TEXT, ""), Column("bytes", Type.BYTES, "")]
    rows = [{"text": f"{sign}1+1", "bytes": b"\xfb\xef\xbe"} for sign in "=+-@−＝＋－＠"]
    content = b"".join(FORMATS["csv"].write(columns, rows, {})).decode("utf-8-sig")
    for cells in list(csv.reader(io.StringIO(content)))[1:]:
        assert not any(cell.startswith(STARTS_A_FORMULA) for cell in cells)


def test_csv_begins_with_the_mark_by_which_excel_knows_utf_8_and_comes_back_without_it():
    columns = [Column("text", Type.TEXT, "")]
    content = b"".join(FORMATS["csv"].write(columns, [{"text": "−3 V, ΔΦ ≈ 5°"}], {}))
    assert content.startswith(b"\xef\xbb\xbftext\r\n")
    assert content.count(b"\xef\xbb\xbf") == 1
    for file in (content, content[3:]):  # as older exports, and other programs, write it
        assert list(FORMATS["csv"].read(io.BytesIO(file), columns)) == [(2, {"text": "−3 V, ΔΦ ≈ 5°"})]


def test_the_number_of_a_line_is_where_its_row_begins():
    columns = [Column("text", Type.TEXT, "")]
    assert [n for n, _ in through("csv", [{"text": "a\nb"}, {"text": "c"}], columns)] == [2, 4]
    assert [n for n, _ in through("jsonl", [{"text": "a\nb"}, {"text": "c"}], columns)] == [2, 3]


def test_a_bad_cell_is_named_and_the_others_are_read():
    columns = [Column("n", Type.INTEGER, ""), Column("t", Type.TIME, "", True)]
    read = list(FORMATS["csv"].read(io.BytesIO(b"n,t\n1,\nx,\n3,now\n4\n5,\n"), columns))
    assert [(n, str(row) if isinstance(row, InvalidInput) else row) for n, row in read] == [
        (2, {"n": 1, "t": None}),
        (3, "n is 'x', but must be a whole number."),
        (4, "t is 'now', but must be a time with its zone, such as 2026-11-22T08:05:00.120Z."),
        (5, "the line is '1 cells', but must be 2 cells, as the header has."),
        (6, {"n": 5, "t": None}),
    ]


@pytest.mark.parametrize("content", [b"n,x\n1,2\n", b"n,n\n1,1\n", b"x\n1\n"])
def test_other_columns_are_refused_at_once(content):
    ((number, error),) = FORMATS["csv"].read(io.BytesIO(content), [Column("n", Type.INTEGER, "")])
    assert number == 1
    assert isinstance(error, InvalidInput)


class Endless(io.RawIOBase):
    """So many bytes that have no line end."""

    def __init__(self, size):
        self.left = size

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(len(buffer), self.left)
        buffer[:count] = b"x" * count
        self.left -= count
        return count


def test_a_line_without_an_end_is_not_held_in_memory():
    tracemalloc.start()
    file = io.BufferedReader(Endless(4 * LONGEST_ROW))
    read = list(FORMATS["jsonl"].read(file, COLUMNS))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(isinstance(row, InvalidInput) for _, row in read)
    assert peak < 3 * LONGEST_ROW


@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_the_file(form, tmp_path):
    columns = [Column("n", Type.INTEGER, ""), Column("text", Type.TEXT, "")]

    def rows(count):
        return ({"n": i, "text": hashlib.sha256(str(i).encode()).hexdigest() * 8} for i in range(count))

    peaks = []
    for count in (6_000, 24_000):
        path = tmp_path / f"{count}.{form}"
        tracemalloc.start()
        with path.open("wb") as file:
            for piece in FORMATS[form].write(columns, rows(count), {}):
                file.write(piece)
        with path.open("rb") as file:
            assert sum(not isinstance(row, Exception) for _, row in FORMATS[form].read(file, columns)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert path.stat().st_size > 12_000_000 or form == "parquet"
    assert peaks[1] < 1.3 * peaks[0] + 200_000
