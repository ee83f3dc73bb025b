import random
from collections import Counter
from datetime import UTC, datetime

import pytest
from sklearn.metrics import cohen_kappa_score

from app.domain.agreement import agreement, by_person, cohen_kappa, fleiss_kappa, way_of
from app.domain.labels import EventKind, LabelEvent
from app.subsystems.dt import DT
from app.subsystems.dt.geometry import Chamber

PHI, STATION_4 = Chamber(0, 1, 1), Chamber(0, 4, 1)


def item(place, **answers):
    """Events of one item: the first label, and blind ones."""
    return [
        LabelEvent(f"{i}", f"{i}", 1, place, i + 1, EventKind.LABEL, name, datetime.now(UTC), tuple(bad), blind=i > 0)
        for i, (name, bad) in enumerate(answers.items())
    ]


def ways(*items):
    """In which ways items were answered, by at least two people → how many were."""
    found = [way_of(events, DT.parts(events[0].place)) for events in items]
    return Counter(way for way in found if len(way[1]) > 1)


@pytest.mark.parametrize("seed", range(20))
def test_cohens_kappa_is_that_of_scikit_learn(seed):
    draw = random.Random(seed)
    truth = [draw.random() < 0.3 for _ in range(50)]
    said = [tuple(bad if draw.random() < 0.8 else not bad for _ in range(2)) for bad in truth]
    expected = cohen_kappa_score([a for a, _ in said], [b for _, b in said])
    assert cohen_kappa(said) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_fleiss_kappa_of_two_people_is_cohens_of_them_and_of_them_exchanged(seed):
    draw = random.Random(seed)
    said = [(draw.random() < 0.3, draw.random() < 0.5) for _ in range(40)]
    first, second = zip(*said, strict=True)
    expected = cohen_kappa_score(first + second, second + first)  # chance is then that of all answers together
    assert fleiss_kappa([(2 - sum(pair), sum(pair)) for pair in said]) == pytest.approx(expected, abs=1e-12)


def test_fleiss_kappa_with_unequal_numbers_of_answers_worked_by_hand():
    # Pairs alike: 1 of 1, 1 of 3, 6 of 6; so 7/9. Answers: 3 no of 9, 6 yes; by chance alike 1/9 + 4/9.
    votes = [(2, 0), (1, 2), (0, 4)]
    assert fleiss_kappa(votes) == pytest.approx((7 / 9 - 5 / 9) / (4 / 9))


def test_where_chance_explains_everything_there_is_no_kappa():
    assert cohen_kappa([(False, False)] * 4) is None
    assert fleiss_kappa([(2, 0)] * 4) is None
    assert cohen_kappa([(True, False), (False, True)]) == -1


def test_pairs_and_layers_are_counted_on_the_layers_that_exist():
    items = [
        item(PHI, ann=[1, 7], bob=[1]),
        item(PHI, ann=[], bob=[]),
        item(STATION_4, bob=[9], eve=[9]),
        item(STATION_4, ann=[1]),  # nobody else labelled it
    ]
    found = agreement(ways(*items), disputed=1)
    first, second = found.pairs
    assert (first.people, first.items, first.parts, first.observed) == (("ann", "bob"), 2, 24, 23 / 24)
    assert (second.people, second.items, second.parts, second.kappa) == (("bob", "eve"), 1, 8, 1)
    layers = {one.part: one for one in found.parts}
    assert (layers[1].items, layers[1].judgements, layers[1].bad, layers[1].kappa) == (3, 6, 2, 1)
    assert (layers[7].items, layers[7].bad, layers[7].observed) == (2, 1, 0.5)
    assert (found.all.items, found.all.judgements, found.disputed) == (3, 64, 1)


def test_a_label_by_one_who_saw_the_first_says_nothing_of_agreement():
    open_label, *_ = item(PHI, bob=[1])
    assert agreement(ways([*item(PHI, ann=[1]), open_label])).pairs == ()


def test_each_person_has_the_share_of_layers_where_they_said_the_same_as_others():
    alike = by_person(ways(item(PHI, ann=[1, 2], bob=[1], eve=[1])))
    assert alike == {"ann": (22 / 24, 1), "bob": (23 / 24, 1), "eve": (23 / 24, 1)}
