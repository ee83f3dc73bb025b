"""`/data/statistics/`: score distributions, where the network is uncertain, and whether people agree with it.

Figures on all runs come from their summaries; only labelled chambers are read, up to a maximum of the newest ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter, getitem, itemgetter
from typing import Any

import numpy as np
from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.run_numbers import LARGEST_RUN, run_number
from app.domain.words import signed
from app.errors import NotFound
from app.pictures import POLICY
from app.subsystems.dt.geometry import STATIONS, WHEELS
from app.subsystems.dt.summary import SCORE_STEPS, STEP, spread
from app.subsystems.dt.web.score_spread import CalibrationStep, Spread, calibration, calibration_picture, spread_picture
from app.web.shared.access import person
from app.web.shared.application import current_driftwatch
from app.web.shared.cache import cache
from app.web.shared.csv_file import one_table
from app.web.shared.fields import Fields, number_in, one_of, read_scheme
from app.web.shared.item_lists import choices, files, query_without, refuse_wrong
from app.web.shared.ordering import ordered, read_order

MOST_LABELLED = 2_000  # chambers read for the calibration, from the newest runs
EDGES = [round(i * STEP, 2) for i in range(SCORE_STEPS + 1)]
MOST_KEPT = 16  # distributions cached in memory, a few kB each
BY = {"all": "all chambers", "wheel": "by wheel", "station": "by station"}

# The sort columns of the tables of the calibration and of the uncertain chambers.
STEPS = {f"step_{name}": attrgetter(name) for name in ("least", "layers", "bad", "share", "mean")}
UNCERTAIN = {"wheel": itemgetter(0)} | {
    f"station_{station}": partial(lambda i, row: row[1][i]["share"], i) for i, station in enumerate(STATIONS)
}

blueprint = Blueprint("statistics", __name__, url_prefix="/data/statistics")


@dataclass(frozen=True)
class Group:
    """One column of the table, and one line of the picture.

    Attributes:
        query: filter for the list of the same chambers.
    """

    words: str
    counts: Sequence[int]
    query: dict[str, int]


@dataclass(frozen=True)
class SpreadQuery:
    """The request in the address; errors are recorded on `fields`."""

    fields: Fields
    model: str
    run: int | None
    first: int
    last: int
    wheel: int | None
    station: int | None
    by: str

    @classmethod
    def read(cls) -> SpreadQuery:
        driftwatch, fields = current_driftwatch(), Fields(request.args)
        models = {model.name: model.name for model in driftwatch.models.all()}
        run = fields.read("run", run_number, None)
        return cls(
            fields,
            model=fields.read("model", one_of("model", models), driftwatch.model),
            run=run,
            first=run or 1,
            last=run or LARGEST_RUN,
            wheel=fields.read("wheel", number_in("wheel", range(-2, 3)), None),
            station=fields.read("station", number_in("station", range(1, 5)), None),
            by=fields.read("by", one_of("by", {by: by for by in BY}), "all"),
        )

    @cached_property
    def all(self) -> Spread:
        """The chambers of the selected runs, in all places."""
        runs = current_driftwatch().store.runs

        def read() -> Spread:
            packed = ("worst_scores", "certainties")
            rows = [row[1:] for row in runs.summaries(packed, self.first, self.last, self.model) if None not in row]
            return Spread(len(rows), *map(spread, zip(*rows, strict=True))) if rows else Spread.nothing()

        return cache("spreads", MOST_KEPT).get((runs.stamp(), self.model, self.first, self.last), read)

    @cached_property
    def spread(self) -> Spread:
        """Those in the selected wheel and station."""
        return self.all.of(self.wheel, self.station)

    @property
    def place(self) -> dict[str, int]:
        chosen = {"run": self.run, "wheel": self.wheel, "station": self.station}
        return {name: value for name, value in chosen.items() if value is not None}

    @property
    def groups(self) -> list[Group]:
        """The lines of the picture."""
        counts = self.spread.scores
        if self.by == "wheel":
            those = [w for w in WHEELS if self.wheel in (None, w)]
            of = [(f"wheel {signed(w)}", counts[WHEELS.index(w)].sum(axis=0), {"wheel": w}) for w in those]
        elif self.by == "station":
            those = [s for s in STATIONS if self.station in (None, s)]
            of = [(f"MB{s}", counts[:, STATIONS.index(s)].sum(axis=0), {"station": s}) for s in those]
        else:
            of = [("chambers", counts.sum(axis=(0, 1)), {})]
        return [Group(words, line.tolist(), self.place | query) for words, line, query in of]

    @property
    def below(self) -> float:
        """The certainty below which a chamber counts as uncertain: the setting, rounded to a bin edge."""
        return float(np.floor(current_driftwatch().settings.uncertain_below / STEP + 1e-9) * STEP)

    def calibration(self) -> list[CalibrationStep]:
        """The calibration for the labelled chambers of the selected runs and places."""
        store = current_driftwatch().store

        def read() -> list[CalibrationStep]:
            return calibration(store.lists.labelled_scores(self.model, self.place, MOST_LABELLED))

        key = (store.labels.stamp(), store.runs.stamp(), self.model, *self.place.items())
        return cache("calibrations", MOST_KEPT).get(key, read)


@dataclass(frozen=True)
class Tables:
    """The contents of the page's tables, one of them sorted by the address.

    Attributes:
        groups: columns of the first table.
        bins: rows of the first table, one per score bin.
        uncertain: rows of the second table, one per wheel.
        steps: rows of the third table, one per score bin; empty if the address is invalid.
    """

    groups: Sequence[Group]
    bins: Sequence[int]
    uncertain: Sequence[tuple[int, list[dict[str, Any]]]]
    steps: Sequence[CalibrationStep]
    sort: str
    descending: bool

    @classmethod
    def of(cls, wanted: SpreadQuery) -> Tables:
        groups = wanted.groups
        spreads = {"worst": int} | {f"line_{i}": partial(getitem, group.counts) for i, group in enumerate(groups)}
        sort, descending = read_order(wanted.fields, spreads, UNCERTAIN, STEPS)
        steps = wanted.calibration() if not wanted.fields.errors else []
        return cls(
            groups,
            ordered(range(SCORE_STEPS), spreads, sort, descending),
            ordered(_uncertain(wanted), UNCERTAIN, sort, descending),
            ordered(steps, STEPS, sort, descending),
            sort,
            descending,
        )

    @property
    def sorted_spread(self) -> bool:
        return self.sort == "worst" or self.sort.startswith("line_")

    def rows(self) -> dict[str, tuple[Sequence[str], Sequence[Sequence[object]]]]:
        """table → (its columns, its rows), for files."""
        bins = [(EDGES[i], EDGES[i + 1], *(group.counts[i] for group in self.groups)) for i in self.bins]
        uncertain = [
            (wheel, f"MB{station}", one["chambers"], one["uncertain"])
            for wheel, stations in self.uncertain
            for station, one in zip(STATIONS, stations, strict=True)
        ]
        steps = [(step.least, step.most, step.layers, step.bad, step.share, step.mean) for step in self.steps]
        return {
            "scores": (("least", "most", *(group.words for group in self.groups)), bins),
            "uncertain": (("wheel", "station", "chambers", "uncertain"), uncertain),
            "calibration": (("least", "most", "layers", "bad", "share", "mean_score"), steps),
        }


@blueprint.get("/")
def index() -> tuple[str, int]:
    driftwatch, wanted = current_driftwatch(), SpreadQuery.read()
    fields, tables = wanted.fields, Tables.of(wanted)
    return render_template(
        "dt/statistics.html",
        fields=fields,
        wanted=wanted,
        spread=wanted.spread,
        tables=tables,
        sort=tables.sort,
        descending=tables.descending,
        edges=EDGES,
        labelled=sum(step.layers for step in tables.steps),
        most_labelled=MOST_LABELLED,
        agreement=driftwatch.labelling.agreement().all if person().may("agreement") else None,
        by_words=BY,
        choices={name: choices()[name] for name in ("wheel", "station")},
        models=[(model.name, model.name) for model in driftwatch.models.all()],
        any_runs=driftwatch.store.runs.any(),
        files=partial(files, ".table"),
        picture=partial(url_for, ".picture", **query_without("which", "scheme", "sort", "descending")),
    ), fields.status


@blueprint.get("/picture/<which>.svg")
def picture(which: str) -> ResponseReturnValue:
    """The score distribution or the calibration, on a light or dark background."""
    wanted = SpreadQuery.read()
    scheme = read_scheme(wanted.fields)
    refuse_wrong(wanted.fields)
    drawn = cache("statistics_pictures", MOST_KEPT)
    if which == "scores":
        lines = tuple((group.words, tuple(group.counts)) for group in wanted.groups)
        svg = drawn.get((lines, scheme), lambda: spread_picture([(w, np.array(c)) for w, c in lines], scheme))
    elif which == "calibration":
        steps = tuple(wanted.calibration())
        svg = drawn.get((steps, scheme), lambda: calibration_picture(steps, scheme))
    else:
        raise NotFound(f"There is no picture {which!r} here; there are: scores, calibration.")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "private, no-cache"}
    headers["Content-Disposition"] = f'inline; filename="{which}.svg"'
    response = Response(svg, mimetype="image/svg+xml", headers=headers)
    response.add_etag()
    return response.make_conditional(request)


@blueprint.get("/<name>.<ending>")
def table(name: str, ending: str) -> Response:
    """One of the tables, in its current order, as a file."""
    wanted = SpreadQuery.read()
    tables = Tables.of(wanted)
    refuse_wrong(wanted.fields)
    return one_table(tables.rows(), name, ending)


def _uncertain(wanted: SpreadQuery) -> list[tuple[int, list[dict[str, Any]]]]:
    """(wheel, [for each station: chambers, uncertain ones, their share, and filters for the list])."""
    many, unsure = wanted.all.certainties.sum(axis=-1), wanted.all.uncertain(wanted.below)
    run = {"run": wanted.run} if wanted.run else {}
    return [
        (
            wheel,
            [
                {
                    "chambers": int(many[i, j]),
                    "uncertain": int(unsure[i, j]),
                    "share": unsure[i, j] / many[i, j] if many[i, j] else None,
                    "query": run | {"wheel": wheel, "station": station},
                }
                for j, station in enumerate(STATIONS)
            ],
        )
        for i, wheel in enumerate(WHEELS)
    ]
