"""`/agreement/`: how far people agree, and what they disagree on, for an expert to decide."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from operator import attrgetter

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.items import SCORED, ItemQuery
from app.domain.labels import Kind, standing
from app.domain.run_numbers import run_number
from app.domain.shift_summary import Dispute
from app.driftwatch import Driftwatch
from app.subsystems.dt.geometry import LAYERS
from app.web.shared import fields as read
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch
from app.web.shared.csv_file import one_table
from app.web.shared.fields import Fields
from app.web.shared.item_lists import files, read_page, refuse_wrong
from app.web.shared.ordering import ordered, read_order
from app.web.shared.paging import SIZES

DISPUTED = ItemQuery(model=None, states=SCORED, disputed=True, sort="run", descending=True)
# What the two tables can be sorted by.
PAIRS = {f"pair_{name}": attrgetter(name) for name in ("people", "items", "layers", "observed", "kappa")}
LAYER = {f"layer_{name}": attrgetter(name) for name in ("layer", "items", "judgements", "bad", "observed", "kappa")}
GOOD, OTHERWISE = "good", "otherwise"  # answers beside lists of layers

blueprint = Blueprint("agreement", __name__, url_prefix="/agreement")


@blueprint.get("/")
@needs("agreement")
def index() -> tuple[str, int]:
    driftwatch = current_driftwatch()
    fields = Fields(request.args)
    size, page, more = read_page(fields, partial(driftwatch.store.items.count, DISPUTED))
    sort, descending = read_order(fields, PAIRS, LAYER)
    agreement = driftwatch.labelling.agreement()
    return render_template(
        "review/agreement.html",
        fields=fields,
        agreement=agreement,
        pairs=ordered(agreement.pairs, PAIRS, sort, descending),
        layers=ordered(agreement.layers, LAYER, sort, descending),
        sort=sort,
        descending=descending,
        disputes=[] if fields.errors else disputes(driftwatch, page.skip, size),
        page=page,
        more=more,
        sizes=SIZES,
        new_key=lambda: str(uuid.uuid4()),
        second_opinions=driftwatch.settings.second_opinions,
        files=partial(files, ".table"),
    ), fields.status


@blueprint.get("/<name>.<ending>")
@needs("agreement")
def table(name: str, ending: str) -> Response:
    """One of the two tables as it stands."""
    fields = Fields(request.args)
    sort, descending = read_order(fields, PAIRS, LAYER)
    refuse_wrong(fields)
    found = current_driftwatch().labelling.agreement()
    pairs = [
        (*pair.people, pair.items, pair.layers, pair.observed, pair.kappa)
        for pair in ordered(found.pairs, PAIRS, sort, descending)
    ]
    layers = [
        (layer.layer, layer.items, layer.judgements, layer.bad, layer.observed, layer.kappa)
        for layer in ordered(found.layers, LAYER, sort, descending)
    ]
    tables: dict[str, tuple[Sequence[str], Sequence[Sequence[object]]]] = {
        "pairs": (("person", "other", "chambers", "layers", "alike", "kappa"), pairs),
        "layers": (("layer", "chambers", "answers", "bad", "alike", "kappa"), layers),
    }
    return one_table(tables, name, ending)


@blueprint.post("/<run>/<wheel>/<sector>/<station>")
@needs("resolve")
def resolve(run: str, wheel: str, sector: str, station: str) -> ResponseReturnValue:
    """End a disagreement: as one of the people said, or otherwise."""
    chamber = read.chamber(wheel, sector, station)
    answer = request.form.get("as", "")
    layers = {GOOD: [], OTHERWISE: request.form.getlist("bad")}.get(answer, answer.split(","))
    bad = [read.number_in("bad", range(1, LAYERS + 1))(layer) for layer in layers]
    key, comment = request.form.get("key", ""), request.form.get("comment", "")
    current_driftwatch().labelling.resolve(person().name, run_number(run), chamber, bad, key, comment)
    return redirect(url_for(".index"), 303)


def disputes(driftwatch: Driftwatch, skip: int, limit: int) -> list[Dispute]:
    """What people disagree on now, newest run first, with the last answer of each."""
    found, items = [], driftwatch.store.items.find(DISPUTED, skip, limit)
    said = driftwatch.store.labels.of_items((item.run, item.place) for item in items)
    for item in items:
        events = standing(said[item.run, item.place])
        answers = {event.by: event.bad for event in events if event.kind is Kind.LABEL}
        found.append(Dispute(item.run, item.place, sorted(answers.items()), item))
    return found
