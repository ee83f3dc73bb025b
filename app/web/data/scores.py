"""`/data/net_scores/`: the network's scores of all items, least certain first."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from app.domain.items import LISTS, Item, ItemQuery
from app.web.labels.label_words import reader_of
from app.web.shared.item_lists import ItemList, files, place_cells, place_header, score_cells, score_header

STATE_WORDS = {
    "scored": "scored",
    "judged": "judged",
    "unjudged": "too few hits to judge",
    "unscored": "not scored yet",
    "missing": "missing",
    "any": "all",
}
LIST = ItemList(
    ItemQuery(model=""),
    lambda subsystem: ("certainty", "score", "state"),
    LISTS,
    lambda subsystem: (*subsystem.part_names, "evaluation"),
)

blueprint = Blueprint("scores", __name__, url_prefix="/data/net_scores")


@blueprint.get("/")
def index() -> tuple[str, int]:
    context = LIST.context()
    return render_template(
        "data/scores.html",
        **context,
        state=context["fields"].given.get("state", "scored"),
        states=STATE_WORDS,
        reader=reader_of(),
        files=files(".scores_file"),
    ), context["fields"].status


@blueprint.get("/scores.<ending>")
def scores_file(ending: str) -> Response:
    reader = reader_of()

    def row(item: Item) -> tuple[object, ...]:
        judgement = item.judgement
        certainty, worst = (judgement.certainty, judgement.worst) if judgement else (None, None)
        said = reader.said(item)
        return (*place_cells(item), item.state, certainty, worst, *score_cells(item), said, item.model)

    header = (*place_header(), "state", "certainty", "worst_score", *score_header(), "evaluation", "model")
    return LIST.as_file("net_scores", ending, header, row)
