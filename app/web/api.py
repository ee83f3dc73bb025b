"""The API under /api/v1/: the same use cases as the pages, as JSON. Its description is made from this code."""

from __future__ import annotations

from math import ceil
from typing import Any

from flask import Blueprint, Flask, Response, request
from spectree import Response as Answers
from spectree import SpecTree
from spectree.plugins.flask_plugin import FlaskPlugin
from werkzeug.wrappers import Response as BaseResponse

from app.errors import InvalidInput, NotFound
from app.run_numbers import run_number, run_numbers
from app.store.items import LISTS, MOST_ANSWERED, ItemQuery
from app.subsystems.dt.geometry import Chamber
from app.web import fields
from app.web.access import needs, person
from app.web.current import current_driftwatch
from app.web.label_words import reader_of
from app.web.schemas import (
    ChamberOut,
    ModelOut,
    ModelsOut,
    Problem,
    RunOut,
    RunsOut,
    RunsQuery,
    RunsRequest,
    ScoresListOut,
    ScoresOut,
    ScoresQuery,
)

REFUSED = {"HTTP_401": Problem, "HTTP_403": Problem}  # nobody is signed in; the role is too low

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


def _refuse(_request, _response, error: Any, *_: object) -> None:
    """Turn what pydantic found into our own error, which the one handler answers."""
    if error is None:
        return
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the body"
    if first["type"] == "extra_forbidden":
        raise InvalidInput(field, first["input"], "left out: there is no such field")
    if first["type"] == "missing":
        raise InvalidInput(field, None, "given")
    accepted = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    raise InvalidInput(field, first["input"], accepted)


class _Plugin(FlaskPlugin):
    """What SpecTree does with a request and an answer, but for two cases that it does not expect."""

    def request_validation(self, request: Any, query: Any, json: Any, *others: Any) -> None:
        """Refuse a form where JSON is wanted: it would be no body at all."""
        if json and request.mimetype in self.FORM_MIMETYPE:
            raise InvalidInput("Content-Type", request.mimetype, "application/json")
        super().request_validation(request, query, json, *others)

    def validate_response(self, resp: Any, *others: Any) -> Any:
        """Leave an answer as it is that is made while it is sent: it would be read into memory."""
        if isinstance(resp, Response) and resp.is_streamed:
            return resp, None
        return super().validate_response(resp, *others)


spec = SpecTree(
    "flask",
    backend=_Plugin,
    title="Driftwatch",
    version="1",
    mode="strict",
    path="openapi",  # of pages of its own, which are not served: see `describe`
    page_templates={},
    before=_refuse,
    validation_error_status=400,
    validation_error_model=Problem,
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
)


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
    spec.app = app


@blueprint.get("/runs")
@spec.validate(resp=Answers(HTTP_200=RunsOut, HTTP_404=Problem, HTTP_503=Problem), tags=["runs"])
def list_runs(query: RunsQuery) -> RunsOut:
    """Runs that somebody asked for, newest first."""
    runs = current_driftwatch().store.runs
    count = runs.count(query.state)
    pages = pages_of(query.page, query.size, count)
    found = runs.find(query.state, query.sort, query.descending, (query.page - 1) * query.size, query.size)
    return RunsOut(runs=[RunOut.of(run) for run in found], page=query.page, pages=pages, size=query.size, count=count)


@blueprint.post("/runs")
@needs("fetch")
@spec.validate(resp=Answers(HTTP_202=RunsOut, **REFUSED, HTTP_409=Problem, HTTP_503=Problem), tags=["runs"])
def ask_for_runs(json: RunsRequest) -> tuple[RunsOut, int]:
    """Have runs fetched and scored in the background; of a known run, only what is missing."""
    numbers = run_numbers(str(json.runs))
    asked = [current_driftwatch().ask_for_run(number, by=person().name, again=json.again) for number in numbers]
    runs = [RunOut.of(run) for run in asked]
    return RunsOut(runs=runs, page=1, pages=1, size=len(runs), count=len(runs)), 202


@blueprint.get("/runs/<run>")
@spec.validate(resp=Answers(HTTP_200=RunOut, HTTP_404=Problem, HTTP_503=Problem), tags=["runs"])
def show_run(run: str) -> RunOut:
    """One run."""
    return RunOut.of(current_driftwatch().store.runs.get(run_number(run)))


@blueprint.delete("/runs/<run>")
@needs("delete_run")
@spec.validate(resp=Answers(HTTP_202=RunOut, **REFUSED, HTTP_404=Problem, HTTP_503=Problem), tags=["runs"])
def delete_run(run: str) -> tuple[RunOut, int]:
    """Have a run deleted, stopping what works on it. It is gone when asking for it answers 404."""
    number = run_number(run)
    known = current_driftwatch().store.runs.get(number)
    current_driftwatch().delete_run(number, by=person().name)
    return RunOut.of(known), 202


@blueprint.get("/runs/<run>/chambers/<wheel>/<sector>/<station>")
@spec.validate(resp=Answers(HTTP_200=ChamberOut, HTTP_404=Problem, HTTP_503=Problem), tags=["chambers"])
def show_chamber(run: str, wheel: str, sector: str, station: str) -> ChamberOut:
    """One chamber of a run: occupancy, scores, verdicts; layer 1 first."""
    item = current_driftwatch().store.items.get(run_number(run), chamber_at(wheel, sector, station))
    return ChamberOut.of_chamber(reader_of().shown(item))


@blueprint.get("/scores")
@spec.validate(resp=Answers(HTTP_200=ScoresListOut, HTTP_404=Problem, HTTP_503=Problem), tags=["chambers"])
def list_scores(query: ScoresQuery) -> ScoresListOut:
    """Chambers with their scores, least certain first."""
    driftwatch = current_driftwatch()
    wanted = ItemQuery(
        model=driftwatch.models.get(query.model).name if query.model else driftwatch.model,
        states=LISTS[query.state],
        run=query.run,
        place=query.place,
        least=query.least,
        most=query.most,
        sort=query.sort,
        descending=query.descending,
    )
    count = min(driftwatch.store.items.count(wanted, MOST_ANSWERED), MOST_ANSWERED)
    pages = pages_of(query.page, query.size, count)
    found = driftwatch.store.items.find(wanted, (query.page - 1) * query.size, query.size)
    reader = reader_of()
    scores = [ScoresOut.of(reader.shown(item)) for item in found]
    return ScoresListOut(scores=scores, page=query.page, pages=pages, size=query.size, count=count)


@blueprint.get("/models")
@spec.validate(resp=Answers(HTTP_200=ModelsOut, HTTP_503=Problem), tags=["models"])
def list_models() -> ModelsOut:
    """Every model with its card, oldest first."""
    return ModelsOut(models=[ModelOut.of(model) for model in current_driftwatch().models.all()])


@blueprint.get("/models/<name>")
@spec.validate(resp=Answers(HTTP_200=ModelOut, HTTP_404=Problem, HTTP_503=Problem), tags=["models"])
def show_model(name: str) -> ModelOut:
    """One model."""
    return ModelOut.of(current_driftwatch().models.get(name))


@blueprint.get("/openapi.json")
def describe() -> dict[str, Any]:
    """What this API takes and gives, as an OpenAPI document."""
    return spec.spec


@blueprint.route("/", defaults={"path": ""})
@blueprint.route("/<path:path>")
def nothing_here(path: str) -> Any:
    raise NotFound(f"There is no /api/v1/{path}; what there is stands in /api/v1/openapi.json.")


@blueprint.after_request
def _remember(response: Response) -> BaseResponse:
    """Let a client that asks again and again be told that nothing changed."""
    if request.method == "GET" and response.status_code == 200 and not response.is_streamed:
        response.add_etag()
        response.headers["Cache-Control"] = "no-cache"
        return response.make_conditional(request)
    return response


def pages_of(page: int, size: int, count: int) -> int:
    """How many pages there are; there is always a first.

    Raises:
        NotFound: the page asked for is beyond the last.
    """
    pages = max(1, ceil(count / size))
    if page > pages:
        raise NotFound(f"There is no page {page:,}: the last is {pages:,}.")
    return pages


def chamber_at(wheel: str, sector: str, station: str) -> Chamber:
    """The chamber that an address names.

    Raises:
        InvalidInput: there is no such one.
    """
    return fields.chamber(wheel, sector, station)
