"""Why chambers have their scores: `/saliency/…` for the worst of a run, and the overlay on the map of one chamber.

Pages never wait for TensorFlow: missing influences are requested, announced and polled for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from app.domain.influence import DEFAULT, Method, method_named
from app.domain.items import Item
from app.domain.models import ModelState
from app.domain.run_numbers import run_number
from app.domain.runs import RunState
from app.errors import NotExplained, NotFound
from app.store.influences import Explained
from app.subsystems.dt.geometry import LAYERS
from app.subsystems.dt.web import layer_svg as strips
from app.subsystems.dt.web.chamber_page import item_with_histogram, picture_file
from app.subsystems.dt.web.heatmap import Heatmap
from app.subsystems.dt.web.influence_map import InfluenceMap, logits, short_logits
from app.subsystems.dt.web.thumbnails import influence_thumbnail
from app.web.labels.item_page import thumbnail_file
from app.web.shared import fields
from app.web.shared.access import person
from app.web.shared.application import current_driftwatch
from app.web.shared.display import own_query
from app.web.shared.fields import Fields
from app.web.shared.paging import ListPage, read_size

SIZES = (24, 48, 96)  # pictures per page
PLACE = "/eval/<run>/<wheel>/<sector>/<station>/influence"

METHOD_WORDS = {
    Method.OCCLUSION: "occlusion",
    Method.INTEGRATED_GRADIENTS: "integrated gradients",
    Method.SMOOTHGRAD: "SmoothGrad",
    Method.GRADIENT_INPUT: "gradient × input",
    Method.STUDY_2018: "as in 2018, to compare",
}

blueprint = Blueprint("saliency", __name__)


@blueprint.record_once
def _add_filters(state: BlueprintSetupState) -> None:
    state.app.jinja_env.filters |= {"logits": logits, "short_logits": short_logits}


# --- a run ---


@blueprint.get("/saliency/")
def newest() -> ResponseReturnValue:
    """The newest finished run's page."""
    runs = current_driftwatch().store.runs.find(RunState.FINISHED, limit=1, together=True)
    if runs:
        return redirect(url_for(".of_run", **own_query() | {"run": runs[0].number}), 303)
    return render_template("dt/saliency.html", run=None)


@blueprint.get("/saliency/<run>/")
def of_run(run: str) -> tuple[str, int]:
    """The chambers of a run with bad layers, strongest push first; `?part=list` is the part that may change."""
    driftwatch, given = current_driftwatch(), Fields(request.args)
    loaded = driftwatch.store.runs.get(run_number(run))
    models = _models()
    model = given.read("model", fields.one_of("model", dict(models)), driftwatch.model)
    method = given.read("method", method_named, DEFAULT)
    size = read_size(given)
    context = {"run": loaded, "fields": given, "model": model, "method": method, "models": models, "sizes": SIZES}
    context |= {"methods": METHOD_WORDS, "newer": driftwatch.store.runs.find(RunState.FINISHED, limit=8, together=True)}
    if not given.errors:
        context |= _list(loaded.number, model, method, size, given)
    template = "dt/saliency_list.html" if request.args.get("part") == "list" else "dt/saliency.html"
    return render_template(template, **context), given.status


def _list(run: int, model: str, method: Method, size: int, given: Fields) -> dict[str, object]:
    """The pictures of one page, or their progress."""
    driftwatch = current_driftwatch()
    done, total = driftwatch.explained(run, model, method)
    if done < total:
        failed = _ask(run, None, model, method)
        return {"coming": not failed, "failed": failed, "done": done, "total": total}
    influences = driftwatch.store.influences
    count = influences.count(run, model, method)
    page = ListPage.read(given, size, count)
    found = influences.largest(run, model, method, page.skip, page.size)
    return {"coming": False, "page": page, "pictures": found, "total": total}


# --- a chamber ---


@dataclass(frozen=True)
class _InfluenceQuery:
    """The request in an address."""

    item: Item
    model: str
    method: Method

    @classmethod
    def read(cls, run: str, wheel: str, sector: str, station: str) -> _InfluenceQuery:
        """
        Raises:
            InvalidInput, NotFound: there is no such chamber; says what is allowed.
        """
        driftwatch, args = current_driftwatch(), request.args
        item = item_with_histogram(run, wheel, sector, station)
        model = driftwatch.models.get(args.get("model") or item.model or driftwatch.model).name
        return cls(item, model, method_named(args.get("method") or DEFAULT))

    @cached_property
    def explained(self) -> Explained | None:
        return current_driftwatch().influence(self.item.run, self.item.place, self.model, self.method)

    @property
    def query(self) -> Mapping[str, str]:
        return {"model": self.model, "method": str(self.method)}

    def need(self) -> Explained:
        """
        Raises:
            NotFound: it is not computed yet.
        """
        if self.explained is None:
            raise NotFound(f"What pushed the scores of {self.item.place} in run {self.item.run} is not worked out yet.")
        return self.explained


@blueprint.get(f"{PLACE}/")
def overlay(run: str, wheel: str, sector: str, station: str) -> str:
    """The overlay on a chamber's map and the text below it, for the script of the page."""
    wanted = _InfluenceQuery.read(run, wheel, sector, station)
    item = wanted.item
    context = {"item": item, "model": wanted.model, "method": wanted.method, "query": wanted.query}
    context |= {"models": _models(wanted.model), "methods": METHOD_WORDS, "strips": strips}
    if wanted.explained is None:
        failed = _ask(item.run, item.place, wanted.model, wanted.method)
        return render_template("dt/influence.html", map=None, failed=failed, **context)
    return render_template("dt/influence.html", map=InfluenceMap(wanted.explained, item.histogram), **context)


@blueprint.get(f"{PLACE}/steps")
def steps(run: str, wheel: str, sector: str, station: str) -> str:
    """The steps that led to the influence on one layer, for the script of the page."""
    from app.subsystems.dt.web.influence_steps import (
        steps_of,  # recomputes the network's inputs, which nothing else here needs
    )

    wanted = _InfluenceQuery.read(run, wheel, sector, station)
    drawn = InfluenceMap(wanted.need(), wanted.item.histogram)
    present = {str(row.layer): row for row in drawn.rows}
    row = fields.one_of("layer", present)(request.args.get("layer", str(drawn.first_to_explain)))
    architecture = current_driftwatch().models.get(wanted.model).card["architecture"]
    made = steps_of(wanted.item.histogram, wanted.explained, row.layer, architecture)
    return render_template("dt/influence_steps.html", row=row, steps=made, method=wanted.method)


@blueprint.get(f"{PLACE}.svg")
def picture(run: str, wheel: str, sector: str, station: str) -> Response:
    """The influence as a separate file, with title, axes and scale."""
    wanted = _InfluenceQuery.read(run, wheel, sector, station)
    explained = wanted.need()
    drawn, heatmap = InfluenceMap(explained, wanted.item.histogram), Heatmap(wanted.item.histogram)
    svg = render_template(
        "dt/influence.svg",
        item=wanted.item,
        map=drawn,
        counts=heatmap,
        method=METHOD_WORDS[wanted.method],
        layers=LAYERS,
    )
    return picture_file(svg, "image/svg+xml", "influence", wanted.item, "svg")


@blueprint.get(f"{PLACE}/small.svg")
def small(run: str, wheel: str, sector: str, station: str) -> Response:
    """The thumbnail for pages of many. Its address contains the time of computation, so it can be cached."""
    wanted = _InfluenceQuery.read(run, wheel, sector, station)
    drawn = InfluenceMap(wanted.need(), wanted.item.histogram)
    return thumbnail_file(influence_thumbnail(Heatmap(wanted.item.histogram), drawn))


def _ask(run: int, place: object, model: str, method: Method) -> str:
    """Request the influence; return the reason if that failed recently."""
    try:
        current_driftwatch().explain(run, place, model, method, by=person().name)
    except NotExplained as error:
        return str(error)
    return ""


def _models(besides: str = "") -> list[tuple[str, str]]:
    """The selectable models, each with its description; always includes `besides`."""
    models = current_driftwatch().models.all()
    return [(one.name, one.name) for one in models if one.state is not ModelState.RETIRED or one.name == besides]
