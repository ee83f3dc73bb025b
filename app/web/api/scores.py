"""The scores part of the API: lists of items with their scores."""

from __future__ import annotations

from flask import Blueprint
from spectree import Response as Answers

from app.domain.items import LISTS, ItemQuery
from app.store.item_lists import MOST_ANSWERED
from app.web.api.definition import pages_of, spec
from app.web.api.places import checked_sort
from app.web.api.schemas import (
    ErrorOut,
    ScoresListOut,
    ScoresOut,
    ScoresQuery,
)
from app.web.labels.label_words import reader_of
from app.web.shared.application import current_driftwatch

blueprint = Blueprint("scores", __name__)


@blueprint.get("/scores")
@spec.validate(resp=Answers(HTTP_200=ScoresListOut, HTTP_404=ErrorOut, HTTP_503=ErrorOut), tags=["scores"])
def list_scores(query: ScoresQuery) -> ScoresListOut:
    """Items with their scores, least certain first."""
    driftwatch = current_driftwatch()
    wanted = ItemQuery(
        model=driftwatch.models.get(query.model).name if query.model else driftwatch.model,
        states=LISTS[query.state],
        run=query.run,
        place=query.place_filter(),
        least=query.least,
        most=query.most,
        sort=checked_sort(query.sort, ("certainty", "score", "state", "run")),
        descending=query.descending,
    )
    count = min(driftwatch.store.lists.count(wanted, MOST_ANSWERED), MOST_ANSWERED)
    pages = pages_of(query.page, query.size, count)
    found = driftwatch.store.lists.find(wanted, (query.page - 1) * query.size, query.size)
    reader = reader_of()
    scores = [ScoresOut.of(reader.shown(item)) for item in found]
    return ScoresListOut(scores=scores, page=query.page, pages=pages, size=query.size, count=count)
