"""`/drift/`: distance of runs from their model's training data, over runs. Measured by `app.jobs.drift`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.run_numbers import LARGEST_RUN, run_number
from app.domain.runs import Run
from app.errors import InvalidInput, NotFound
from app.pictures import POLICY
from app.store.runs import Runs
from app.web.runs.drift_pictures import over_runs
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.cache import cache
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.fields import Fields, read_scheme
from app.web.shared.item_lists import files, query_without, refuse_wrong
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES, ListPage, read_size

MOST_DRAWN = 500  # runs in a picture, the newest in the range: more would be indistinguishable
MOST_PICTURES = 16  # cached in memory, 0.1 MB each
SORTS = ("number", *Runs.DRIFT)
LITTLE, CHANGED = 0.1, 0.25  # population stability index, by rule of thumb

# name → title, meaning of the values, and the series with their words.
PICTURES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "unlike": (
        "{items} unlike anything that the model has seen",
        "share of the run's {items}",
        {"unlike": "{items} beyond the bound"},
    ),
    "stability": (
        "Population stability against what the model was trained on",
        "population stability index",
        {"scores": "scores", "distances": "distances"},
    ),
    "hits": (
        "The same of hits per cell: look at its changes only",
        "population stability index",
        {"hits": "hits per cell"},
    ),
}

blueprint = Blueprint("drift", __name__, url_prefix="/drift")


@blueprint.get("/")
def index() -> tuple[str, int]:
    driftwatch, fields = current_driftwatch(), Fields(request.args)
    (first, last), (sort, descending) = _range(fields), _order(fields)
    runs, model = driftwatch.store.runs, driftwatch.model
    size = read_size(fields)
    count = 0 if fields.errors else runs.count_with_drift(first, last)
    page = ListPage.read(fields, size, count)
    listed = [] if fields.errors else runs.with_drift(first, last, page.skip, page.size + 1, sort, descending)
    newest_first = sort == "number" and descending
    return render_template(
        "runs/drift.html",
        fields=fields,
        page=page,
        sizes=SIZES,
        runs=listed[: page.size],
        before=_models_before(listed) if newest_first else {},
        sort=sort,
        descending=descending,
        pictures={name: _words(name)[0] for name in PICTURES},
        query=query_without("page", "size", "sort", "descending"),
        files=files(".drift_file"),
        most_drawn=MOST_DRAWN,
        changed=CHANGED,
        model=model,
        left=runs.count_to_measure(model),
        failure=driftwatch.drifts.failure(),
        under_way=driftwatch.drifts.under_way(),
    ), fields.status


@blueprint.post("/")
@needs("measure_drift")
def ask() -> ResponseReturnValue:
    """Measure the unmeasured runs, also after a failure."""
    current_driftwatch().drifts.ask(by=person().name)
    return redirect(url_for(".index"), 303)


@blueprint.get("/drift.<ending>")
def drift_file(ending: str) -> Response:
    """The measured runs matching the address, all pages, in its order."""
    fields = Fields(request.args)
    (first, last), (sort, descending) = _range(fields), _order(fields)
    refuse_wrong(fields)
    find = partial(current_driftwatch().store.runs.with_drift, first, last, sort=sort, descending=descending)
    rows = ((run.number, *(run.drift[name] for name in Runs.DRIFT)) for run in in_batches(find))
    return table_file("drift", ending, ("run", *Runs.DRIFT), rows)


@blueprint.get("/<name>.svg")
def picture(name: str) -> ResponseReturnValue:
    """A picture over the runs of the address, at most the newest 500, on a light or dark background."""
    if name not in PICTURES:
        raise NotFound(f"There is no picture {name!r}; there are: {', '.join(PICTURES)}.")
    fields = Fields(request.args)
    first, last = _range(fields)
    scheme = read_scheme(fields)
    refuse_wrong(fields)
    measured = current_driftwatch().store.runs.drifts(first, last, MOST_DRAWN)
    title, label, series = _words(name)
    values = {words: [drift[field] for _, drift in measured] for field, words in series.items()}
    models = [drift["model"] for _, drift in measured]
    changes = {i: after for i, (before, after) in enumerate(pairwise(models), 1) if before != after}
    levels = (LITTLE, CHANGED) if name == "stability" else ()
    shown = (title, label, [number for number, _ in measured], values, changes, levels, scheme)
    svg = cache("drift_pictures", MOST_PICTURES).get(repr(shown), lambda: over_runs(*shown))
    response = Response(svg, mimetype="image/svg+xml", headers={"Content-Security-Policy": POLICY})
    response.headers |= {"Cache-Control": "no-cache", "Content-Disposition": f'inline; filename="drift_{name}.svg"'}
    response.add_etag()
    return response.make_conditional(request)


def _words(name: str) -> tuple[str, str, Mapping[str, str]]:
    """The entry of a picture in `PICTURES`, in the subsystem's terms."""
    items = f"{current_subsystem().item}s"
    title, label, series = PICTURES[name]
    title, label = title.format(items=items), label.format(items=items)
    return title[0].upper() + title[1:], label, {field: words.format(items=items) for field, words in series.items()}


def _range(fields: Fields) -> tuple[int, int]:
    """The runs of the address; errors are recorded on `fields`."""
    first = fields.read("first", _run("first"), 1)
    last = fields.read("last", _run("last"), LARGEST_RUN)
    if first > last:
        fields.refuse(InvalidInput("last", fields.given["last"], f"at least {first}, the first run"))
    return first, last


def _order(fields: Fields) -> tuple[str, bool]:
    """The order in the address: a column, and whether it is descending."""
    return read_sort(fields, SORTS, "number", lambda sort: sort != "model")


def _run(field: str) -> Callable[[str], int]:
    return lambda text: run_number(text, field)


def _models_before(runs: Sequence[Run]) -> dict[int, str]:
    """run → model of the previous run, for runs scored by a different model than the previous one; newest first."""
    changed = [(run, older) for run, older in pairwise(runs) if older.drift["model"] != run.drift["model"]]
    return {run.number: older.drift["model"] for run, older in changed}
