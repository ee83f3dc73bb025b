"""Lists for labelling: unlabelled items, the greatest disagreements with the network, and all label events."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, render_template, request

from app.accounts import account_name
from app.domain.items import SCORED, Item, ItemQuery
from app.domain.labels import EventKind, LabelEvent
from app.domain.run_numbers import run_number
from app.store.labels import LabelQuery
from app.subsystems import Subsystem
from app.web.labels.label_words import HIDDEN, KIND_WORDS, answer_of, chosen_words, event_words, in_file, reader_of
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.fields import YES_OR_NO, Fields, moment, one_of
from app.web.shared.item_lists import (
    ItemList,
    choices,
    files,
    place_cells,
    place_header,
    read_page,
    read_place,
    refuse_wrong,
    score_cells,
    score_header,
)
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES

UNLABELLED = ItemQuery(model="", states=SCORED, labelled=False)
NEW = ItemList(
    UNLABELLED, lambda subsystem: ("certainty", "score"), {}, lambda subsystem: (*subsystem.part_names, "skipped_by")
)
# Without items awaiting a second opinion: their position in the list would reveal the first one.
LABELLED = ItemQuery(model="", states=SCORED, labelled=True, waiting=False)


def _of_labels(subsystem: Subsystem) -> tuple[str, ...]:
    part = subsystem.part
    return ("contamination", part, f"{part}_score", f"{part}_label", f"bad_{part}s", "by", "at")


CONTAMINATION = ItemList(LABELLED, _of_labels, {}, lambda subsystem: ("comment",))
EVENT_SORTS = ("at", "by", "kind", "chosen", "seconds", "model", "run")
DESCENDING = {"at", "kind", "seconds", "run"}  # the default

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
        return (*place_cells(item), judgement.certainty, judgement.worst, *score_cells(item), item.model)

    return NEW.as_file(
        "new_net_scores", ending, (*place_header(), "certainty", "worst_score", *score_header(), "model"), row
    )


@blueprint.get("/contamination/")
def contamination() -> tuple[str, int]:
    context = CONTAMINATION.context()
    return render_template(
        "labels/contamination.html", **context, reader=reader_of(), files=files(".contamination_file")
    ), context["fields"].status


@blueprint.get("/contamination/labels.<ending>")
def contamination_file(ending: str) -> Response:
    def row(item: Item) -> tuple[object, ...]:
        said, part = item.evaluation, item.contaminated
        score = item.judgement.scores[part - 1] if part else None
        cells = (item.contamination, part, score, said["state"], in_file(answer_of(said)))
        return (*place_cells(item), *cells, said["by"], said["at"], said["comment"], item.model)

    part = current_subsystem().part
    header = ("contamination", part, "score", "state", f"bad_{part}s", "by", "at", "comment", "model")
    return CONTAMINATION.as_file("contamination", ending, (*place_header(), *header), row)


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
        choices=choices(),
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
    """The label events as CSV or JSON, all pages."""
    reader, columns = reader_of(), score_header()

    def row(event: LabelEvent) -> tuple[object, ...]:
        hidden = reader.hides(event)
        answer = (HIDDEN, None, None) if hidden else (in_file(dict(event.said)), event.reason, event.comment)
        scores = event.scores[: len(columns)] or (None,) * len(columns)
        return (
            *(event.id, event.at, event.by, event.kind, *place_cells(event), event.seq, *answer),
            *(event.withdrawn, event.undoes, event.model, event.scored_at, *scores),
            *(event.chosen.get("strategy"), event.chosen.get("control"), event.seconds, event.blind),
        )

    header = (
        *(
            "id",
            "at",
            "by",
            "kind",
            *place_header(),
            "seq",
            f"bad_{current_subsystem().part}s",
            "skipped_because",
            "comment",
        ),
        *("withdrawn", "undoes", "model", "scored_at", *columns),
        *("strategy", "control", "seconds", "blind"),
    )
    events = in_batches(partial(current_driftwatch().store.labels.find, query))
    return table_file("user_scores", ending, header, (row(event) for event in events))


def read_events(fields: Fields) -> LabelQuery:
    """The filters of the address; errors are recorded on `fields`."""
    sorts = (*EVENT_SORTS, *current_subsystem().path)
    sort, descending = read_sort(fields, sorts, "at", lambda sort: sort in DESCENDING)
    return LabelQuery(
        by=fields.read("by", account_name, None),
        run=fields.read("run", run_number, None),
        place=read_place(fields),
        kind=fields.read("kind", one_of("kind", {str(kind): kind for kind in EventKind}), None),
        since=fields.read("since", moment("since"), None),
        until=fields.read("until", moment("until", ends=True), None),
        withdrawn=fields.read("withdrawn", one_of("withdrawn", YES_OR_NO), None),
        sort=sort,
        descending=descending,
    )
