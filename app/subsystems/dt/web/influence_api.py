"""The API of influences: how strongly each cell pushed the scores of a chamber's layers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import numpy as np
from flask import Blueprint, Response, make_response
from pydantic import BaseModel, Field
from spectree import Response as Answers

from app.domain.influence import DEFAULT, Method
from app.domain.items import Item
from app.domain.run_numbers import run_number
from app.store.influences import Explained
from app.subsystems.dt.web.chamber_page import chamber_at
from app.web.api.definition import REFUSED, spec
from app.web.api.schemas import Asked, ErrorOut
from app.web.shared.access import person
from app.web.shared.application import current_driftwatch
from app.web.shared.csv_file import csv_file

blueprint = Blueprint("influence", __name__)

DIGITS = 6  # decimals of an influence; smaller values are negligible
AGAIN_SECONDS = 1  # polling interval for clients
ANSWERS = {**REFUSED, "HTTP_404": ErrorOut, "HTTP_500": ErrorOut, "HTTP_503": ErrorOut}
ADDRESS = "/runs/<run>/chambers/<wheel>/<sector>/<station>"


class InfluenceQuery(Asked):
    model: str | None = Field(None, max_length=200, description="the one that scored the chamber, if not given")
    method: Method = Field(DEFAULT, description="the method of computation")


class InfluenceComing(BaseModel):
    """It is being computed: request it again."""

    state: Literal["coming"] = "coming"


class LayerInfluence(BaseModel):
    """How strongly the cells of a layer pushed its score: towards bad if above 0, towards good if below."""

    layer: int
    bad: bool = Field(description="the model calls it bad or empty")
    score: float = Field(description="P(bad)")
    logit: float = Field(description="log(P(bad) / P(good))")
    expected: float = Field(description="the logit of the same layer with every cell as expected")
    cells: list[int] = Field(description="numbers of the cells that exist")
    counts: list[int] = Field(description="their hits")
    influence: list[float] = Field(description="of each of these, in logits")
    around: float = Field(description="what came through the layer's siblings and the other superlayers, in logits")


class InfluenceOut(BaseModel):
    """Why the layers of a chamber have their scores."""

    state: Literal["ready"] = "ready"
    run: int
    wheel: int
    sector: int
    station: int
    model: str
    method: Method
    at: datetime = Field(description="when it was computed")
    layers: list[LayerInfluence] = Field(description="those that exist, layer 1 first")

    @classmethod
    def of(cls, item: Item, explained: Explained) -> InfluenceOut:
        """The response for an item with its histogram."""
        place, influence = explained.place, explained.influence
        layers = []
        for row in np.flatnonzero(~np.isnan(influence.logit)):
            cells = np.flatnonzero(item.histogram.cells[row])
            logit = float(influence.logit[row])
            layers.append(
                LayerInfluence(
                    layer=row + 1,
                    bad=row + 1 in explained.bad,
                    score=float(1 / (1 + np.exp(-logit))),
                    logit=logit,
                    expected=float(influence.expected[row]),
                    cells=(cells + 1).tolist(),
                    counts=item.histogram.counts[row, cells].tolist(),
                    influence=[round(value, DIGITS) for value in influence.cells[row, cells].tolist()],
                    around=float(influence.around[row]),
                )
            )
        return cls(
            run=explained.run,
            wheel=place.wheel,
            sector=place.sector,
            station=place.station,
            model=explained.model,
            method=explained.method,
            at=explained.at,
            layers=layers,
        )


@blueprint.get(f"{ADDRESS}/influence")
@spec.validate(resp=Answers(HTTP_200=InfluenceOut, HTTP_202=InfluenceComing, **ANSWERS), tags=["chambers"])
def show_influence(run: str, wheel: str, sector: str, station: str, query: InfluenceQuery) -> InfluenceOut | Response:
    """How strongly each cell of a chamber pushed its layers' scores; the first request starts the computation: 202."""
    item, explained = _explained(run, wheel, sector, station, query)
    return InfluenceOut.of(item, explained) if explained else _coming()


@blueprint.get(f"{ADDRESS}/influence.csv")
@spec.validate(resp=Answers("HTTP_200", HTTP_202=InfluenceComing, **ANSWERS), tags=["chambers"])
def influence_csv(run: str, wheel: str, sector: str, station: str, query: InfluenceQuery) -> Response:
    """The same as a CSV file: layer, cell, count and influence of every existing cell."""
    item, explained = _explained(run, wheel, sector, station, query)
    if explained is None:
        return _coming()
    place = item.place
    name = f"influence_{item.run}_W{place.wheel}_S{place.sector}_St{place.station}_{explained.model}_{explained.method}"
    return csv_file(name, ("layer", "cell", "count", "influence"), _rows(InfluenceOut.of(item, explained)))


def _explained(run: str, wheel: str, sector: str, station: str, query: InfluenceQuery) -> tuple[Item, Explained | None]:
    """The chamber and its influence, which is requested if it is not available yet."""
    driftwatch = current_driftwatch()
    item = driftwatch.store.items.get(run_number(run), chamber_at(wheel, sector, station))
    what = (item.run, item.place, query.model or item.model or driftwatch.model, query.method)
    explained = driftwatch.influence(*what)
    if explained is None and driftwatch.explain(*what, by=person().name) is None:  # it has just been computed
        explained = driftwatch.influence(*what)
    return item, explained


def _coming() -> Response:
    response = make_response(InfluenceComing().model_dump(), 202)
    response.headers["Retry-After"] = str(AGAIN_SECONDS)
    return response


def _rows(influence: InfluenceOut) -> Iterator[tuple[object, ...]]:
    for layer in influence.layers:
        for cell, count, value in zip(layer.cells, layer.counts, layer.influence, strict=True):
            yield layer.layer, cell, count, value
