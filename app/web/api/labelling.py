"""The labelling part of the API: the queue, and labels. The labelling page uses it."""

from __future__ import annotations

from flask import Blueprint, Response, make_response
from spectree import Response as Answers

from app.errors import InvalidInput
from app.labelling.labels import Labelling, StaleLabel
from app.labelling.queue import NothingLeft
from app.web.api.definition import REFUSED, spec
from app.web.api.label_schemas import (
    ClaimIn,
    ClaimOut,
    CurrentOut,
    LabelIn,
    LabelOut,
    LabelsOut,
    PlaceInRun,
    Places,
    SeenState,
    StaleProblem,
    UndoIn,
)
from app.web.api.places import NO_FIELD
from app.web.api.schemas import ErrorOut
from app.web.labels.queue_options import QueueOptions
from app.web.shared import display
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.errors import answer

blueprint = Blueprint("labelling", __name__)

AWAY = {"HTTP_503": ErrorOut}


@blueprint.post("/queue/claim")
@needs("label")
@spec.validate(resp=Answers(HTTP_200=ClaimOut, **REFUSED, **AWAY), tags=["labels"])
def claim(json: ClaimIn) -> Response:
    """Get the next item and hold it for ten minutes."""
    wanted = narrowed(json)
    claimed = _labelling().claim(
        person().name,
        json.strategy,
        json.run,
        wanted,
        leave_out_known=json.leave_out_known,
        also_held=[item.where for item in json.besides],
        tab=json.tab,
    )
    if isinstance(claimed, NothingLeft):
        out = ClaimOut(
            item=None, url=None, why="", seen=None, held_until=None, nothing=claimed.reason, text=claimed.text
        )
    else:
        item = claimed.item
        out = ClaimOut(
            item=PlaceInRun.at((item.run, item.place)),
            url=display.item_url(item.run, item.place),
            why=claimed.why,
            seen=SeenState.of(claimed.seen),
            held_until=claimed.held_until,
            nothing=None,
            text="",
        )
    options = QueueOptions(json.strategy, json.run, next(iter(wanted.values()), None), json.leave_out_known)
    return options.remember(make_response(out.model_dump(mode="json")))


@blueprint.post("/queue/renew")
@needs("label")
@spec.validate(resp=Answers(HTTP_200=Places, **REFUSED, **AWAY), tags=["labels"])
def renew(json: Places) -> Places:
    """Renew the hold on items by ten minutes, and return those still held."""
    return Places.at(_labelling().renew(person().name, [item.where for item in json.items], json.tab))


@blueprint.post("/queue/release")
@needs("label")
@spec.validate(resp=Answers("HTTP_204", **REFUSED, **AWAY), tags=["labels"])
def release(json: Places) -> tuple[str, int]:
    """Release items that no other tab holds: the given ones, or all of a tab if none are given."""
    _labelling().release(person().name, [item.where for item in json.items], json.tab)
    return "", 204


@blueprint.post("/labels")
@needs("label")
@spec.validate(
    resp=Answers(
        HTTP_200=LabelOut, HTTP_201=LabelOut, **REFUSED, HTTP_404=ErrorOut, HTTP_409=StaleProblem, HTTP_503=ErrorOut
    ),
    tags=["labels"],
)
def submit(json: LabelIn) -> tuple[LabelOut, int] | Response:
    """Store a label or a skip: 201; 200 if the same key was already stored; 409 if the item has changed meanwhile."""
    run, place = json.where
    try:
        kept = _labelling().submit(
            person().name,
            run,
            place,
            json.answer,
            json.key,
            json.seen.seen,
            reason=json.reason,
            comment=json.comment,
            seconds=json.seconds,
        )
    except StaleLabel as stale:
        current = CurrentOut.of(stale.current).model_dump(mode="json")
        return answer(409, str(stale), code=stale.code, current=current)
    return LabelOut.of(kept.event), 201 if kept.created else 200


@blueprint.post("/labels/<label_id>/undo")
@needs("label")
@spec.validate(
    resp=Answers(HTTP_201=LabelOut, **REFUSED, HTTP_404=ErrorOut, HTTP_409=ErrorOut, HTTP_503=ErrorOut), tags=["labels"]
)
def undo(label_id: str, json: UndoIn) -> tuple[LabelOut, int]:
    """Withdraw one's own label or skip."""
    return LabelOut.of(_labelling().undo(person().name, label_id, json.key).event), 201


@blueprint.get("/labels/mine")
@needs("label")
@spec.validate(resp=Answers(HTTP_200=LabelsOut, **REFUSED, **AWAY), tags=["labels"])
def list_mine() -> LabelsOut:
    """One's own last ten labels and skips, newest first."""
    return LabelsOut(labels=[LabelOut.of(event) for event in _labelling().mine(person().name)])


def narrowed(json: ClaimIn) -> dict[str, int]:
    """The restriction of the queue.

    Raises:
        InvalidInput: a key other than the first of a place, or a value that is not allowed.
    """
    wanted, first = json.place_filter(), current_subsystem().keys[0]
    for key in wanted:
        if key != first:
            raise InvalidInput(key, wanted[key], NO_FIELD)
    return wanted


def _labelling() -> Labelling:
    return current_driftwatch().labelling
