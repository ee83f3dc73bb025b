"""Lists for labelling: what nobody labelled, where person and network disagree most, and who said what."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, render_template, request

from app.accounts import account_name
from app.domain.items import SCORED, Item, ItemQuery
from app.domain.labels import Kind, LabelEvent
from app.domain.run_numbers import run_number
from app.store.labels import LabelQuery
from app.web.labels.label_words import HIDDEN, KIND_WORDS, chosen_words, event_words, reader_of
from app.web.shared.application import current_driftwatch
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.fields import YES_OR_NO, Fields, moment, one_of
from app.web.shared.item_lists import (
    CHAMBER,
    CHOICES,
    LAYER_NAMES,
    ChamberList,
    chamber_cells,
    files,
    read_page,
    read_place,
    refuse_wrong,
    score_cells,
)
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES

PLACES = ("run", "wheel", "station", "sector")
UNLABELLED = ItemQuery(model="", states=SCORED, labelled=False)
NEW = ChamberList(UNLABELLED, ("certainty", "score", *PLACES), {}, (*LAYER_NAMES, "skipped_by"))
# Without those of which a second opinion is wanted: their place in the list would give the first one away.
LABELLED = ItemQuery(model="", states=SCORED, labelled=True, waiting=False)
OF_LABELS = ("contamination", "layer", "layer_score", "layer_label", "bad_layers", "by", "at")
CONTAMINATION = ChamberList(LABELLED, (*OF_LABELS, *PLACES), {}, ("comment",))
EVENT_SORTS = ("at", "by", "kind", "chosen", "seconds", "model", *PLACES)
ASCENDING_SORTS = {"by", "chosen", "model", "wheel", "station", "sector"}  # unless asked otherwise

blueprint = Blueprint("labels", __name__, url_prefix="/data")


@blueprint.get("/new_net_scores/")
def new_net_scores() -> tuple[str, int]:
    context = NEW.context()
    return render_template(
        "data/scores.html", **context, title="Not labelled yet", files=files(".new_net_scores_file")
    ), context["fields"].status


@blueprint.get("/new_net_scores/scores.<ending>")
def new_net_scores_file(ending: str) -> Response:
    def row(item: Item) -> tuple[object, ...]:
        judgement = item.judgement
        return (*chamber_cells(item), judgement.certainty, judgement.worst, *score_cells(item), item.model)

    return NEW.as_file("new_net_scores", ending, (*CHAMBER, "certainty", "worst_score", *LAYER_NAMES, "model"), row)


@blueprint.get("/contamination/")
def contamination() -> tuple[str, int]:
    context = CONTAMINATION.context()
    return render_template("labels/contamination.html", **context, files=files(".contamination_file")), context[
        "fields"
    ].status


@blueprint.get("/contamination/labels.<ending>")
def contamination_file(ending: str) -> Response:
    def row(item: Item) -> tuple[object, ...]:
        said, layer = item.evaluation, item.contaminated
        score = item.judgement.scores[layer - 1] if layer else None
        cells = (item.contamination, layer, score, said["state"], " ".join(map(str, said["bad"])))
        return (*chamber_cells(item), *cells, said["by"], said["at"], said["comment"], item.model)

    header = ("contamination", "layer", "score", "state", "bad_layers", "by", "at", "comment", "model")
    return CONTAMINATION.as_file("contamination", ending, (*CHAMBER, *header), row)


@blueprint.get("/user_scores/")
def user_scores() -> tuple[str, int]:
    fields = Fields(request.args)
    query, labels = read_events(fields), current_driftwatch().store.labels
    size, page, more = read_page(fields, partial(labels.count, query))
    return render_template(
        "labels/user_scores.html",
        fields=fields,
        query=query,
        page=page,
        more=more,
        events=[] if fields.errors else labels.find(query, page.skip, size),
        any_labels=bool(page.count or labels.count(LabelQuery())),
        people=[(account.name, account.name) for account in current_driftwatch().accounts.all()],
        choices=CHOICES,
        kinds=[(str(kind), words) for kind, words in KIND_WORDS.items()],
        kind_words=KIND_WORDS,
        event_words=event_words,
        chosen_words=chosen_words,
        reader=reader_of(),
        hidden=HIDDEN,
        sizes=SIZES,
        files=files(".user_scores_file"),
    ), fields.status


@blueprint.get("/user_scores/labels.<ending>")
def user_scores_file(ending: str) -> Response:
    fields = Fields(request.args)
    query = read_events(fields)
    refuse_wrong(fields)
    return events_file(query, ending)


def events_file(query: LabelQuery, ending: str = "csv") -> Response:
    """Who said what, as CSV or JSON, every page of it."""
    reader = reader_of()

    def row(event: LabelEvent) -> tuple[object, ...]:
        hidden = reader.hides(event)
        answer = (HIDDEN, None, None) if hidden else (" ".join(map(str, event.bad)), event.reason, event.comment)
        scores = event.scores or (None,) * len(LAYER_NAMES)
        return (
            *(event.id, event.at, event.by, event.kind, *chamber_cells(event), event.seq, *answer),
            *(event.withdrawn, event.undoes, event.model, event.scored_at, *scores),
            *(event.chosen.get("strategy"), event.chosen.get("control"), event.seconds, event.blind),
        )

    header = (
        *("id", "at", "by", "kind", *CHAMBER, "seq", "bad_layers", "skipped_because", "comment"),
        *("withdrawn", "undoes", "model", "scored_at", *LAYER_NAMES),
        *("strategy", "control", "seconds", "blind"),
    )
    events = in_batches(partial(current_driftwatch().store.labels.find, query))
    return table_file("user_scores", ending, header, (row(event) for event in events))


def read_events(fields: Fields) -> LabelQuery:
    """The filters of the address; what is wrong with them is noted on `fields`."""
    sort, descending = read_sort(fields, EVENT_SORTS, "at", lambda sort: sort not in ASCENDING_SORTS)
    return LabelQuery(
        by=fields.read("by", account_name, None),
        run=fields.read("run", run_number, None),
        place=read_place(fields),
        kind=fields.read("kind", one_of("kind", {str(kind): kind for kind in Kind}), None),
        since=fields.read("since", moment("since"), None),
        until=fields.read("until", moment("until", ends=True), None),
        withdrawn=fields.read("withdrawn", one_of("withdrawn", YES_OR_NO), None),
        sort=sort,
        descending=descending,
    )
