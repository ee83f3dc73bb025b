"""A model's card for people: what is known and what is not, identical on its page and as Markdown.

What was not measured is omitted or listed as unknown, never invented. Not for the card's fields: see `models.Card`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from app.domain.models import Model
from app.domain.thresholds import SetThreshold
from app.ml.curves import Interval
from app.ml.models import Card, Composition, PartCount
from app.store.figures import KeptFigures
from app.subsystems.dt.learning.evaluation import ALL, FALSE_ALARMS, LEVELS, Evaluation, Method, in_words
from app.subsystems.dt.simulate import SIMULATOR_VERSION
from app.subsystems.dt.verdict import LEAST_HITS_A_CELL

FOUND_LESS_THAN = 0.95  # share found at 1 % false alarms: kinds of fault below it are listed as limits
LEAST_LAYERS = 10  # of a kind, for its share to be meaningful


@dataclass(frozen=True)
class Use:
    """A current threshold.

    Attributes:
        use: what it is for.
        score: from which a layer is bad.
        false_alarms: share of good layers called bad; None if not measured.
        by_hits: the same by hits per cell.
        found: share of bad layers called bad; None if not measured.
        set: who set it, when and why; None for the card's own.
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
        kept: its stored evaluation; None if it was not evaluated.
    """

    model: Model
    card: Card
    thresholds: Sequence[SetThreshold]
    kept: KeptFigures | None = None

    @cached_property
    def evaluation(self) -> Evaluation | None:
        return Evaluation.readable(self.kept.figures) if self.kept else None

    @cached_property
    def method(self) -> Method | None:
        """Its figures on the simulated test set."""
        return self.evaluation.of(self.model.name) if self.evaluation else None


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


def labels(card: Card) -> list[tuple[str, str]]:
    """The labels used for the weights: (what, in words)."""
    given = card.trained_on and card.trained_on.labels
    if not given:
        return []
    facts = [("Labelled", _labelled(given)), ("Labels by", _counted(given.people))]
    facts += [(f"For {part}", _part(count)) for part, count in given.parts.items()]
    facts.append(("Chosen by", f"{_counted(given.strategies)}; {given.drawn:,} of them drawn at random"))
    if given.left_out:
        facts.append(("Labelled, but left out", _counted(given.left_out)))
    if card.trained_on.simulated_weight is not None:
        facts.append(("Weight of simulated layers", f"{card.trained_on.simulated_weight:g}, all labelled ones 1"))
    if card.trained_on.went_on_from:
        facts.append(("Went on from", card.trained_on.went_on_from))
    if card.trained_on.contradicted:
        facts.append(("Simulated layers that gave way to labels", f"{card.trained_on.contradicted:,}"))
    return facts


def limits(known: Known) -> list[str]:
    """Its limits, and what is unknown, one sentence each."""
    card, method = known.card, known.method
    said = [
        f"Chambers with fewer than {LEAST_HITS_A_CELL:g} hits a cell are not judged; layers without any hit are bad."
    ]
    if card.trained_on:
        said.append(f"Not shown in training: {card.trained_on.left_out}.")
        version = card.trained_on.simulator_version
        if version != SIMULATOR_VERSION:
            said.append(f"The simulator it learnt from was version {version}; it is {SIMULATOR_VERSION} now.")
        given = card.trained_on.labels
        if not given:
            said.append("It has seen no real chamber: what the simulator does not draw, it does not know.")
        elif given.not_represented:
            chambers = _plural(given.not_represented, "chamber")
            said.append(f"{chambers} of the labelled runs are unlike any labelled one in what the queue selects on.")
    else:
        said.append("It was trained elsewhere: on what is not known.")
    if method is None:
        said.append("It was not evaluated by kind of fault and statistics.")
        return said
    weak = [
        f"{in_words(kind)} {_percent(method.share(kind))}"
        for kind in known.evaluation.simulated.kinds
        if method.layers(kind) >= LEAST_LAYERS and method.share(kind) < FOUND_LESS_THAN
    ]
    if weak:
        said.append(f"Found less often than others, at 1 % false alarms: {', '.join(weak)}.")
    if known.evaluation.real is None:
        said.append("Its figures are of simulated chambers.")
    return said


def markdown(known: Known) -> str:
    """The whole card."""
    card, model = known.card, known.model
    lines = [f"# {model.name}", ""]
    lines += _table(("", ""), _facts(known))
    lines += ["", "## Data", ""]
    if card.trained_on:
        lines += _table(("", ""), _data(card))
    else:
        lines.append(card.origin or "Not known.")
    if given := labels(card):
        lines += ["", "## Labels", "", *_table(("", ""), given)]
    lines += ["", "## Figures", "", *_figures(known)]
    lines += ["", "## Thresholds", "", *_thresholds(known)]
    lines += ["", "## Limits", "", *(f"- {sentence}" for sentence in limits(known))]
    return "\n".join(lines) + "\n"


def _facts(known: Known) -> list[tuple[str, str]]:
    card, model = known.card, known.model
    facts = [
        ("State", str(model.state)),
        ("Architecture", card.architecture),
        ("Takes", card.takes),
        ("Parameters", f"{card.parameters:,}"),
        ("Made", _when(card.created)),
        ("Added", f"{_when(model.added_at)} by {model.added_by}"),
        ("File, SHA-256", f"`{model.sha256}`"),
    ]
    if model.override:
        override = f"{_when(model.override['at'])} by {model.override['by']}: {model.override['reason']}"
        facts.append(("Refusal overridden", override))
    if card.trained_on:
        facts.append(("Made by", f"`{card.trained_on.command}`"))
    if card.calibration:
        shift = f"temperature {card.calibration.temperature:.3f}, shift {card.calibration.shift:.3f}"
        facts.append(("Calibration", f"{shift}; part of the last layer"))
    return facts


def _data(card: Card) -> list[tuple[str, str]]:
    made = card.trained_on
    facts = [
        ("Simulated chambers", f"{made.chambers:,}"),
        ("Layers", f"{made.layers:,}, of which {made.bad_layers:,.0f} are bad"),
        ("Simulator", f"version {made.simulator_version}"),
        ("Seed", f"{made.seed}"),
        ("Left out", made.left_out),
    ]
    return facts + ([("Comes from", card.origin)] if card.origin else [])


def _figures(known: Known) -> list[str]:
    card, method = known.card, known.method
    rows = []
    for words, figures in (
        ("simulated, the kinds of fault it was trained on", card.figures),
        ("simulated, every kind of fault", card.figures_all_faults),
        ("labelled chambers of the test", card.figures_labelled),
    ):
        if figures:
            counts = (f"{figures.layers:,}", f"{figures.bad_layers:,}", f"{figures.area_under_roc:.4f}")
            rows.append((words, *counts, _percent(figures.found_at_1_percent_false_alarms)))
    lines = _table(("on", "layers", "bad ones", "area under ROC", "found at 1 % false alarms"), rows) if rows else []
    if method is None:
        return [*lines, *([""] if lines else []), "Not evaluated against simpler methods."]
    found = known.evaluation.simulated
    lines += [
        "",
        f"Evaluated {_when(known.kept.at)} by {known.kept.by}: {found.chambers:,} simulated chambers, simulator ",
    ]
    lines[-1] += f"version {known.evaluation.simulator_version}, seed {known.evaluation.seed}; intervals of 95 %."
    shares = [
        (f"found at {100 * one.false_alarms:g} % false alarms", _interval(one.found, True)) for one in method.found
    ]
    area = [("area under ROC", _interval(method.area, False))] if method.area else []
    lines += ["", *_table(("", ""), [*area, *shares])]
    kinds = [(in_words(kind), f"{method.layers(kind):,}", _percent(method.share(kind))) for kind in found.kinds]
    by_hits = [(f"{level} hits a cell", level) for level in LEVELS if level != ALL]
    kinds += [
        (words, f"{method.layers(statistics=one):,}", _percent(method.share(statistics=one))) for words, one in by_hits
    ]
    return [
        *lines,
        "",
        *_table(("kind of fault, or statistics", "bad layers", f"found at {100 * FALSE_ALARMS[1]:g} %"), kinds),
    ]


def _thresholds(known: Known) -> list[str]:
    rows = []
    for one in uses(known):
        origin = f"set {_when(one.set.at)} by {one.set.by}: {one.set.why}" if one.set else "the card's"
        rows.append((one.use, f"{one.score:g}", _percent(one.false_alarms), _percent(one.found), origin))
        rows += [
            ("", f"{hits} hits a cell", _percent(share), "", "") for hits, share in one.by_hits.items() if hits != ALL
        ]
    return _table(("for", "bad from", "false alarms, of good layers", "found, of bad ones", "since"), rows)


def _labelled(given: Composition) -> str:
    runs = f" of the runs {given.runs}" if given.runs else ""
    only = ", only where an expert ended a disagreement" if given.resolved_only else ""
    return f"{_plural(given.labelled, 'chamber')}{runs}{only}; {_counted(given.states)}; dealt by {given.split}"


def _part(count: PartCount) -> str:
    layers = f"{count.bad:,} bad, {count.good:,} good and {count.soft:,} disputed layers"
    return f"{_plural(count.items, 'chamber')} of {_plural(count.runs, 'run')}: {layers}"


def _counted(numbers: Mapping[str, int]) -> str:
    """
    >>> _counted({"ann": 12, "ben": 3})
    'ann 12, ben 3'
    """
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items()) or "none"


def _plural(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _percent(share: float | None) -> str:
    """
    >>> _percent(0.9834), _percent(0.000378), _percent(None)
    ('98.3 %', '0.038 %', 'not known')
    """
    if share is None:
        return "not known"
    return f"{100 * share:.1f} %" if share >= 0.01 or not share else f"{100 * share:.2g} %"


def _interval(figure: Interval, is_share: bool) -> str:
    low, high = (f"{100 * x:.1f}" if is_share else f"{x:.4f}" for x in (figure.low, figure.high))
    return f"{_percent(figure.value) if is_share else f'{figure.value:.4f}'} ({low}–{high})"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table as Markdown has it.

    >>> _table(("a", "b"), [("x|y", "1")])
    ['| a | b |', '| --- | --- |', '| x\\\\|y | 1 |']
    """
    lines = [head, ["---"] * len(head), *([" ".join(cell.split()).replace("|", r"\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
