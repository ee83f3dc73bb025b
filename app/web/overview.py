"""`/`: a run at a glance, as a map of its chambers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template, request

from app.errors import REASON_WORDS, InvalidInput, NotFound
from app.run_numbers import run_number
from app.store.items import Item, ItemState
from app.store.runs import Run, RunState
from app.subsystems.dt.geometry import STATIONS, WHEELS, Chamber, sectors_of
from app.subsystems.dt.verdict import Verdict
from app.web import display
from app.web.current import current_driftwatch
from app.web.fields import Fields

WORST = 12  # chambers in the list beside the map
RECENT = 8  # links to other runs

# From which worst score a chamber has the next tint of the map. The middle one is where people begin to look twice.
TINTS = (0.1, 0.3, 0.5, 0.8, 0.95)

blueprint = Blueprint("overview", __name__)


@dataclass(frozen=True)
class Spot:
    """One chamber on the map.

    Attributes:
        kind: "judged", "unjudged", "unscored", "missing", or "unknown" while it has not arrived.
        tint: 0 for the lowest scores to 5 for the highest.
        words: what it says to those who do not see it, and to whoever points at it.
    """

    chamber: Chamber
    kind: str
    tint: int
    bad: int
    words: str


@blueprint.get("/")
def index() -> tuple[str, int]:
    driftwatch = current_driftwatch()
    runs = driftwatch.store.runs
    fields = Fields(request.args)
    wanted = fields.read("run", run_number, None)
    busy = sorted(runs.busy(), key=lambda run: run.number)
    recent = runs.find(RunState.FINISHED, limit=RECENT)
    run = None
    try:
        run = runs.get(wanted) if wanted else next(iter(recent), None)
    except NotFound:
        fields.refuse(InvalidInput("run", wanted, "the number of a run that is loaded"))
    items = driftwatch.store.items.of_run(run.number) if run else []
    status = 404 if wanted and not run else fields.status
    return render_template(
        "overview.html",
        fields=fields,
        wanted=wanted,
        run=run,
        busy=[other for other in busy if other.state is not RunState.DELETING],
        recent=recent,
        wheels=_map(run, items) if items else [],
        worst=_worst(items),
        counts=_counts(items),
        tints=TINTS,
        any_runs=bool(recent or busy or runs.count()),
    ), status


def _map(run: Run, items: Sequence[Item]) -> list[tuple[int, list[tuple[int, list[Spot | None]]]]]:
    """(wheel, [(station, spots of sectors 1–14)]): stations from 4 down to 1, as they stand from outside to inside."""
    known = {item.place: item for item in items}
    width = len(sectors_of(4))
    return [
        (wheel, [(station, _row(run, wheel, station, known, width)) for station in reversed(STATIONS)])
        for wheel in WHEELS
    ]


def _row(run: Run, wheel: int, station: int, known: dict[Chamber, Item], width: int) -> list[Spot | None]:
    chambers = [Chamber(wheel=wheel, station=station, sector=sector) for sector in sectors_of(station)]
    spots: list[Spot | None] = [_spot(chamber, known.get(chamber), run) for chamber in chambers]
    return spots + [None] * (width - len(spots))


def _spot(chamber: Chamber, item: Item | None, run: Run) -> Spot:
    name = display.chamber_words(chamber)
    if item is None:
        return Spot(chamber, "unknown", 0, 0, f"{name}: {'not fetched yet' if run.busy else 'not fetched'}")
    if item.state is ItemState.MISSING:
        return Spot(chamber, "missing", 0, 0, f"{name}: missing, {REASON_WORDS[item.missing]}")
    if item.state is ItemState.UNSCORED:
        return Spot(chamber, "unscored", 0, 0, f"{name}: not scored yet")
    if item.state is ItemState.UNJUDGED:
        return Spot(chamber, "unjudged", 0, 0, f"{name}: too few hits to judge")
    worst, bad = item.judgement.worst, item.judgement.bad
    tint = sum(worst >= least for least in TINTS)
    said = display.plural(bad, "bad layer") if bad else "no bad layer"
    return Spot(chamber, "judged", tint, bad, f"{name}: worst layer {worst:.2f}, {said}")


def _worst(items: Sequence[Item]) -> list[Item]:
    """Chambers with bad layers, by how many layers are bad, each counted by its score."""

    def weight(item: Item) -> float:
        pairs = zip(item.judgement.scores, item.judgement.verdicts, strict=True)
        return sum(score for score, verdict in pairs if verdict in (Verdict.BAD, Verdict.EMPTY))

    bad = [item for item in items if item.judgement and item.judgement.bad]
    return sorted(bad, key=lambda item: (-weight(item), item.place))[:WORST]


def _counts(items: Sequence[Item]) -> dict[str, int]:
    """How many chambers are in each state, and how many are bad: counted from what the map shows."""
    counts = {str(state): sum(item.state is state for item in items) for state in ItemState}
    bad = [item.judgement.bad for item in items if item.judgement and item.judgement.bad]
    layers = sum(score is not None for item in items if item.judgement for score in item.judgement.scores)
    return counts | {"bad_items": len(bad), "bad_parts": sum(bad), "parts": layers, "items": len(items)}
