"""How far people agree beyond chance: Cohen's kappa of two, Fleiss' kappa of all.

Only labels count that were given without seeing another's: the first one of an item, and the blind ones. Each layer of
an item is one question with two answers, bad or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from app.domain.labels import LabelEvent, independent_labels

# (layers of an item, {(name, bad layers), …}): who answered what. There are far fewer of them than items.
Way = tuple[tuple[int, ...], frozenset[tuple[str, frozenset[int]]]]


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


def agreement(ways: Mapping[Way, int], disputed: int = 0) -> Agreement:
    """Agreement by pair and by layer.

    Args:
        ways: in which at least two people answered → of how many items.
        disputed: passed on.
    """
    pairs: dict[tuple[str, str], Counter[tuple[bool, bool]]] = defaultdict(Counter)
    together: Counter[tuple[str, str]] = Counter()
    votes: dict[int, Counter[tuple[int, int]]] = defaultdict(Counter)
    for (layers, answers), items in ways.items():
        for (first, one), (second, other) in combinations(sorted(answers), 2):
            together[first, second] += items
            for n in layers:
                pairs[first, second][n in one, n in other] += items
        for layer in layers:
            bad = sum(layer in answer for _, answer in answers)
            votes[layer][len(answers) - bad, bad] += items
    every = sum(votes.values(), Counter())
    return Agreement(
        pairs=tuple(
            PairAgreement(
                people,
                together[people],
                said.total(),
                sum(n for (a, b), n in said.items() if a == b) / said.total(),
                cohen_kappa(said),
            )
            for people, said in sorted(pairs.items())
        ),
        layers=tuple(_layer(layer, votes[layer], votes[layer].total()) for layer in sorted(votes)),
        all=_layer(None, every, sum(ways.values())) if every else None,
        disputed=disputed,
    )


def by_person(ways: Mapping[Way, int]) -> dict[str, tuple[float, int]]:
    """name → (share of layers where they said the same as another, items compared with another's)."""
    same, asked, compared = Counter[str](), Counter[str](), Counter[str]()
    for (layers, answers), items in ways.items():
        for name, answer in answers:
            compared[name] += items
            for other, others in answers:
                if other != name:
                    asked[name] += items * len(layers)
                    same[name] += items * (len(layers) - len(answer ^ others))
    return {name: (same[name] / asked[name], compared[name]) for name in compared}


def way_of(events: Sequence[LabelEvent], layers: Iterable[int]) -> Way:
    """What those answered of an item who did not know what others said.

    Args:
        events: of the item, by seq.
        layers: that it has.
    """
    answers = {event.by: frozenset(event.bad) for event in independent_labels(events)}
    return tuple(layers), frozenset(answers.items())


def is_like(way: Way, people: Collection[str] = (), layer: int | None = None, alike: bool | None = None) -> bool:
    """Whether a way belongs to a figure.

    Args:
        people: all of them answered; others' answers do not matter.
        layer: it has this one; others do not matter.
        alike: all answers are the same, or not.

    >>> way = ((1, 2), frozenset({("ann", frozenset({2})), ("bob", frozenset()), ("eva", frozenset({2}))}))
    >>> is_like(way, alike=True), is_like(way, ["ann", "eva"], alike=True), is_like(way, layer=1, alike=True)
    (False, True, True)
    """
    layers, answers = way
    asked = layers if layer is None else [n for n in layers if n == layer]
    said = {name: frozenset(asked) & bad for name, bad in answers if not people or name in people}
    if not asked or not said.keys() >= set(people):
        return False
    return alike is None or (len(set(said.values())) == 1) == alike


def cohen_kappa(said: Iterable[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of two people who answered the same questions with yes or no: (p₀ − pₑ) / (1 − pₑ).

    p₀ is the share of questions with the same answer, pₑ the share expected if each gave their answers by chance, as
    often as they did. Cohen, Educational and Psychological Measurement 20 (1960) 37.

    Args:
        said: their answers to each question, or how often they gave which; at least one.

    Returns:
        1 where they always agree, 0 where no more than by chance; None where both gave one and the same answer always,
        so that chance explains everything.

    >>> cohen_kappa([(True, True), (False, False), (False, True), (False, False)])
    0.5
    """
    counts = Counter(said)
    both, neither, n = counts[True, True], counts[False, False], counts.total()
    observed = (both + neither) / n
    first, second = (both + counts[True, False]) / n, (both + counts[False, True]) / n
    return _beyond_chance(observed, first * second + (1 - first) * (1 - second))


def fleiss_kappa(votes: Iterable[tuple[int, int]]) -> float | None:
    """Fleiss' kappa of any number of people: (P̄ − P̄ₑ) / (1 − P̄ₑ).

    P̄ is the mean over the questions of the share of pairs of answers that are alike, P̄ₑ the sum of the squares of the
    shares of all answers. Fleiss, Psychological Bulletin 76 (1971) 378; there every question has the same number of
    answers, here a question's own number stands in its share of pairs, and shares are of all answers given.

    Args:
        votes: of each question, how many said no and how many said yes, at least two together; or how often there
            were so many of either.

    Returns:
        As `cohen_kappa`.

    >>> fleiss_kappa([(2, 0), (1, 1), (0, 2), (2, 0)])
    0.4666666666666667
    """
    counts = Counter(votes)
    no, yes = (sum(n * vote[i] for vote, n in counts.items()) for i in (0, 1))
    return _beyond_chance(_mean_alike(counts), (no / (no + yes)) ** 2 + (yes / (no + yes)) ** 2)


def _layer(layer: int | None, votes: Counter[tuple[int, int]], items: int) -> LayerAgreement:
    bad = sum(n * yes for (_, yes), n in votes.items())
    return LayerAgreement(
        layer=layer,
        items=items,
        judgements=bad + sum(n * no for (no, _), n in votes.items()),
        bad=bad,
        observed=_mean_alike(votes),
        kappa=fleiss_kappa(votes),
    )


def _mean_alike(votes: Counter[tuple[int, int]]) -> float:
    """The mean over questions of the share of pairs of answers that are alike."""
    alike = {
        vote: (vote[0] * (vote[0] - 1) + vote[1] * (vote[1] - 1)) / (sum(vote) * (sum(vote) - 1)) for vote in votes
    }
    return sum(n * alike[vote] for vote, n in votes.items()) / votes.total()


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if expected == 1 else (observed - expected) / (1 - expected)
