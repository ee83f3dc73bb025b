"""How far people agree beyond chance: Cohen's kappa of two, Fleiss' kappa of all.

Only labels count that were given without seeing another's: the first one of an item, and the blind ones. Each layer of
an item is one question with two answers, bad or not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from app.labelling.events import LabelEvent, independent_labels

Parts = Callable[[Any], Collection[int]]
Answers = Mapping[str, frozenset[int]]  # name → bad layers, of one item


@dataclass(frozen=True)
class PairAgreement:
    """Two people on the items that both judged, all layers together.

    Attributes:
        people: by name.
        items, layers: on how many.
        observed: share of layers on which they said the same.
        kappa: Cohen's; None where chance alone would make them agree everywhere.
    """

    people: tuple[str, str]
    items: int
    layers: int
    observed: float
    kappa: float | None


@dataclass(frozen=True)
class LayerAgreement:
    """All people on one layer.

    Attributes:
        layer: 1–12; None for all layers together.
        items: that at least two judged.
        judgements: single answers on them.
        bad: how many of the answers are "bad".
        observed: mean share of pairs of answers that are alike.
        kappa: Fleiss'; None as above.
    """

    layer: int | None
    items: int
    judgements: int
    bad: int
    observed: float
    kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """How far people agree.

    Attributes:
        pairs: by names.
        layers: 1–12, those with at least one item.
        all: all layers together; None where no item has two answers.
        disputed: items on which people disagree and no expert decided yet.
    """

    pairs: tuple[PairAgreement, ...]
    layers: tuple[LayerAgreement, ...]
    all: LayerAgreement | None
    disputed: int


def agreement(items: Iterable[Sequence[LabelEvent]], parts: Parts, disputed: int = 0) -> Agreement:
    """Agreement by pair and by layer.

    Args:
        items: the events of each item, by seq.
        parts: place → the layers that it has.
        disputed: passed on.
    """
    pairs: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    together: dict[tuple[str, str], int] = defaultdict(int)
    votes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    twice = list(_answered_twice(items))
    for place, answers in twice:
        for first, second in combinations(sorted(answers), 2):
            together[first, second] += 1
            pairs[first, second] += [(n in answers[first], n in answers[second]) for n in parts(place)]
        for layer in parts(place):
            bad = sum(layer in answer for answer in answers.values())
            votes[layer].append((len(answers) - bad, bad))
    every = [vote for layer in votes.values() for vote in layer]
    return Agreement(
        pairs=tuple(
            PairAgreement(
                people, together[people], len(said), sum(a == b for a, b in said) / len(said), cohen_kappa(said)
            )
            for people, said in sorted(pairs.items())
        ),
        layers=tuple(_layer(layer, votes[layer], len(votes[layer])) for layer in sorted(votes)),
        all=_layer(None, every, len(twice)) if every else None,
        disputed=disputed,
    )


def by_person(items: Iterable[Sequence[LabelEvent]], parts: Parts) -> dict[str, tuple[float, int]]:
    """name → (share of layers where they said the same as another, items compared with another's)."""
    same, asked, compared = defaultdict(int), defaultdict(int), defaultdict(int)
    for place, answers in _answered_twice(items):
        for name, answer in answers.items():
            compared[name] += 1
            for other in answers.keys() - {name}:
                asked[name] += len(parts(place))
                same[name] += len(parts(place)) - len(answer ^ answers[other])
    return {name: (same[name] / asked[name], compared[name]) for name in compared}


def cohen_kappa(said: Sequence[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of two people who answered the same questions with yes or no: (p₀ − pₑ) / (1 − pₑ).

    p₀ is the share of questions with the same answer, pₑ the share expected if each gave their answers by chance, as
    often as they did. Cohen, Educational and Psychological Measurement 20 (1960) 37.

    Args:
        said: their answers to each question; at least one.

    Returns:
        1 where they always agree, 0 where no more than by chance; None where both gave one and the same answer always,
        so that chance explains everything.

    >>> cohen_kappa([(True, True), (False, False), (False, True), (False, False)])
    0.5
    """
    n = len(said)
    observed = sum(a == b for a, b in said) / n
    first, second = sum(a for a, _ in said) / n, sum(b for _, b in said) / n
    return _beyond_chance(observed, first * second + (1 - first) * (1 - second))


def fleiss_kappa(votes: Sequence[tuple[int, int]]) -> float | None:
    """Fleiss' kappa of any number of people: (P̄ − P̄ₑ) / (1 − P̄ₑ).

    P̄ is the mean over the questions of the share of pairs of answers that are alike, P̄ₑ the sum of the squares of the
    shares of all answers. Fleiss, Psychological Bulletin 76 (1971) 378; there every question has the same number of
    answers, here a question's own number stands in its share of pairs, and shares are of all answers given.

    Args:
        votes: of each question, how many said no and how many said yes; at least two together.

    Returns:
        As `cohen_kappa`.

    >>> fleiss_kappa([(2, 0), (1, 1), (0, 2), (2, 0)])
    0.4666666666666667
    """
    total = sum(no + yes for no, yes in votes)
    shares = sum(no for no, _ in votes) / total, sum(yes for _, yes in votes) / total
    return _beyond_chance(_mean_alike(votes), sum(share**2 for share in shares))


def _layer(layer: int | None, votes: Sequence[tuple[int, int]], items: int) -> LayerAgreement:
    return LayerAgreement(
        layer=layer,
        items=items,
        judgements=sum(no + yes for no, yes in votes),
        bad=sum(yes for _, yes in votes),
        observed=_mean_alike(votes),
        kappa=fleiss_kappa(votes),
    )


def _mean_alike(votes: Sequence[tuple[int, int]]) -> float:
    alike = [(no * (no - 1) + yes * (yes - 1)) / ((no + yes) * (no + yes - 1)) for no, yes in votes]
    return sum(alike) / len(alike)


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if expected == 1 else (observed - expected) / (1 - expected)


def _answered_twice(items: Iterable[Sequence[LabelEvent]]) -> Iterable[tuple[Any, Answers]]:
    """(place, answers) of the items that at least two people answered independently."""
    for events in items:
        answers = {event.by: frozenset(event.bad) for event in independent_labels(events)}
        if len(answers) > 1:
            yield events[0].place, answers
