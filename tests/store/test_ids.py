import pytest

from app.errors import NotFound

STORED = ("jobs", "problems", "reevaluations", "imports", "labels")


@pytest.mark.parametrize("given", ["", "x", "µ", "\x00", "0" * 23, "0" * 25, "abcdefghijkl", "0" * 24])
def test_what_is_no_id_is_not_found_as_is_an_id_of_nothing(driftwatch, given):
    for name in STORED:
        with pytest.raises(NotFound) as raised:
            getattr(driftwatch.store, name).get(given)
        assert repr(given) in str(raised.value)
