"""Agreement between people beyond chance: Cohen's kappa for two, Fleiss' kappa for all.

Only independent labels count: the first label of an item, and the blind ones. Each part of an item is one question,
and its possible classes are the answers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, compress

from app.domain.labels import LabelEvent, independent_labels
from app.domain.vocabulary import Vocabulary

Said = frozenset[tuple[int, str]]  # {(part, class), …}, without the parts of the default class
# (number of parts, {(name, what they said), …}): who answered what. There are far fewer of these than items.
Way = tuple[tuple[int, ...], frozenset[tuple[str, Said]]]
Vote = tuple[int, ...]  # number of people who gave each class as their answer to one question

PLAIN = Vocabulary()


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two people on the items that both judged, all parts pooled.

    Attributes:
        people: their names.
        items, parts: how many both judged.
        observed: share of parts with the same answer.
        kappa: Cohen's; None if chance alone would make them agree everywhere.
    """

    people: tuple[str, str]
    items: int
    parts: int
    observed: float
    kappa: float | None


@dataclass(frozen=True)
class PartAgreement:
    """Agreement of all people on one part.

    Attributes:
        part: its number; 0 for the item as a whole, None for all parts pooled.
        items: items that at least two people judged.
        judgements: number of single answers on them.
        bad: number of answers that are a fault.
        observed: mean share of agreeing pairs of answers.
        kappa: Fleiss'; None as above.
    """

    part: int | None
    items: int
    judgements: int
    bad: int
    observed: float
    kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """Agreement by pair of people, by part and overall.

    Attributes:
        pairs: by names.
        parts: by number, only parts with at least one item.
        all: all parts pooled; None if no item has two answers.
        disputed: items with an open disagreement.
    """

    pairs: tuple[PairAgreement, ...]
    parts: tuple[PartAgreement, ...]
    all: PartAgreement | None
    disputed: int


def agreement(ways: Mapping[Way, int], vocabulary: Vocabulary = PLAIN, disputed: int = 0) -> Agreement:
    """Compute the agreement by pair and by part.

    Args:
        ways: combination of answers by at least two people → number of items.
        vocabulary: the classes to choose from.
        disputed: passed through to the result.
    """
    names = list(vocabulary.classes)
    first = {part: vocabulary.of(part)[0].name for parts, _ in ways for part in parts}
    pairs: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    together: Counter[tuple[str, str]] = Counter()
    votes: dict[int, Counter[Vote]] = defaultdict(Counter)
    for (parts, answers), items in ways.items():
        said = sorted((name, dict(answer)) for name, answer in answers)
        for (one, ones), (other, others) in combinations(said, 2):
            together[one, other] += items
            for n in parts:
                pairs[one, other][ones.get(n, first[n]), others.get(n, first[n])] += items
        for n in parts:
            given = [answer.get(n, first[n]) for _, answer in said]
            votes[n][tuple(given.count(name) for name in names)] += items
    faults = [vocabulary.classes[name].is_fault for name in names]
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
        parts=tuple(_part(part, votes[part], votes[part].total(), faults) for part in sorted(votes)),
        all=_part(None, every, sum(ways.values()), faults) if every else None,
        disputed=disputed,
    )


def by_person(ways: Mapping[Way, int]) -> dict[str, tuple[float, int]]:
    """name → (share of parts with the same answer as another person, number of items compared)."""
    same, asked, compared = Counter[str](), Counter[str](), Counter[str]()
    for (parts, answers), items in ways.items():
        for name, answer in answers:
            compared[name] += items
            for other, others in answers:
                if other != name:
                    differ = {part for part, _ in answer ^ others}
                    asked[name] += items * len(parts)
                    same[name] += items * (len(parts) - len(differ))
    return {name: (same[name] / asked[name], compared[name]) for name in compared}


def way_of(events: Sequence[LabelEvent], parts: Iterable[int]) -> Way:
    """The answers to an item by those who had not seen anybody else's.

    Args:
        events: events of the item, by seq.
        parts: number of its parts.
    """
    answers = {event.by: frozenset(event.said) for event in independent_labels(events)}
    return tuple(parts), frozenset(answers.items())


def is_like(way: Way, people: Collection[str] = (), part: int | None = None, alike: bool | None = None) -> bool:
    """Whether a combination of answers contributes to a figure.

    Args:
        people: people who must all have answered; others are ignored.
        part: part that the item must have; other parts are ignored.
        alike: whether all answers must agree, or must not.

    >>> bad = frozenset({(2, "bad")})
    >>> way = ((1, 2), frozenset({("ann", bad), ("bob", frozenset()), ("eva", bad)}))
    >>> is_like(way, alike=True), is_like(way, ["ann", "eva"], alike=True), is_like(way, part=1, alike=True)
    (False, True, True)
    """
    parts, answers = way
    asked = parts if part is None else [n for n in parts if n == part]
    said = {
        name: frozenset(one for one in answer if one[0] in asked)
        for name, answer in answers
        if not people or name in people
    }
    if not asked or not said.keys() >= set(people):
        return False
    return alike is None or (len(set(said.values())) == 1) == alike


def cohen_kappa(said: Iterable[tuple[Hashable, Hashable]]) -> float | None:
    """Cohen's kappa of two people who answered the same questions: (p₀ − pₑ) / (1 − pₑ).

    p₀ is the observed share of questions with the same answer, pₑ the share expected if both answered at random with
    their own frequencies. Cohen, Educational and Psychological Measurement 20 (1960) 37.

    Args:
        said: the pairs of answers, or how often each pair was given; at least one.

    Returns:
        1 for perfect agreement, 0 for agreement by chance only; None if both always gave the same single answer, so
        that chance explains everything.

    >>> cohen_kappa([(True, True), (False, False), (False, True), (False, False)])
    0.5
    """
    counts = Counter(said)
    n = counts.total()
    one, other = Counter[Hashable](), Counter[Hashable]()
    for (first, second), times in counts.items():
        one[first] += times
        other[second] += times
    observed = sum(times for (first, second), times in counts.items() if first == second) / n
    return _beyond_chance(observed, sum(one[answer] * other[answer] for answer in one) / n**2)


def fleiss_kappa(votes: Iterable[Vote]) -> float | None:
    """Fleiss' kappa of any number of people: (P̄ − P̄ₑ) / (1 − P̄ₑ).

    P̄ is the mean over questions of the share of agreeing pairs of answers, P̄ₑ the sum of the squared shares of all
    answers. Fleiss, Psychological Bulletin 76 (1971) 378. Fleiss assumes the same number of answers to every question;
    here each question uses its own number in its share of pairs, and the shares are taken over all answers.

    Args:
        votes: for each question, the number of times each answer was given, two in total at least; or how often each
            such vote occurred.

    Returns:
        As `cohen_kappa`.

    >>> fleiss_kappa([(2, 0), (1, 1), (0, 2), (2, 0)])
    0.4666666666666667
    """
    counts = Counter(votes)
    given = [sum(times * vote[i] for vote, times in counts.items()) for i in range(len(next(iter(counts))))]
    return _beyond_chance(_mean_alike(counts), sum((one / sum(given)) ** 2 for one in given))


def _part(part: int | None, votes: Counter[Vote], items: int, faults: Sequence[bool]) -> PartAgreement:
    return PartAgreement(
        part=part,
        items=items,
        judgements=sum(times * sum(vote) for vote, times in votes.items()),
        bad=sum(times * sum(compress(vote, faults)) for vote, times in votes.items()),
        observed=_mean_alike(votes),
        kappa=fleiss_kappa(votes),
    )


def _mean_alike(votes: Counter[Vote]) -> float:
    """Mean over questions of the share of agreeing pairs of answers."""
    alike = {vote: sum(n * (n - 1) for n in vote) / (sum(vote) * (sum(vote) - 1)) for vote in votes}
    return sum(n * alike[vote] for vote, n in votes.items()) / votes.total()


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if expected == 1 else (observed - expected) / (1 - expected)
