"""What the lists of chambers share: filters, order and page, all from the address, and the same rows as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from flask import Response, abort, request, url_for

from app.domain.items import Item, ItemQuery, ItemState
from app.domain.run_numbers import run_number
from app.errors import InvalidInput
from app.store.items import MOST_PAGED
from app.subsystems.dt.geometry import LAYERS, STATIONS, WHEELS, sectors_of
from app.web.shared.application import current_driftwatch
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.display import own_query, signed
from app.web.shared.fields import Fields, fraction, number_in, one_of
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES, Page, read_size

CHOICES = {
    "wheel": [(wheel, signed(wheel)) for wheel in WHEELS],
    "station": [(station, station) for station in STATIONS],
    "sector": [(sector, sector) for sector in sectors_of(4)],
}
CHAMBER = ("run", "wheel", "sector", "station")
LAYER_NAMES = tuple(f"layer_{layer}" for layer in range(1, LAYERS + 1))


@dataclass(frozen=True)
class ChamberList:
    """One list.

    Attributes:
        base: what the address cannot change.
        sorts: by which it can be sorted; the first unless asked otherwise.
        of_a_run: by which it can be sorted besides, where a run is given: no index could hold them for all runs.
        states: word → states that can be chosen, the first unless asked otherwise; empty where `base` says them.
    """

    base: ItemQuery
    sorts: tuple[str, ...]
    states: Mapping[str, frozenset[ItemState]]
    of_a_run: tuple[str, ...] = ()

    def context(self) -> dict[str, Any]:
        """What the page of the list needs."""
        store, fields = current_driftwatch().store, Fields(request.args)
        query = self.query(fields)
        size, page, more = read_page(fields, partial(store.items.count, query))
        return {
            "fields": fields,
            "query": query,
            "page": page,
            "more": more,
            "items": [] if fields.errors else store.items.find(query, page.skip, size),
            "any_runs": store.runs.any(),
            "layers": range(1, LAYERS + 1),
            "choices": CHOICES,
            "models": [(model.name, model.name) for model in current_driftwatch().models.all()],
            "active": current_driftwatch().model,
            "sizes": SIZES,
        }

    def as_file(self, name: str, ending: str, header: Sequence[str], row: Any) -> Response:
        """Every row of the list, with the filters of the address, as CSV or JSON.

        Args:
            row: what makes the cells of an item.
        """
        fields = Fields(request.args)
        query = self.query(fields)
        refuse_wrong(fields)
        items = in_batches(partial(current_driftwatch().store.items.find, query))
        return table_file(name, ending, header, (row(item) for item in items))

    def query(self, fields: Fields) -> ItemQuery:
        """The filters of the address; what is wrong with them is noted on `fields`."""
        driftwatch = current_driftwatch()
        models = [model.name for model in driftwatch.models.all()]
        least, most = read_bounds(fields, "least", "most")
        layers = read_bounds(fields, "layer_least", "layer_most") if self.base.labelled else (None, None)
        run = fields.read("run", run_number, None)
        uncertain = fields.read("uncertain", fraction("uncertain"), None) if "certainty" in self.sorts else None
        sorts = self.sorts if run is None else self.sorts + self.of_a_run
        sort, descending = read_sort(fields, sorts, self.sorts[0], lambda sort: sort in ("score", "contamination"))
        if uncertain is not None and run is None and sort != "certainty":
            fields.refuse(InvalidInput("sort", sort, "certainty, where uncertain chambers of all runs are listed"))
        states = self.base.states
        if self.states:
            states = fields.read("state", one_of("state", self.states), next(iter(self.states.values())))
        model = fields.read("model", one_of("model", dict(zip(models, models, strict=True))), driftwatch.model)
        return replace(
            self.base,
            model=model,
            states=states,
            run=run,
            uncertain=uncertain,
            place=read_place(fields),
            least=least,
            most=most,
            part_least=layers[0],
            part_most=layers[1],
            sort=sort,
            descending=descending,
        )


def read_page(fields: Fields, count: Callable[[int], int]) -> tuple[int, Page, bool]:
    """The page of the address: its size, itself, and whether there are more rows than can be paged through.

    Args:
        count: gives how many rows the list has, to one beyond a number; asked only where its filters can be used.
    """
    size = read_size(fields)
    rows = 0 if fields.errors else count(MOST_PAGED)
    page = Page(1, size, min(rows, MOST_PAGED))
    if not fields.errors:
        page = Page.read(fields, size, page.count)
    return size, page, rows > MOST_PAGED


def read_bounds(fields: Fields, lower: str, upper: str) -> tuple[float | None, float | None]:
    """Two scores, of which the second is not below the first; None where they are not given."""
    least, most = (fields.read(name, fraction(name), None) for name in (lower, upper))
    if least is not None and most is not None and least > most:
        fields.refuse(InvalidInput(upper, fields.given[upper], f"at least {least:g}, the lower end"))
    return least, most


def read_place(fields: Fields) -> dict[str, int]:
    """Those of wheel, station and sector that are given."""
    place = {
        "wheel": fields.read("wheel", number_in("wheel", range(-2, 3)), None),
        "station": fields.read("station", number_in("station", range(1, 5)), None),
        "sector": fields.read("sector", number_in("sector", range(1, 15)), None),
    }
    return {key: value for key, value in place.items() if value is not None}


def refuse_wrong(fields: Fields) -> None:
    """Answer 400 where something is wrong with the address of a file, which has no form to say it in."""
    if fields.errors:
        abort(400, " ".join(f"{name}: {sentence}" for name, sentence in fields.errors.items()))


def chamber_cells(item: Any) -> tuple[int, int, int, int]:
    """Run, wheel, sector and station of an item or an event, for a file."""
    return item.run, item.place.wheel, item.place.sector, item.place.station


def score_cells(item: Item) -> Sequence[float | None]:
    """The scores of layers 1 to 12, for a file."""
    return item.judgement.scores if item.judgement else (None,) * LAYERS


def files(endpoint: str, name: str | None = None) -> dict[str, str]:
    """What the list of this address can be saved as: words → address.

    Args:
        name: of the table, where the page has several.
    """
    given = query_without("page", "size", "ending", "name")
    return {ending.upper(): url_for(endpoint, name=name, ending=ending, **given) for ending in ("csv", "json")}


def query_without(*names: str) -> dict[str, Any]:
    """The query of this address without some of it, for the address of the same list as a file."""
    return {name: value for name, value in own_query().items() if name not in names}
