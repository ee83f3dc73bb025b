"""A network's card for a person: what of it is particular to chambers, besides `app.ml.cards`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from app.ml import cards
from app.ml.cards import percent, table, when
from app.ml.curves import Interval
from app.ml.models import Card, Composition, PartCount
from app.subsystems.dt.learning.evaluation_figures import ALL, FALSE_ALARMS, LEVELS, Evaluation, Method, in_words
from app.subsystems.dt.simulate import SIMULATOR_VERSION
from app.subsystems.dt.verdict import LEAST_HITS_A_CELL

FOUND_LESS_THAN = 0.95  # share found at 1 % false alarms: kinds of fault below it are listed as limits
LEAST_LAYERS = 10  # of a kind, for its share to be meaningful


@dataclass(frozen=True)
class Known(cards.Known):
    """All that is known of one network."""

    part: ClassVar[str] = "layer"

    @cached_property
    def evaluation(self) -> Evaluation | None:
        return Evaluation.readable(self.stored.figures) if self.stored else None

    @cached_property
    def method(self) -> Method | None:
        """Its figures on the simulated test set."""
        return self.evaluation.of(self.model.name) if self.evaluation else None

    @property
    def limits(self) -> list[str]:
        return _limits(self)

    @property
    def facts(self) -> list[tuple[str, str]]:
        card, facts = self.card, super().facts
        if card.trained_on:
            facts.append(("Made by", f"`{card.trained_on.command}`"))
        if card.calibration:
            shift = f"temperature {card.calibration.temperature:.3f}, shift {card.calibration.shift:.3f}"
            facts.append(("Calibration", f"{shift}; part of the last layer"))
        return facts

    @property
    def sections(self) -> list[tuple[str, list[str]]]:
        card = self.card
        data = table(("", ""), _data(card)) if card.trained_on else [card.origin or "Not known."]
        given = labels(card)
        learnt = [("Labels", table(("", ""), given))] if given else []
        return [("Data", data), *learnt, ("Figures", _figures(self))]


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


def _limits(known: Known) -> list[str]:
    card, method = known.card, known.method
    said = [
        f"Chambers with fewer than {LEAST_HITS_A_CELL:g} hits per cell are not judged; layers without any hit are bad."
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
            said.append(f"{chambers} of the labelled runs are unlike any labelled one in what the queue chooses by.")
    else:
        said.append("It was trained elsewhere: on what is not known.")
    if method is None:
        said.append("It was not evaluated by kind of fault and statistics.")
        return said
    weak = [
        f"{in_words(kind)} {percent(method.share(kind))}"
        for kind in known.evaluation.simulated.kinds
        if method.layers(kind) >= LEAST_LAYERS and method.share(kind) < FOUND_LESS_THAN
    ]
    if weak:
        said.append(f"Found less often than others, at 1 % false alarms: {', '.join(weak)}.")
    if known.evaluation.real is None:
        said.append("Its figures are of simulated chambers.")
    return said


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
            rows.append((words, *counts, percent(figures.found_at_1_percent_false_alarms)))
    lines = table(("on", "layers", "bad ones", "area under ROC", "found at 1 % false alarms"), rows) if rows else []
    if method is None:
        return [*lines, *([""] if lines else []), "Not evaluated against simpler methods."]
    found = known.evaluation.simulated
    lines += [
        "",
        f"Evaluated {when(known.stored.at)} by {known.stored.by}: {found.chambers:,} simulated chambers, simulator ",
    ]
    lines[-1] += f"version {known.evaluation.simulator_version}, seed {known.evaluation.seed}; intervals of 95 %."
    shares = [
        (f"found at {100 * one.false_alarms:g} % false alarms", _interval(one.found, True)) for one in method.found
    ]
    area = [("area under ROC", _interval(method.area, False))] if method.area else []
    lines += ["", *table(("", ""), [*area, *shares])]
    kinds = [(in_words(kind), f"{method.layers(kind):,}", percent(method.share(kind))) for kind in found.kinds]
    by_hits = [(f"{level} hits per cell", level) for level in LEVELS if level != ALL]
    kinds += [
        (words, f"{method.layers(statistics=one):,}", percent(method.share(statistics=one))) for words, one in by_hits
    ]
    return [
        *lines,
        "",
        *table(("kind of fault, or statistics", "bad layers", f"found at {100 * FALSE_ALARMS[1]:g} %"), kinds),
    ]


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


def _interval(figure: Interval, is_share: bool) -> str:
    low, high = (f"{100 * x:.1f}" if is_share else f"{x:.4f}" for x in (figure.low, figure.high))
    return f"{percent(figure.value) if is_share else f'{figure.value:.4f}'} ({low}–{high})"
