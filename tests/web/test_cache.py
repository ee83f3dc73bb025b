from app.web.shared.cache import Cache


def test_the_values_asked_for_last_are_kept_and_no_more_than_there_may_be():
    made = []

    def value(key):
        return kept.get(key, lambda: made.append(key) or key)

    kept = Cache(2)
    assert [value(key) for key in "abacab"] == list("abacab")
    assert made == ["a", "b", "c", "b"]  # b was asked for before a when c came


def test_a_value_may_be_nothing():
    made, kept = [], Cache(1)
    assert kept.get("a", lambda: made.append(1)) is None
    assert kept.get("a", lambda: made.append(2)) is None
    assert made == [1]
