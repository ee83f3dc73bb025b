"""Firefox puts what was in a form back after the page is loaded again, by its place: it must not meet another's row."""

import uuid

import pytest
from queue_of_chambers import PLACES, RUN, load_queue, path
from waiting import wait_until

from app.accounts import Role
from app.domain.labels import Seen

TICKED = "return [...document.querySelectorAll('.disputes input:checked')].map((box) => box.closest('form').ariaLabel)"
COMMENTS = "return [...document.querySelectorAll('.disputes input[name=comment]')].map((one) => one.value)"


@pytest.fixture
def app(make_app):
    app = make_app(control_share=0, second_opinions=1)
    load_queue(app.extensions["driftwatch"])
    return app


@pytest.fixture
def url(app, serve):
    return serve(app)


def say(driftwatch, person, place, bad):
    seen = Seen.of(driftwatch.store.items.get(RUN, place))
    driftwatch.labelling.submit(person, RUN, place, bad, str(uuid.uuid4()), seen)


def test_a_tick_meant_for_one_disagreement_is_not_on_the_next_when_the_first_is_decided(
    firefox, driftwatch, url, sign_in
):
    for place in PLACES[:3]:
        say(driftwatch, "ann", place, [1])
        say(driftwatch, "bob", place, [])
    sign_in(firefox, "expert", "eva", at=url)
    firefox.go(f"{url}/agreement/")
    first = firefox.run("return document.querySelector('.disputes form').ariaLabel")
    firefox.click(".disputes summary")
    firefox.click(".disputes input[name=bad]")
    firefox.write(".disputes input[name=comment]", "the first only")
    assert firefox.run(TICKED) == [first]
    shown = firefox.run("return document.querySelector('.disputes h3 a').pathname")
    decided = next(place for place in PLACES[:3] if path(place) == shown)
    driftwatch.labelling.resolve("eva", RUN, decided, [1], str(uuid.uuid4()))
    firefox.reload()
    assert firefox.run("return document.querySelector('.disputes form').ariaLabel") != first
    assert firefox.run(TICKED) == []
    assert set(firefox.run(COMMENTS)) == {""}


def test_a_role_chosen_for_one_account_is_not_on_another_when_one_is_added(firefox, driftwatch, url, sign_in):
    sign_in(firefox, "admin", "zoe", at=url)
    driftwatch.accounts.add("carl", Role.VIEWER, by="zoe")
    firefox.go(f"{url}/users/")
    firefox.run("document.querySelector('#account-carl select').value = 'admin'")
    driftwatch.accounts.add("bob", Role.VIEWER, by="zoe")
    firefox.reload()
    chosen = firefox.run(
        "return Object.fromEntries([...document.querySelectorAll('tr[id]')].map("
        "(row) => [row.id.replace('account-', ''), row.querySelector('select').value]))"
    )
    assert chosen == {"bob": "viewer", "carl": "viewer", "zoe": "admin"}


def test_a_last_run_written_for_one_problem_is_not_on_another_when_one_is_noted(firefox, driftwatch, url, sign_in):
    problems = driftwatch.labelling.problems
    problems.add("eva", PLACES[0], [1], "dead", since=RUN)
    sign_in(firefox, "expert", "eva", at=url)
    firefox.go(f"{url}/problems/")
    firefox.run("document.querySelector('input[name=until]').value = '400000'")
    problems.add("eva", PLACES[1], [2], "noisy", since=RUN)
    firefox.reload()
    values = firefox.run("return [...document.querySelectorAll('input[name=until]')].map((one) => one.value)")
    assert values == [str(RUN), str(RUN)]


def test_leaving_one_of_two_tabs_frees_its_chambers_and_not_those_of_the_other(firefox, driftwatch, url, sign_in):
    sign_in(firefox, "shifter", "ann", at=url)

    def held():
        return {claimed.item.place for claimed in driftwatch.labelling.held_by("ann")}

    def ahead():
        """Wait until this tab has the next chamber too."""
        had = "performance.getEntriesByType('resource').filter((one) => one.name.includes('part=item'))"
        firefox.wait(f"return {had}.length === 2")

    def begin():
        firefox.wait("return document.querySelector('#item')?.dataset.place && location.pathname !== '/eval/'")
        return firefox.run("return location.pathname")

    firefox.go(f"{url}/eval/")  # which gets the first chamber by itself
    one = begin()
    ahead()
    assert len(held()) == 2
    firefox.new_tab(f"{url}/eval/")
    two = begin()
    assert one != two
    ahead()
    assert len(held()) == 4
    firefox.go(f"{url}/problems/")  # on a busy machine Firefox may close a tab without letting it say goodbye
    firefox.look_at(firefox.tabs()[0])
    wait_until(lambda: len(held()) == 2)
    assert one in {path(place) for place in held()}
    assert two not in {path(place) for place in held()}
    firefox.reload()
    assert begin() == one
    wait_until(lambda: one in {path(place) for place in held()})
