"""`/trends/`: bad layers over runs, by wheel, station and kind; and the score and rate of one chamber or layer.

Curves over all runs come from the summaries of runs, those of a chamber from one index; no chamber is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from hashlib import sha256
from typing import Any

import numpy as np
from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.problems import Problem
from app.domain.run_numbers import LARGEST_RUN, run_number
from app.domain.words import signed
from app.errors import InvalidInput
from app.pictures import POLICY, Scheme
from app.subsystems.dt.geometry import LAYERS, STATIONS, WHEELS, Chamber
from app.subsystems.dt.names import chamber_name, chamber_words
from app.subsystems.dt.summary import KIND_WORDS, KINDS, unpack
from app.web.runs.trend_lines import LEFT, RIGHT, WIDTH, Panel, Trend
from app.web.shared.application import current_driftwatch
from app.web.shared.cache import cache
from app.web.shared.csv_file import table_file
from app.web.shared.fields import Fields, number_in, one_of, read_scheme
from app.web.shared.item_lists import choices, query_without, refuse_wrong
from app.web.shared.item_routes import place_at
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES, ListPage, read_size

CHAMBER = "/<wheel>/<sector>/<station>"
PLACE = ("wheel", "sector", "station")
MOST_TRENDS, MOST_PICTURES = 8, 32  # cached in memory: up to 3 MB each, and 0.3 MB
LAYER_NUMBERS = [(layer, layer) for layer in range(1, LAYERS + 1)]

blueprint = Blueprint("trends", __name__, url_prefix="/trends")


class By(StrEnum):
    """The quantity by which bad layers are counted."""

    WHEEL = "wheel"
    STATION = "station"
    KIND = "kind"
    RUN = "run"


BY_WORDS = {By.WHEEL: "wheel", By.STATION: "station", By.KIND: "kind", By.RUN: "whole run"}

# From the summary of a run: (its name, words for a column and a curve).
COUNTS: dict[By, Sequence[tuple[str, str]]] = {
    By.WHEEL: [(f"bad_wheel_{wheel}", f"wheel {signed(wheel)}") for wheel in WHEELS],
    By.STATION: [(f"bad_station_{station}", f"MB{station}") for station in STATIONS],
    By.KIND: [(f"bad_kind_{kind}", KIND_WORDS[kind]) for kind in KINDS],
    By.RUN: [
        ("bad_parts", "bad layers"),
        ("bad_items", "bad chambers"),
        ("missing", "missing"),
        ("unjudged", "few hits"),
    ],
}


# The value of a place's key for a name of the summary.
_PLACES = {
    By.WHEEL: {f"bad_wheel_{wheel}": wheel for wheel in WHEELS},
    By.STATION: {f"bad_station_{station}": station for station in STATIONS},
}


@dataclass(frozen=True)
class Table:
    """The numbers of a trend, one row per run: as in the picture, but more precise.

    Attributes:
        header: names of the columns, the first being "run".
        words: the same for people.
        rows: by run, ascending.
    """

    header: Sequence[str]
    words: Sequence[str]
    rows: Sequence[Sequence[object]]

    def sorted(self, sort: str, descending: bool) -> list[Sequence[object]]:
        """The rows in another order; rows without a value come last."""
        if sort == self.header[0]:
            return list(reversed(self.rows) if descending else self.rows)
        column = self.header.index(sort)
        known = [row for row in self.rows if row[column] is not None]
        unknown = [row for row in self.rows if row[column] is None]
        return sorted(known, key=lambda row: (row[column], row[0]), reverse=descending) + unknown


@dataclass(frozen=True)
class TrendQuery:
    """The request in an address; errors are recorded on `fields`."""

    fields: Fields
    model: str
    first: int
    last: int
    by: By = By.WHEEL
    chamber: Chamber | None = None
    layer: int | None = None

    @classmethod
    def read(cls, place: Mapping[str, str] | None = None) -> TrendQuery:
        """
        Args:
            place: wheel, sector and station of the path; None for all chambers.
        """
        driftwatch, fields = current_driftwatch(), Fields(request.args)
        models = {model.name: model.name for model in driftwatch.models.all()}
        first = fields.read("first", partial(run_number, field="first"), 1)
        last = fields.read("last", partial(run_number, field="last"), LARGEST_RUN)
        if first > last:
            fields.refuse(InvalidInput("last", last, f"a run from {first} on"))
        model = fields.read("model", one_of("model", models), driftwatch.model)
        if place is None:
            by = fields.read("by", one_of("by", {str(by): by for by in By}), By.WHEEL)
            return cls(fields, model, first, last, by=by)
        chamber = place_at(place)
        layers = {str(layer.number): layer.number for layer in chamber.layers}
        layer = fields.read("layer", one_of("layer", layers), None)
        return cls(fields, model, first, last, chamber=chamber, layer=layer)

    def trend(self) -> tuple[Trend, Table]:
        make = self._of_runs if self.chamber is None else self._of_chamber
        return cache("trends", MOST_TRENDS).get(self._key, make)

    def svg(self, scheme: Scheme) -> bytes:
        return cache("trend_pictures", MOST_PICTURES).get((*self._key, scheme), lambda: self.trend()[0].svg(scheme))

    @cached_property
    def _key(self) -> tuple[object, ...]:
        """A value that changes with the contents of the trend."""
        store = current_driftwatch().store
        stamps = store.runs.stamp(), store.problems.stamp()
        given = "first" in self.fields.given, "last" in self.fields.given
        return *stamps, self.model, self.first, self.last, *given, self.by, self.chamber, self.layer

    def _of_runs(self) -> tuple[Trend, Table]:
        driftwatch = current_driftwatch()
        counted = COUNTS[self.by]
        names = [name for name, _ in counted] + ([] if self.by is By.RUN else ["bad_parts"])
        rows = driftwatch.store.runs.summaries(names, self.first, self.last, self.model)
        values = np.array([[np.nan if value is None else value for value in row] for row in rows], float)
        values = values.reshape(len(rows), 1 + len(names))
        runs = values[:, 0].astype(int)
        problems = driftwatch.store.problems.find(limit=0) if self.by in _PLACES else []
        # Wheels are comparable and share one scale; kinds are too different for that.
        top = np.fmax.reduce(values[:, 1 : 1 + len(counted)], axis=None, initial=4) if self.by in _PLACES else 4
        panels = [
            Panel(words, runs, values[:, i], top, problems=[p for p in problems if self._concerns(p, name)])
            for i, (name, words) in enumerate(counted, start=1)
        ]
        trend = Trend(f"Bad layers by {BY_WORDS[self.by]}", *self._ends(runs), panels)
        words = [words for _, words in counted] + ([] if self.by is By.RUN else ["all"])
        return trend, Table(("run", *names), ("run", *words), rows)

    def _of_chamber(self) -> tuple[Trend, Table]:
        driftwatch, place = current_driftwatch(), self.chamber
        history = driftwatch.store.items.history(place, self.first, self.last)
        runs = np.array([run for run, *_ in history], int)
        rates = unpack([packed for *_, packed in history])
        nothing = np.full(LAYERS, np.nan, "<f2").tobytes()
        scored = [packed if model == self.model and packed else nothing for _, model, packed, _ in history]
        scores = unpack(scored)
        if self.layer:
            score, rate, which = scores[:, self.layer - 1], rates[:, self.layer - 1], f"layer {self.layer}"
        else:
            cells = np.array([{layer.number: layer.cells for layer in place.layers}.get(n, 0) for n in range(1, 13)])
            score = np.fmax.reduce(scores, axis=1, initial=np.nan)
            rate, which = np.nansum(rates * cells, axis=1) / cells.sum(), "worst layer"
        problems = [
            problem
            for problem in driftwatch.store.problems.of_place(place)
            if self.layer is None or self.layer in problem.parts
        ]
        log = bool(len(rate)) and bool(np.all(rate > 0)) and rate.max() > 20 * rate.min()
        panels = [
            Panel(f"score, {which}", runs, score, problems=problems),
            Panel("hits per cell", runs, rate, log=log, problems=problems),
        ]
        of = f", layer {self.layer}" if self.layer else ""
        trend = Trend(f"{chamber_name(place)}{of}", *self._ends(runs), panels)
        rows = [
            (int(run), None if np.isnan(s) else round(float(s), 3), float(f"{r:.4g}"))
            for run, s, r in zip(runs, score, rate, strict=True)
        ]
        return trend, Table(("run", "score", "hits_a_cell"), ("run", f"score, {which}", "hits per cell"), rows)

    def _ends(self, runs: np.ndarray) -> tuple[int, int]:
        """The range to draw: as requested, or all runs."""
        first = self.first if "first" in self.fields.given else int(runs.min(initial=self.last))
        last = self.last if "last" in self.fields.given else int(runs.max(initial=first))
        return min(first, last), last

    def _concerns(self, problem: Problem, name: str) -> bool:
        """Whether a known problem belongs to a curve's wheel or station and overlaps the picture."""
        there = getattr(problem.place, self.by) == _PLACES[self.by][name]
        return there and problem.since <= self.last and (problem.until is None or problem.until >= self.first)

    @property
    def etag(self) -> str:
        return sha256(f"{self._key} {request.full_path}".encode()).hexdigest()[:32]


@blueprint.get("/")
def index() -> tuple[str, int]:
    return _page(TrendQuery.read())


@blueprint.get("/chamber/")
def choose() -> ResponseReturnValue:
    """The chamber named in the form, or the errors."""
    fields = Fields(request.args)
    if not fields.given:
        return render_template("dt/trend_form.html", fields=fields, choices=choices(), layers=LAYER_NUMBERS), 200
    for name in PLACE:
        if name not in fields.given:
            fields.errors[name] = f"The {name} is missing."
    layer = fields.read("layer", number_in("layer", range(1, LAYERS + 1)), None)
    if not fields.errors:
        try:
            chamber = place_at(fields.given)
            if layer is not None and layer not in [one.number for one in chamber.layers]:
                raise InvalidInput("layer", layer, f"a layer that {chamber_words(chamber)} has")
        except InvalidInput as error:
            fields.refuse(error)
        else:
            place: dict[str, Any] = {name: getattr(chamber, name) for name in PLACE}
            more: dict[str, Any] = {
                name: fields.given[name] for name in ("first", "last", "model") if name in fields.given
            }
            return redirect(url_for(".of_chamber", **place, layer=layer, **more), 303)
    return render_template("dt/trend_form.html", fields=fields, choices=choices(), layers=LAYER_NUMBERS), 400


@blueprint.get(f"{CHAMBER}/")
def of_chamber(wheel: str, sector: str, station: str) -> tuple[str, int]:
    return _page(TrendQuery.read({"wheel": wheel, "sector": sector, "station": station}))


@blueprint.get("/picture.svg")
@blueprint.get(f"{CHAMBER}/picture.svg")
def picture(**place: str) -> Response:
    """The curves, on a light or dark background."""
    wanted = TrendQuery.read(place or None)
    scheme = read_scheme(wanted.fields)
    response = _unless_known(wanted, lambda: wanted.svg(scheme), "image/svg+xml")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Content-Disposition"] = 'inline; filename="trend.svg"'
    return response


@blueprint.get("/columns.json")
@blueprint.get(f"{CHAMBER}/columns.json")
def columns(**place: str) -> Response:
    """The values under the pointer: for each curve, by column of the picture."""
    wanted = TrendQuery.read(place or None)

    def drawn() -> str:
        trend, _ = wanted.trend()
        found = {"first": trend.first, "last": trend.last, "panels": trend.columns()}
        return json.dumps(found, separators=(",", ":"))

    return _unless_known(wanted, drawn, "application/json")


@blueprint.get("/runs.<ending>")
@blueprint.get(f"{CHAMBER}/runs.<ending>")
def rows(ending: str, **place: str) -> Response:
    """The numbers of the trend as a file, every run."""
    wanted = TrendQuery.read(place or None)
    _, table = wanted.trend()
    sort, descending = _order(wanted.fields, table)
    refuse_wrong(wanted.fields)
    return table_file("trend", ending, table.header, table.sorted(sort, descending))


def _unless_known(wanted: TrendQuery, make: Callable[[], str | bytes], mimetype: str) -> Response:
    """The result; or 304 if the client already has it."""
    refuse_wrong(wanted.fields)
    known = request.if_none_match.contains(wanted.etag)
    response = Response(status=304) if known else Response(make(), mimetype=mimetype)
    response.set_etag(wanted.etag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _page(wanted: TrendQuery) -> tuple[str, int]:
    fields, chamber = wanted.fields, wanted.chamber
    trend, table = wanted.trend() if not fields.errors else (None, Table(("run",), ("run",), ()))
    sort, descending = _order(fields, table)
    size = read_size(fields)
    count = len(table.rows)
    page = ListPage.read(fields, size, count)
    place = {name: getattr(chamber, name) for name in PLACE} if chamber else {}
    given = query_without("page", "size", "sort", "descending", "scheme")
    return render_template(
        "dt/trends.html",
        fields=fields,
        wanted=wanted,
        chamber=chamber,
        trend=trend if table.rows else None,
        table=table,
        rows=table.sorted(sort, descending)[page.skip : page.skip + size] if not fields.errors else [],
        sort=sort,
        descending=descending,
        page=page,
        sizes=SIZES,
        by_words=BY_WORDS,
        choices=choices(),
        layers=LAYER_NUMBERS,
        models=[(model.name, model.name) for model in current_driftwatch().models.all()],
        here=partial(_address, place),
        picture=partial(url_for, ".picture", **place, **given),
        columns=url_for(".columns", **place, **given),
        file=partial(url_for, ".rows", **place, **query_without("page", "size", "ending")),
        ends=(LEFT, RIGHT),
        aspect=(WIDTH, trend.height) if trend else None,
    ), fields.status


def _address(place: Mapping[str, Any], **query: Any) -> str:
    return url_for(".of_chamber" if place else ".index", **place, **query)


def _order(fields: Fields, table: Table) -> tuple[str, bool]:
    return read_sort(fields, table.header, "run", lambda sort: True)
