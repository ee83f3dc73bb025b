"""`/agreement/`: agreement between people, and open disagreements for an expert to settle."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from operator import attrgetter, itemgetter

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.items import SCORED, ItemQuery
from app.domain.labels import EventKind, standing
from app.domain.run_numbers import run_number
from app.domain.shift_summary import Dispute
from app.domain.vocabulary import GOOD, Answer
from app.driftwatch import Driftwatch
from app.web.labels import item_page, label_words
from app.web.shared.access import needs, person
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.csv_file import one_table
from app.web.shared.fields import Fields, whole_number
from app.web.shared.item_lists import files, read_page, refuse_wrong
from app.web.shared.item_routes import of_each, place_at
from app.web.shared.ordering import Keys, ordered, read_order
from app.web.shared.paging import SIZES

DISPUTED = ItemQuery(model=None, states=SCORED, disputed=True, sort="run", descending=True)
OTHERWISE = "otherwise"  # than one of the given answers: as in the form

blueprint = Blueprint("agreement", __name__, url_prefix="/agreement")


@blueprint.get("/")
@needs("agreement")
def index() -> tuple[str, int]:
    driftwatch = current_driftwatch()
    fields = Fields(request.args)
    size, page, more = read_page(fields, partial(driftwatch.store.lists.count, DISPUTED))
    of_pairs, of_parts = _columns()
    sort, descending = read_order(fields, of_pairs, of_parts)
    agreement = driftwatch.labelling.agreement()
    return render_template(
        "review/agreement.html",
        fields=fields,
        agreement=agreement,
        pairs=ordered(agreement.pairs, of_pairs, sort, descending),
        parts=ordered(agreement.parts, of_parts, sort, descending),
        sort=sort,
        descending=descending,
        disputes=[] if fields.errors else disputes(driftwatch, page.skip, size),
        page=page,
        more=more,
        sizes=SIZES,
        written=written,
        said=label_words.answer_words,
        questions=current_subsystem().questions,
        vocabulary=current_subsystem().vocabulary,
        new_key=lambda: str(uuid.uuid4()),
        second_opinions=driftwatch.settings.second_opinions,
        files=partial(files, ".table"),
    ), fields.status


@blueprint.get("/<name>.<ending>")
@needs("agreement")
def table(name: str, ending: str) -> Response:
    """One of the two tables, in its current order, as a file."""
    fields = Fields(request.args)
    of_pairs, of_parts = _columns()
    sort, descending = read_order(fields, of_pairs, of_parts)
    refuse_wrong(fields)
    found = current_driftwatch().labelling.agreement()
    pairs = [
        (*pair.people, pair.items, pair.parts, pair.observed, pair.kappa)
        for pair in ordered(found.pairs, of_pairs, sort, descending)
    ]
    parts = [
        (one.part, one.items, one.judgements, one.bad, one.observed, one.kappa)
        for one in ordered(found.parts, of_parts, sort, descending)
    ]
    items, part = f"{current_subsystem().item}s", current_subsystem().part
    tables: dict[str, tuple[Sequence[str], Sequence[Sequence[object]]]] = {
        "pairs": (("person", "other", items, f"{part}s", "alike", "kappa"), pairs),
        f"{part}s": ((part, items, "answers", "bad", "alike", "kappa"), parts),
    }
    return one_table(tables, name, ending)


@of_each(blueprint, "/{item}", methods=["POST"])
@needs("resolve")
def resolve(run: str, **where: str) -> ResponseReturnValue:
    """Settle a disagreement, with one of the given answers or another."""
    place, form = place_at(where), request.form
    chosen = form.get("as", "")
    answer = item_page.read_answer() if chosen == OTHERWISE else said_in(chosen)
    key, comment = form.get("key", ""), form.get("comment", "")
    current_driftwatch().labelling.resolve(person().name, run_number(run), place, answer, key, comment)
    return redirect(url_for(".index"), 303)


def written(answer: Answer) -> str:
    """An answer as the value of a button: "3:bad,4:bad", or "good"."""
    return ",".join(f"{part}:{name}" for part, name in sorted(answer.items())) or GOOD.name


def said_in(text: str) -> Answer | list[int]:
    """What `written` wrote; parts without a class are bad.

    >>> said_in("3:dead,4:hot"), said_in("3,4"), said_in("good")
    ({3: 'dead', 4: 'hot'}, [3, 4], {})
    """
    if text == GOOD.name:
        return {}
    if ":" not in text:
        return [whole_number(part) for part in text.split(",")]
    return {whole_number(part): name for part, _, name in (one.partition(":") for one in text.split(","))}


def _columns() -> tuple[Keys, Keys]:
    """The sort columns of the two tables, in the subsystem's terms: for pairs and for parts."""
    part = current_subsystem().part
    pairs = {f"pair_{name}": attrgetter(name) for name in ("people", "items", "observed", "kappa")}
    parts = {f"{part}_{name}": attrgetter(name) for name in ("items", "judgements", "bad", "observed", "kappa")}
    return pairs | {f"pair_{part}s": attrgetter("parts")}, {f"{part}_{part}": attrgetter("part")} | parts


def disputes(driftwatch: Driftwatch, skip: int, limit: int) -> list[Dispute]:
    """The open disagreements, newest run first, with each person's last answer."""
    found, items = [], driftwatch.store.lists.find(DISPUTED, skip, limit)
    said = driftwatch.store.labels.of_items((item.run, item.place) for item in items)
    for item in items:
        events = standing(said[item.run, item.place])
        answers = {event.by: dict(event.said) for event in events if event.kind is EventKind.LABEL}
        found.append(Dispute(item.run, item.place, sorted(answers.items(), key=itemgetter(0)), item))
    return found
