"""What is said of an item: a score with its verdict for each part, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum


class Verdict(StrEnum):
    GOOD = "good"
    BAD = "bad"
    EMPTY = "empty"  # bad: nothing in it, where something must be
    UNJUDGED = "unjudged"  # too little to tell
    ABSENT = "absent"  # the item has no such part


@dataclass(frozen=True)
class Judgement:
    """What a network, or what comes before it, says of one item; each tuple has one entry a part, the first for part 1.

    Attributes:
        scores: P(bad), 0…1; None where the part is absent or unjudged; 1 where it is empty.
        verdicts: one of the five words.
        reasons: a short phrase for the screen; empty where there is nothing to say.
        certainty: the least |0.5 − score| over the judged parts; None when none is judged.
        embedding: what the network made of the least certain part that it saw, before its last step: float16, as
            bytes; items whose embeddings are near each other look alike to it. None where it saw none.
        threshold: the score from which a part was called bad; None where that is not known.
    """

    scores: tuple[float | None, ...]
    verdicts: tuple[Verdict, ...]
    reasons: tuple[str, ...]
    certainty: float | None
    embedding: bytes | None = field(default=None, compare=False, repr=False)
    threshold: float | None = field(default=None, compare=False)

    @property
    def worst(self) -> float | None:
        """The greatest score; None when no part is judged."""
        return max((score for score in self.scores if score is not None), default=None)

    @property
    def bad(self) -> int:
        """How many parts are bad or empty."""
        return self.verdicts.count(Verdict.BAD) + self.verdicts.count(Verdict.EMPTY)


def at_threshold(judgement: Judgement, threshold: float) -> Judgement:
    """The same scores with the verdicts and reasons of another threshold.

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
    """The reason of a part that is bad by its score."""
    return f"score {score:.2f} ≥ {threshold:g}"
