"""A stamp, on which hangs what is kept in memory, changes with all that it stands for, whoever's clock is right."""

from datetime import UTC, datetime, timedelta

from app.domain.problems import Problem
from app.subsystems.dt import DT

NOW, LONG_AGO = datetime.now(UTC), datetime.now(UTC) - timedelta(days=365)
FIRST, SECOND, *_ = DT.places()


def problem(place, at):
    return Problem(id="", place=place, parts=(1,), cells=None, text="dead", since=1, until=None, by="eva", at=at)


def test_a_problem_that_is_imported_changes_the_stamp_however_long_ago_it_was_noted(driftwatch):
    problems = driftwatch.store.problems
    problems.add(problem(FIRST, NOW))
    before = problems.stamp()
    problems.add(problem(SECOND, LONG_AGO))
    assert problems.stamp() != before


def test_a_problem_that_is_ended_changes_the_stamp_also_where_the_clock_is_behind(driftwatch, monkeypatch):
    problems = driftwatch.store.problems
    first, second = problems.add(problem(FIRST, NOW)), problems.add(problem(SECOND, NOW))
    problems.end(first.id, 5, "eva")
    before = problems.stamp()
    monkeypatch.setattr("app.store.problems.datetime", Behind)
    problems.end(second.id, 5, "eva")
    assert problems.stamp() != before


def test_a_run_that_changes_changes_the_stamp_also_where_the_clock_is_behind(driftwatch, monkeypatch):
    runs = driftwatch.store.runs
    for number in (1, 2):
        runs.request(number, "tests", 250)
        runs.update(number, summary={"bad_items": 0})
    before = runs.stamp()
    monkeypatch.setattr("app.store.runs.datetime", Behind)
    assert runs.update(1, summary={"bad_items": 3})
    assert runs.stamp() != before


class Behind(datetime):
    """The clock of a machine that is an hour late."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - timedelta(hours=1)
