"""`/data/net_scores/`: what the network said of every chamber, least certain first."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from app.domain.items import LISTS, Item, ItemQuery
from app.web.labels.label_words import reader_of
from app.web.shared.item_lists import CHAMBER, LAYER_NAMES, ChamberList, chamber_cells, files, score_cells

STATE_WORDS = {
    "scored": "scored",
    "judged": "judged",
    "unjudged": "too few hits to judge",
    "unscored": "not scored yet",
    "missing": "missing",
    "any": "all",
}
SORTS = ("certainty", "score", "run", "wheel", "station", "sector", "state")
LIST = ChamberList(ItemQuery(model=""), SORTS, LISTS, (*LAYER_NAMES, "evaluation"))

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
        return (*chamber_cells(item), item.state, certainty, worst, *score_cells(item), said, item.model)

    header = (*CHAMBER, "state", "certainty", "worst_score", *LAYER_NAMES, "evaluation", "model")
    return LIST.as_file("net_scores", ending, header, row)
