"""What is given from outside becomes something that the program and the database hold, or is refused; at once."""

from datetime import datetime

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import given as read
from app.errors import InvalidInput, SettingsError
from config import Settings


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_whole_number_of_eight_bytes_is_read_as_it_is_written(value):
    assert read.whole_number(str(value)) == value


@given(st.text() | st.sampled_from(["1_000", "１２", "0x10", "1e3", str(2**63), "9" * 5_000, "", "-", "١"]))
def test_a_whole_number_is_of_plain_digits_or_refused(text):
    try:
        assert bson.encode({"number": read.whole_number(text)})
        assert all(character in "0123456789+-−" for character in text.strip())
    except ValueError:
        pass


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_as_it_is_written(value):
    assert read.number(repr(value)) == value


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1_0", "１", "1e999", "", ".", "e5", "0x1p3"])
def test_what_is_no_finite_number_plainly_written_is_refused(text):
    with pytest.raises(ValueError, match="not a number"):
        read.number(text)


@pytest.mark.parametrize("value", ["x", "5", 1.5, None, True, [], 2**40, -1])
def test_a_range_is_asked_for_whole_numbers_only(value):
    with pytest.raises(InvalidInput, match="a whole number from 0 to 2,147,483,647"):
        read.within("seq", value, range(2**31))


@given(st.text(st.characters()))
def test_a_text_that_is_kept_can_be_kept_and_written(text):
    if read.is_sound(text):
        assert bson.decode(bson.encode({"text": text})) == {"text": text}
        assert text.encode().decode() == text
        assert "\x00" not in text


def test_a_name_is_the_same_however_its_accents_are_written():
    assert read.sound_name("by", "Andre\u0301") == read.sound_name("by", " Andr\xe9 ") == "Andr\xe9"
    for wrong in ("", " ", "two\nlines", "a\x00", "a" * 101, "\ud800"):
        with pytest.raises(InvalidInput):
            read.sound_name("by", wrong)


@pytest.mark.parametrize(
    "text",
    ["[" * 3_000 + "]" * 3_000, "[" * 60 + "]" * 60, r'"\ud800"', r'{"\u0000": 1}', "1e999", "NaN", str(2**63), "{"],
)
def test_json_that_cannot_be_kept_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 (each says something else)
        read.parsed(text)


def test_a_time_is_of_a_year_that_there_is_in_utc_too():
    assert read.in_utc(datetime.fromisoformat("2026-11-22T09:05:00+01:00")).isoformat() == "2026-11-22T08:05:00+00:00"
    for wrong in ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-11-22T08:05:00"):
        with pytest.raises(ValueError, match="should be a time"):
            read.in_utc(datetime.fromisoformat(wrong))


def test_an_argument_of_a_command_that_cannot_be_kept_or_is_no_plain_number_is_refused(app):
    run = app.test_cli_runner().invoke
    for arguments, said in (
        (["models", "show", "row\udcff"], "without control characters"),
        (["evaluate-model", "--chambers", "1_000"], "not a whole number"),
        (["train", "--seed", "１２"], "not a whole number"),
        (["models", "threshold", "row-cnn-1", "--score", "nan"], "is not a number"),
        (["models", "threshold", "row-cnn-1", "--score", "1e-278", "--why", "x"], "0.000001 or more"),
    ):
        found = run(args=arguments)
        assert found.exit_code != 0
        assert said in found.output


def test_a_setting_is_plainly_written():
    for name, value in (("PORT", "8_080"), ("PORT", "８０"), ("DQM_BACKOFF", "inf"), ("DRIFTWATCH_USER", "a\x07")):
        with pytest.raises(SettingsError, match=name):
            Settings.from_environment({name: value})
