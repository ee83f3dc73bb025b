"""The judgement of an item: a score and a verdict for each part, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum


class Verdict(StrEnum):
    GOOD = "good"
    BAD = "bad"
    EMPTY = "empty"  # bad: no hits where some are expected
    UNJUDGED = "unjudged"  # too few hits to judge
    ABSENT = "absent"  # the item has no such part


@dataclass(frozen=True)
class Judgement:
    """The judgement of one item by a network or by the checks before it. Tuples have one entry per part, from part 1.

    Attributes:
        scores: P(bad), 0…1; None if the part is absent or unjudged; 1 if it is empty.
        verdicts: one of the five words.
        reasons: a short phrase for display; empty if there is nothing to say.
        certainty: the smallest |0.5 − score| over the judged parts; None if none is judged.
        embedding: the network's penultimate activations for the least certain part that it judged: float16, as bytes.
            Items with nearby embeddings look alike to the network. None if it judged no part.
        threshold: the score from which a part was called bad; None if unknown.
    """

    scores: tuple[float | None, ...]
    verdicts: tuple[Verdict, ...]
    reasons: tuple[str, ...]
    certainty: float | None
    embedding: bytes | None = field(default=None, compare=False, repr=False)
    threshold: float | None = field(default=None, compare=False)

    @property
    def worst(self) -> float | None:
        """The greatest score; None if no part is judged."""
        return max((score for score in self.scores if score is not None), default=None)

    @property
    def bad(self) -> int:
        """Number of bad or empty parts."""
        return self.verdicts.count(Verdict.BAD) + self.verdicts.count(Verdict.EMPTY)


def at_threshold(judgement: Judgement, threshold: float) -> Judgement:
    """The same scores with verdicts and reasons for another threshold.

    >>> was = Judgement((0.4, 1.0), (Verdict.GOOD, Verdict.EMPTY), ("", "no hits, 147 expected"), 0.1)
    >>> at_threshold(was, 0.3).verdicts, at_threshold(was, 0.3).reasons
    ((<Verdict.BAD: 'bad'>, <Verdict.EMPTY: 'empty'>), ('score 0.40 ≥ 0.3', 'no hits, 147 expected'))
    """
    parts = list(zip(judgement.scores, judgement.verdicts, judgement.reasons, strict=True))
    for i, (score, verdict, _) in enumerate(parts):
        if score is not None and verdict in (Verdict.GOOD, Verdict.BAD):
            is_bad = score >= threshold
            parts[i] = (score, Verdict.BAD, reached(score, threshold)) if is_bad else (score, Verdict.GOOD, "")
    _, verdicts, reasons = zip(*parts, strict=True)
    return replace(judgement, verdicts=verdicts, reasons=reasons, threshold=threshold)


def reached(score: float, threshold: float) -> str:
    """The reason given for a part that is bad by its score."""
    return f"score {score:.2f} ≥ {threshold:g}"
