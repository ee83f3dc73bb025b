"""A model's card for people: what is known and what is not, identical on its page and as Markdown.

What nobody measured is left out or said to be unknown, never made up. A subsystem that knows more of its models than
any has a `Known` of its own. Not for the card's fields: see `models.Card`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from app.domain.models import Model
from app.domain.thresholds import SetThreshold
from app.ml.models import Card

if TYPE_CHECKING:
    from app.store.figures import StoredFigures

WHOLE = "all"  # of the shares by hits: that of all items together


@dataclass(frozen=True)
class Use:
    """A current threshold.

    Attributes:
        use: what it is for.
        score: from which a part is bad.
        false_alarms: share of good parts called bad; None where nobody measured it.
        by_hits: the same by how many hits an item has.
        found: share of bad parts called bad; None where nobody measured it.
        set: who set it when, and why; None where it is the card's.
    """

    use: str
    score: float
    false_alarms: float | None
    by_hits: Mapping[str, float] = field(default_factory=dict)
    found: float | None = None
    set: SetThreshold | None = None


@dataclass(frozen=True)
class Known:
    """All that is known of one model.

    Attributes:
        thresholds: all that were set, newest first.
        stored: its stored evaluation; None if it was not evaluated.
        part: what its scores are of.
    """

    model: Model
    card: Card
    thresholds: Sequence[SetThreshold]
    stored: StoredFigures | None = None

    part: ClassVar[str] = "part"

    @property
    def evaluation(self) -> Any:
        """What it was found to be worth, as its subsystem reads that; None where there is none that it can read."""
        return None

    @property
    def method(self) -> Any:
        """What its thresholds mean: has `curve`, `meaning` and `for_false_alarms`; None where nobody measured it."""
        return None

    @property
    def limits(self) -> list[str]:
        """What it cannot do, or what nobody knows of it, a sentence each."""
        known = self.card.trained_on or self.card.origin
        said = [] if known else ["What it was trained on is not known."]
        return said if self.stored else [*said, "It was not evaluated."]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What it is: (what, in words)."""
        card, model = self.card, self.model
        facts = [
            ("State", str(model.state)),
            ("Architecture", card.architecture),
            ("Takes", card.takes),
            ("Parameters", f"{card.parameters:,}"),
            ("Made", when(card.created)),
            ("Added", f"{when(model.added_at)} by {model.added_by}"),
            ("File, SHA-256", f"`{model.sha256}`"),
        ]
        if model.override:
            override = f"{when(model.override['at'])} by {model.override['by']}: {model.override['reason']}"
            facts.append(("Refusal overridden", override))
        return facts

    @property
    def sections(self) -> list[tuple[str, list[str]]]:
        """What stands between its facts and its thresholds: (heading, lines of Markdown)."""
        return [("Data", [self.card.origin or "Not known."])]


def uses(known: Known) -> list[Use]:
    """The current thresholds, in the card's order."""
    method = known.method
    found = []
    standing = {one.use: one for one in reversed(known.thresholds)}
    for use in dict.fromkeys((*known.card.thresholds, *standing)):
        one = standing.get(use)
        score = (one or known.card.thresholds[use]).score
        meaning = method.meaning(score) if method else None
        if one is None:
            given = known.card.thresholds[use]
            found.append(
                Use(use, score, given.false_alarms, given.false_alarms_by_hits, meaning.found if meaning else None)
            )
        elif one.false_alarms is None and meaning:  # it was set before the model was evaluated
            found.append(Use(use, score, meaning.false_alarms, meaning.by_hits, meaning.found, one))
        else:
            found.append(Use(use, score, one.false_alarms, one.false_alarms_by_hits, one.found, one))
    return found


def markdown(known: Known) -> str:
    """The whole card."""
    lines = [f"# {known.model.name}", "", *table(("", ""), known.facts)]
    limits = [f"- {sentence}" for sentence in known.limits]
    for heading, body in (*known.sections, ("Thresholds", _thresholds(known)), ("Limits", limits)):
        lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines) + "\n"


def _thresholds(known: Known) -> list[str]:
    rows = []
    for one in uses(known):
        origin = f"set {when(one.set.at)} by {one.set.by}: {one.set.why}" if one.set else "the card's"
        rows.append((one.use, f"{one.score:g}", percent(one.false_alarms), percent(one.found), origin))
        rows += [
            ("", f"{hits} hits per cell", percent(share), "", "")
            for hits, share in one.by_hits.items()
            if hits != WHOLE
        ]
    return table(("for", "bad from", f"false alarms, of good {known.part}s", "found, of bad ones", "since"), rows)


def percent(share: float | None) -> str:
    """
    >>> percent(0.9834), percent(0.000378), percent(None)
    ('98.3 %', '0.038 %', 'not known')
    """
    if share is None:
        return "not known"
    return f"{100 * share:.1f} %" if share >= 0.01 or not share else f"{100 * share:.2g} %"


def when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table as Markdown has it.

    >>> table(("a", "b"), [("x|y", "1")])
    ['| a | b |', '| --- | --- |', '| x\\\\|y | 1 |']
    """
    lines = [head, ["---"] * len(head), *([" ".join(cell.split()).replace("|", r"\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
