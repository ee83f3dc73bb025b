"""Shared by all lists of items: filters, order and page from the address, and the same rows as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from flask import Response, abort, request, url_for

from app.domain.items import Item, ItemQuery, ItemState
from app.domain.run_numbers import run_number
from app.domain.words import signed
from app.errors import InvalidInput
from app.store.item_lists import MOST_PAGED
from app.subsystems import Subsystem
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.display import own_query
from app.web.shared.fields import Fields, fraction, number_in, one_of
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES, ListPage, read_size

MOST_COLUMNS = 16  # items with more parts have no part columns in lists
MOST_CHOICES = 40  # a key with more values is typed instead of selected


@dataclass(frozen=True)
class ItemList:
    """One list.

    Attributes:
        base: filters that the address cannot change.
        sorts: sort fields besides run and place, the first being the default; may depend on the subsystem.
        of_a_run: further sort fields for a single run: no index could cover them for all runs.
        states: word → selectable states, the first being the default; empty if `base` fixes them.
    """

    base: ItemQuery
    sorts: Callable[[Subsystem], tuple[str, ...]]
    states: Mapping[str, frozenset[ItemState]]
    of_a_run: Callable[[Subsystem], tuple[str, ...]] = lambda subsystem: ()

    def context(self) -> dict[str, Any]:
        """The context for the list's template."""
        store, fields = current_driftwatch().store, Fields(request.args)
        query = self.query(fields)
        size, page, more = read_page(fields, partial(store.lists.count, query))
        return {
            "fields": fields,
            "query": query,
            "page": page,
            "more": more,
            "items": [] if fields.errors else store.lists.find(query, page.skip, size),
            "any_runs": store.runs.any(),
            "parts": shown_parts(),
            "choices": choices(),
            "models": [(model.name, model.name) for model in current_driftwatch().models.all()],
            "active": current_driftwatch().model,
            "sizes": SIZES,
        }

    def as_file(self, name: str, ending: str, header: Sequence[str], row: Any) -> Response:
        """Every row of the list, with the filters of the address, as CSV or JSON.

        Args:
            row: converts an item to cells.
        """
        fields = Fields(request.args)
        query = self.query(fields)
        refuse_wrong(fields)
        items = in_batches(partial(current_driftwatch().store.lists.find, query))
        return table_file(name, ending, header, (row(item) for item in items))

    def query(self, fields: Fields) -> ItemQuery:
        """The filters of the address; errors are recorded on `fields`."""
        driftwatch = current_driftwatch()
        models = [model.name for model in driftwatch.models.all()]
        least, most = read_bounds(fields, "least", "most")
        subsystem, part = driftwatch.subsystem, driftwatch.subsystem.part
        of_part = read_bounds(fields, f"{part}_least", f"{part}_most") if self.base.labelled else (None, None)
        sorts = (*self.sorts(subsystem), "run", *subsystem.path)
        run = fields.read("run", run_number, None)
        uncertain = fields.read("uncertain", fraction("uncertain"), None) if "certainty" in sorts else None
        possible = sorts if run is None else sorts + self.of_a_run(subsystem)
        sort, descending = read_sort(fields, possible, sorts[0], lambda sort: sort in ("score", "contamination"))
        if uncertain is not None and run is None and sort != "certainty":
            fields.refuse(InvalidInput("sort", sort, "certainty, where uncertain items of all runs are listed"))
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
            part_least=of_part[0],
            part_most=of_part[1],
            sort=sort,
            descending=descending,
        )


def read_page(fields: Fields, count: Callable[[int], int]) -> tuple[int, ListPage, bool]:
    """The page of the address: its size, the page itself, and whether there are more rows than can be paged through.

    Args:
        count: counts the rows, up to one beyond a number; only called if the filters are valid.
    """
    size = read_size(fields)
    rows = 0 if fields.errors else count(MOST_PAGED)
    page = ListPage(1, size, min(rows, MOST_PAGED))
    if not fields.errors:
        page = ListPage.read(fields, size, page.count)
    return size, page, rows > MOST_PAGED


def read_bounds(fields: Fields, lower: str, upper: str) -> tuple[float | None, float | None]:
    """Two scores in ascending order; None if not given."""
    least, most = (fields.read(name, fraction(name), None) for name in (lower, upper))
    if least is not None and most is not None and least > most:
        fields.refuse(InvalidInput(upper, fields.given[upper], f"at least {least:g}, the lower end"))
    return least, most


def choices() -> dict[str, list[tuple[int, str]]]:
    """For each key of a place, its possible values with their words; none if there are too many."""
    allowed = current_subsystem().allowed
    return {
        key: [(value, signed(value)) for value in values] if len(values) <= MOST_CHOICES else []
        for key, values in allowed.items()
    }


def read_place(fields: Fields) -> dict[str, int]:
    """The given keys of a place."""
    allowed = current_subsystem().allowed
    place = {key: fields.read(key, number_in(key, allowed[key]), None) for key in current_subsystem().keys}
    return {key: value for key, value in place.items() if value is not None}


def refuse_wrong(fields: Fields) -> None:
    """Answer 400 if the address of a file is invalid, as there is no form to show the error."""
    if fields.errors:
        abort(400, " ".join(f"{name}: {sentence}" for name, sentence in fields.errors.items()))


def place_header() -> tuple[str, ...]:
    """The columns of a file that identify the item."""
    return ("run", *current_subsystem().path)


def place_cells(item: Any) -> tuple[int, ...]:
    """Their values for an item or an event."""
    return item.run, *current_subsystem().in_path(item.place).values()


def shown_parts() -> tuple[int, ...]:
    """The parts that have columns in lists: all, if there are few."""
    most = current_subsystem().most_parts
    return tuple(range(1, most + 1)) if most <= MOST_COLUMNS else ()


def score_header() -> tuple[str, ...]:
    """The columns of a file with part scores."""
    return current_subsystem().part_names[: len(shown_parts())]


def score_cells(item: Item) -> Sequence[float | None]:
    """Their values."""
    parts = shown_parts()
    return item.judgement.scores[: len(parts)] if item.judgement else (None,) * len(parts)


def files(endpoint: str, name: str | None = None) -> dict[str, str]:
    """The files that the current list can be saved as: words → address.

    Args:
        name: of the table, if the page has several.
    """
    given = query_without("page", "size", "ending", "name")
    return {ending.upper(): url_for(endpoint, name=name, ending=ending, **given) for ending in ("csv", "json")}


def query_without(*names: str) -> dict[str, Any]:
    """The query of this address without some of its parts, for the same list as a file."""
    return {name: value for name, value in own_query().items() if name not in names}
