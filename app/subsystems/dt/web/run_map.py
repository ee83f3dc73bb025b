"""The map of a run: one spot per chamber by wheel, station and sector, showing a selected quantity. Without HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.items import Item, ItemState
from app.domain.labels import LabelState
from app.domain.runs import Run
from app.domain.words import plural
from app.errors import REASON_WORDS
from app.subsystems.dt.geometry import STATIONS, WHEELS, Chamber, sectors_of
from app.subsystems.dt.summary import CODES_FROM, KIND_WORDS, chamber_code
from app.web.labels.label_words import HIDDEN, Reader
from app.web.runs.run_report import RunReport
from app.web.shared import display

# Worst scores at which the tint of a chamber changes. From the middle one on, people start to look twice.
TINTS = (0.1, 0.3, 0.5, 0.8, 0.95)
BAD_TINTS = (1, 2, 4, 5, 9)  # the same for the number of bad layers; CMS's codes change at 5 and 9
RATE_TINTS = (1.5, 5, 15, 50, 150)  # the same for hits per cell; below the first a chamber is not judged
CODE_TINTS = (0, 2, 4, 5)

# Two sectors of station 4 are within a sector of the other stations: 13 next to 4, 14 next to 10.
SECTORS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
BESIDE = {4: 13, 10: 14}

KIND_MARKS = {
    "empty": ("E", "tint-5"),
    "block": ("B", "tint-4"),
    "low_rate": ("L", "tint-3"),
    "pattern": ("P", "tint-4"),
    "scattered": ("S", "tint-3"),
    "noisy_block": ("N", "noisy"),
    "score": ("?", "tint-2"),
}


class View(StrEnum):
    """The quantity shown for each chamber."""

    SCORE = "score"
    BAD = "bad"
    CODE = "code"
    KIND = "kind"
    CHANGE = "change"
    STATISTICS = "statistics"
    LABELS = "labels"
    MISSING = "missing"


VIEW_WORDS = {
    View.SCORE: "worst score",
    View.BAD: "bad layers",
    View.CODE: "CMS code",
    View.KIND: "kind",
    View.CHANGE: "change",
    View.STATISTICS: "statistics",
    View.LABELS: "labels",
    View.MISSING: "missing",
}
TITLES = {
    View.SCORE: "Worst layer of each chamber",
    View.BAD: "Bad layers of each chamber",
    View.CODE: "Code of each chamber, as CMS counts",
    View.KIND: "What is wrong in each chamber",
    View.CHANGE: "What changed since the reference run",
    View.STATISTICS: "Hits per cell of each chamber",
    View.LABELS: "What people said of each chamber",
    View.MISSING: "Which chambers arrived",
}


@dataclass(frozen=True)
class Spot:
    """One chamber on the map.

    Attributes:
        look: CSS classes.
        mark: the text on it, at most four characters.
        words: its description, for screen readers and on hover.
        columns: number of table columns it spans.
    """

    chamber: Chamber
    look: str
    mark: str
    words: str
    columns: int = 1


@dataclass(frozen=True)
class Key:
    """A line of the legend: one or several spots, and their meaning.

    Attributes:
        spots: (look, mark, meaning) of each.
    """

    spots: Sequence[tuple[str, str, str]]
    words: str
    before: str = ""


@dataclass(frozen=True)
class RunMap:
    """A map for display.

    Attributes:
        wheels: (wheel, [(station, spots)]), stations from 4 down to 1, from outside to inside.
    """

    run: int
    view: View
    wheels: Sequence[tuple[int, Sequence[tuple[int, Sequence[Spot]]]]]
    legend: Sequence[Key]

    @property
    def title(self) -> str:
        return TITLES[self.view]

    @property
    def sectors(self) -> Sequence[tuple[int, int]]:
        """(sector, columns) of the table head."""
        return [(sector, 2 if sector in BESIDE else 1) for sector in SECTORS]


def run_map(run: Run, items: Sequence[Item], view: View, reader: Reader, report: RunReport | None = None) -> RunMap:
    """Build the map of a run.

    Args:
        reader: the user; first labels are hidden from people whose second opinion is wanted.
        report: the comparison with a reference run, for the view of changes.
    """
    known = {item.place: item for item in items}
    tell = _views(reader, report)[view]

    def spot(chamber: Chamber, columns: int) -> Spot:
        look, mark, words = _told(known.get(chamber), run, view, tell)
        return Spot(chamber, look, mark, f"{display.place_words(chamber)}: {words}", columns)

    wheels = [
        (wheel, [(station, [spot(*one) for one in _row(wheel, station)]) for station in reversed(STATIONS)])
        for wheel in WHEELS
    ]
    return RunMap(run.number, view, wheels, _LEGENDS[view])


def _row(wheel: int, station: int) -> list[tuple[Chamber, int]]:
    """(chamber, columns): in station 4 two chambers share the space of one."""
    both = {sector: beside for sector, beside in BESIDE.items() if beside in sectors_of(station)}
    row = []
    for sector in SECTORS:
        row.append((Chamber(wheel, station, sector), 2 if sector in BESIDE and sector not in both else 1))
        if sector in both:
            row.append((Chamber(wheel, station, both[sector]), 1))
    return row


Told = tuple[str, str, str]  # look, mark, words
OF_THE_NETWORK = frozenset({View.SCORE, View.BAD, View.CODE, View.KIND, View.CHANGE})


def _told(item: Item | None, run: Run, view: View, tell: Callable[[Item], Told]) -> Told:
    """The description of a spot for which the selected quantity is available."""
    if item is None:
        return "unknown", "", "not fetched yet" if run.busy else "not fetched"
    if item.state is ItemState.MISSING:
        return "missing", "×", f"missing, {REASON_WORDS[item.missing]}"
    if view in OF_THE_NETWORK and item.state is ItemState.UNSCORED:
        return "unscored", "·", "not scored yet"
    if view in OF_THE_NETWORK and item.state is ItemState.UNJUDGED:
        return "unjudged", "?", "too few hits to judge"
    return tell(item)


def _views(reader: Reader, report: RunReport | None) -> Mapping[View, Callable[[Item], Told]]:
    return {
        View.SCORE: _score,
        View.BAD: _bad,
        View.CODE: _code,
        View.KIND: _kind,
        View.CHANGE: lambda item: _change(item, report),
        View.STATISTICS: _statistics,
        View.LABELS: lambda item: _label(reader.said(item)),
        View.MISSING: _arrived,
    }


def _score(item: Item) -> Told:
    worst = item.judgement.worst
    look = f"judged tint-{sum(worst >= least for least in TINTS)}{_mark_bad(item)}"
    return look, _number(item.judgement.bad), f"worst layer {worst:.2f}, {_bad_words(item)}"


def _bad(item: Item) -> Told:
    bad = item.judgement.bad
    return f"tint-{sum(bad >= least for least in BAD_TINTS)}{_mark_bad(item)}", _number(bad), _bad_words(item)


def _code(item: Item) -> Told:
    code = chamber_code(item.judgement.bad)
    return f"tint-{CODE_TINTS[code]}{_mark_bad(item)}", _number(code), f"code {code}, {_bad_words(item)}"


def _kind(item: Item) -> Told:
    layers = item.bad_kinds
    if not layers:
        return "tint-0", "", "no bad layer"
    kinds: dict[str, list[int]] = {}
    for layer, kind in layers.items():
        kinds.setdefault(kind, []).append(layer)
    most = max(kinds, key=lambda kind: len(kinds[kind]))
    mark, look = KIND_MARKS[most]
    words = "; ".join(f"{KIND_WORDS[kind]}: {display.part_or_parts(those)}" for kind, those in kinds.items())
    return f"{look} has-bad", mark + ("+" if len(kinds) > 1 else ""), words


def _change(item: Item, report: RunReport | None) -> Told:
    if report is None or report.reference is None:
        return "unjudged", "?", "there is no run to compare with"
    change = report.change(item)
    if not change.comparable:
        return f"unjudged{_mark_bad(item)}", "?", f"{_bad_words(item)}; no scores to compare with"
    signs = ((change.new, "+", "new"), (change.stayed, "=", "as before"), (change.gone, "−", "gone"))
    words = [f"{what}: {display.part_or_parts(layers)}" for layers, _, what in signs if layers]
    look = "tint-5 has-bad" if change.new else "tint-2 has-bad" if change.stayed else "gone" if words else "tint-0"
    return look, "".join(sign for layers, sign, _ in signs if layers), "; ".join(words) or "no bad layer then or now"


def _statistics(item: Item) -> Told:
    rate = item.hits / sum(layer.cells for layer in item.place.layers)
    return f"rate-{sum(rate >= least for least in RATE_TINTS)}", _short(rate), f"{rate:.3g} hits per cell"


def _label(said: str) -> Told:
    if not said:
        return "tint-0", "", "not labelled"
    if said == HIDDEN:
        return "unjudged", "…", said
    if said == LabelState.SKIPPED:
        return "unjudged", "–", "skipped"
    if said == LabelState.DISPUTED:
        return "tint-3", "!", "people disagree"
    return ("said-good", "✓", "labelled good") if said == "good" else ("tint-5 has-bad", "▲", f"labelled {said}")


def _arrived(item: Item) -> Told:
    return {
        ItemState.JUDGED: ("tint-0", "", "judged"),
        ItemState.UNJUDGED: ("unjudged", "?", "too few hits to judge"),
        ItemState.UNSCORED: ("unscored", "·", "not scored yet"),
    }[item.state]


def _mark_bad(item: Item) -> str:
    return " has-bad" if item.judgement.bad else ""


def _bad_words(item: Item) -> str:
    return plural(item.judgement.bad, "bad layer") if item.judgement.bad else "no bad layer"


def _number(value: int) -> str:
    return str(value) if value else ""


def _short(rate: float) -> str:
    """A rate in at most four characters.

    >>> [_short(rate) for rate in (0, 0.04, 1.23, 12.3, 999.6, 12_345)]
    ['0', '0.0', '1.2', '12', '1k', '12k']
    """
    if not rate:
        return "0"
    if rate < 9.95:
        return f"{rate:.1f}"
    return f"{rate:.0f}" if rate < 999.5 else f"{rate / 1000:.0f}k"


def _steps(least: Sequence[float], look: str) -> list[tuple[str, str, str]]:
    first = (f"{look}-0", "", f"below {least[0]:g}")
    return [first, *((f"{look}-{i}", "", f"from {value:g}") for i, value in enumerate(least, start=1))]


_TOO_FEW = Key([("unjudged", "?", "")], "too few hits")
_GONE = Key([("missing", "×", "")], "missing")
_LEGENDS: dict[View, Sequence[Key]] = {
    View.SCORE: (
        Key(_steps(TINTS, "tint"), "1", "score of the worst layer: 0"),
        Key([("tint-5 has-bad", "3", "")], "bad layers"),
        _TOO_FEW,
        _GONE,
    ),
    View.BAD: (Key([("tint-5 has-bad", "9", "")], "bad layers, of 12, or of 8 in station 4"), _TOO_FEW, _GONE),
    View.CODE: (
        *(
            Key([(f"tint-{CODE_TINTS[code]} has-bad", str(code), "")], f"more than {least - 1} bad layers")
            for code, least in reversed(list(enumerate(CODES_FROM, start=1)))
        ),
        _TOO_FEW,
        _GONE,
    ),
    View.KIND: (
        *(Key([(f"{look} has-bad", mark, "")], KIND_WORDS[kind]) for kind, (mark, look) in KIND_MARKS.items()),
        Key([("tint-4 has-bad", "B+", "")], "and others"),
        _TOO_FEW,
        _GONE,
    ),
    View.CHANGE: (
        Key([("tint-5 has-bad", "+", "")], "new bad layers"),
        Key([("tint-2 has-bad", "=", "")], "bad then and now"),
        Key([("gone", "−", "")], "gone"),
        Key([("unjudged", "?", "")], "cannot be compared"),
        _GONE,
    ),
    View.STATISTICS: (Key(_steps(RATE_TINTS, "rate"), "150 and more", "hits per cell: 0"), _GONE),
    View.LABELS: (
        Key([("tint-5 has-bad", "▲", "")], "bad layers"),
        Key([("said-good", "✓", "")], "good"),
        Key([("unjudged", "–", "")], "skipped"),
        Key([("tint-3", "!", "")], "people disagree"),
        Key([("unjudged", "…", "")], "hidden: a second opinion is wanted"),
        _GONE,
    ),
    View.MISSING: (
        Key([("tint-0", "", "")], "judged"),
        _TOO_FEW,
        Key([("unscored", "·", "")], "not scored yet"),
        _GONE,
        Key([("unknown", "", "")], "not fetched"),
    ),
}
