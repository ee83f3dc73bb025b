"""Whether a candidate forgot what the active model knows: both on the same fixed simulated chambers.

Labels are few and show current faults; a network trained on them can lose rare kinds of fault. The check compares the
share of bad layers of each kind that each model calls bad at its shipped threshold, in chambers with 6 hits per cell or
more. Layers similar to those that people call good do not count: following people must not be held against a candidate.
Not for whether a candidate is better: that is for people to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from app.domain.judgement import Verdict
from app.subsystems.dt.learning.evaluation import SEED
from app.subsystems.dt.learning.evaluation_figures import ALL_KINDS, FROM_6, LEVELS, in_words
from app.subsystems.dt.learning.known_chambers import simulated_test_set
from app.subsystems.dt.learning.labelled_items import LabelledItem
from app.subsystems.dt.learning.networks import architecture
from app.subsystems.dt.learning.samples import labelled_sample
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.learning.teaching import contradicted, embedding
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.verdict import judge_before

LEAST_LAYERS = 30  # per kind: with fewer, a single layer would decide
AT_ONCE = 500  # chambers: some 100 MB of a network's inputs


class KindFound(BaseModel):
    """The shares of one kind of fault that both call bad; "all" for all kinds together."""

    model_config = ConfigDict(frozen=True)

    kind: str
    layers: int = Field(description="bad layers of this kind")
    active: float = Field(description="share of them that the active model calls bad")
    candidate: float

    @property
    def words(self) -> str:
        return in_words(self.kind)

    @property
    def lost(self) -> float:
        """How much less the candidate finds, as a share of the layers; negative if it finds more."""
        return self.active - self.candidate


class Forgetting(BaseModel):
    """The result of the check."""

    model_config = ConfigDict(frozen=True)

    against: str = Field(description="the model that was active")
    chambers: int = Field(description="simulated chambers that both were tested on")
    seed: int
    tolerance: float = Field(description="largest share of a kind's layers that a candidate may lose")
    kinds: tuple[KindFound, ...]
    left_out: int = Field(0, description="bad layers that do not count, because people call similar layers good")

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
    candidate: Scorer,
    active: Scorer,
    chambers: int,
    tolerance: float,
    report: Callable[[str], None],
    labelled: Sequence[LabelledItem] = (),
) -> Forgetting:
    """Compare a candidate with the active model, on chambers on which no model was trained.

    Args:
        labelled: the labels.
    """
    called: dict[Scorer, list[np.ndarray]] = {candidate: [], active: []}
    kinds, embedded = [], []
    embed, kind = embedding(active.network), architecture(active.card.architecture)
    drawn = simulated_test_set(chambers, SEED)
    for start in range(0, len(drawn), AT_ONCE):
        some = drawn[start : start + AT_ONCE]
        occupancies = [one.occupancy for one in some]
        bins = layer_bins(occupancies)
        before = judge_before(occupancies, bins)
        counts = before.open & (before.rates >= LEVELS[FROM_6][0])[:, None] & (np.stack([one.bad for one in some]) == 1)
        kinds += [one.kinds[row] for one, rows in zip(some, counts, strict=True) for row in np.flatnonzero(rows)]
        for scorer, of_scorer in called.items():
            verdicts = np.array([judgement.verdicts for judgement in scorer.judge(occupancies)])
            of_scorer.append((verdicts == Verdict.BAD)[counts])
        embedded.append(embed(kind.inputs(occupancies, bins)[counts]))
    report(f"both judged {chambers:,} simulated chambers")
    left_out = np.zeros(len(kinds), bool)
    if labelled:
        people = labelled_sample(kind, labelled)
        left_out = contradicted(np.concatenate(embedded), np.ones(len(kinds)), embed(people.inputs), people.bad)
    new, old = (np.concatenate(of_scorer)[~left_out] for of_scorer in called.values())
    kinds = [names for names, out in zip(kinds, left_out, strict=True) if not out]
    masks = {name: np.array([name in names for names in kinds]) for name in sorted(set().union(*kinds))}
    masks = {ALL_KINDS: np.ones(len(kinds), bool), **masks}
    return Forgetting(
        against=active.version,
        chambers=chambers,
        seed=SEED,
        tolerance=tolerance,
        kinds=tuple(
            KindFound(
                kind=name,
                layers=int(mask.sum()),
                active=float(old[mask].mean()),
                candidate=float(new[mask].mean()),
            )
            for name, mask in masks.items()
            if mask.sum() >= LEAST_LAYERS
        ),
        left_out=int(left_out.sum()),
    )
