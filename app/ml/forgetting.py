"""Whether a candidate forgot what the model in use knows: both on the same fixed simulated chambers.

Labels are few and of what is seen now; a network that learns from them can lose kinds of fault that are rare. Judged by
what each finds at 1 % false alarms of the bad layers of each kind, in chambers with 6 hits a cell or more. Not for
whether a candidate is better: that is for a person to judge.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from app.ml.evaluation import ALL_KINDS, FROM_6, SEED, compare, in_words
from app.ml.labelled import simulated_test_set
from app.ml.scoring import Scorer

LEAST_LAYERS = 30  # of a kind: of fewer, one layer would decide


class KindFound(BaseModel):
    """What both find of one kind of fault; "all" for all kinds together."""

    model_config = ConfigDict(frozen=True)

    kind: str
    layers: int = Field(description="bad layers of this kind")
    active: float = Field(description="share of them found by the model in use")
    candidate: float

    @property
    def words(self) -> str:
        return in_words(self.kind)

    @property
    def lost(self) -> float:
        """How much less the candidate finds, as a share of the layers; below 0 where it finds more."""
        return self.active - self.candidate


class Forgetting(BaseModel):
    """What the check found."""

    model_config = ConfigDict(frozen=True)

    against: str = Field(description="the model that was in use")
    chambers: int = Field(description="simulated chambers that both were tested on")
    seed: int
    tolerance: float = Field(description="how much less of a kind a candidate may find, as a share of its layers")
    kinds: tuple[KindFound, ...]

    @property
    def forgotten(self) -> tuple[KindFound, ...]:
        """The kinds of which the candidate finds too little."""
        return tuple(kind for kind in self.kinds if kind.lost > self.tolerance)

    def __str__(self) -> str:
        if not self.forgotten:
            return f"finds every kind of fault as {self.against} does, within {self.tolerance:.1%}"
        lost = ", ".join(f"{kind.candidate:.1%} of {kind.words} (not {kind.active:.1%})" for kind in self.forgotten)
        return f"finds less than {self.against} beyond the tolerance of {self.tolerance:.1%}: {lost}"


def check(
    candidate: Scorer, active: Scorer, chambers: int, tolerance: float, report: Callable[[str], None]
) -> Forgetting:
    """Compare a candidate with the model in use; the same chambers for all, which no model was trained on."""
    found = compare(simulated_test_set(chambers, SEED), [candidate, active], [], SEED, report)
    new, old = found.methods
    kinds = [kind for kind in (ALL_KINDS, *found.kinds) if old.layers(kind, FROM_6) >= LEAST_LAYERS]
    return Forgetting(
        against=active.version,
        chambers=chambers,
        seed=SEED,
        tolerance=tolerance,
        kinds=tuple(
            KindFound(
                kind=kind,
                layers=old.layers(kind, FROM_6),
                active=old.share(kind, FROM_6),
                candidate=new.share(kind, FROM_6),
            )
            for kind in kinds
        ),
    )
