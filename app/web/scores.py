"""`/data/net_scores/`: what the network said of every chamber, least certain first."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template, request

from app.driftwatch import Driftwatch
from app.errors import InvalidInput
from app.run_numbers import run_number
from app.store.items import LISTS, MOST_LISTED, SCORED, ItemQuery
from app.subsystems.dt.geometry import LAYERS, STATIONS, WHEELS, sectors_of
from app.web.display import signed
from app.web.fields import YES_OR_NO, Fields, fraction, number_in, one_of
from app.web.paging import SIZES, Page

STATE_WORDS = {
    "scored": "scored",
    "judged": "judged",
    "unjudged": "too few hits to judge",
    "unscored": "not scored yet",
    "missing": "missing",
    "any": "all",
}
SORTS = ("certainty", "score", "run", "wheel", "station", "sector", "state")

blueprint = Blueprint("scores", __name__, url_prefix="/data/net_scores")


@blueprint.get("/")
def index() -> tuple[str, int]:
    driftwatch: Driftwatch = current_app.extensions["driftwatch"]
    items = driftwatch.store.items
    fields = Fields(request.args)
    models = [model.name for model in driftwatch.models.all()]
    active = driftwatch.model
    query = _query(fields, fields.read("model", one_of("model", dict(zip(models, models, strict=True))), active))
    size = fields.read("size", one_of("size", {str(size): size for size in SIZES}), SIZES[0])
    count = 0 if fields.errors else items.count(query)
    page = Page(1, size, min(count, MOST_LISTED))
    if not fields.errors:
        page = fields.read("page", lambda text: Page.of(text, size, page.count), page)
    return render_template(
        "scores.html",
        fields=fields,
        query=query,
        page=page,
        more=count > MOST_LISTED,
        items=[] if fields.errors else items.find(query, page.skip, page.size),
        any_runs=bool(driftwatch.store.runs.count()),
        layers=range(1, LAYERS + 1),
        choices={
            "wheel": [(wheel, signed(wheel)) for wheel in WHEELS],
            "station": [(station, station) for station in STATIONS],
            "sector": [(sector, sector) for sector in sectors_of(4)],
        },
        state=fields.given.get("state", "scored"),
        states=STATE_WORDS,
        models=[(name, name) for name in models],
        active=active,
        sorts=SORTS,
        sizes=SIZES,
    ), fields.status


def _query(fields: Fields, model: str) -> ItemQuery:
    """The filters of the address; what is wrong with them is noted on `fields`."""
    place = {
        "wheel": fields.read("wheel", number_in("wheel", range(-2, 3)), None),
        "station": fields.read("station", number_in("station", range(1, 5)), None),
        "sector": fields.read("sector", number_in("sector", range(1, 15)), None),
    }
    least = fields.read("least", fraction("least"), None)
    most = fields.read("most", fraction("most"), None)
    if least is not None and most is not None and least > most:
        fields.refuse(InvalidInput("most", fields.given["most"], f"at least {least:g}, the lower end"))
    sort = fields.read("sort", one_of("sort", {name: name for name in SORTS}), "certainty")
    return ItemQuery(
        model=model,
        states=fields.read("state", one_of("state", LISTS), SCORED),
        run=fields.read("run", run_number, None),
        place={key: value for key, value in place.items() if value is not None},
        least=least,
        most=most,
        sort=sort,
        descending=fields.read("descending", one_of("descending", YES_OR_NO), sort == "score"),
    )
