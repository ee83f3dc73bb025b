"""`/agreement/<items>/`: the items behind an agreement figure, each with its answers."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from flask import Blueprint, Response, render_template, request

from app.accounts import account_name
from app.domain.agreement import Way, is_like
from app.errors import InvalidInput
from app.web.labels import label_words
from app.web.labels.label_words import in_file
from app.web.shared.access import needs
from app.web.shared.application import current_driftwatch, current_subsystem
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.fields import Fields, number_in, one_of
from app.web.shared.item_lists import files, place_header, read_page, refuse_wrong
from app.web.shared.item_routes import of_each
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES

ALIKE = {"alike": True, "different": False}

blueprint = Blueprint("answers", __name__, url_prefix="/agreement")


@dataclass(frozen=True)
class Compared:
    """The request in the address.

    Attributes:
        ways: combination of answers → number of items.
    """

    ways: dict[Way, int]
    sort: str
    descending: bool

    @classmethod
    def read(cls, fields: Fields) -> Compared:
        """Parse the address; errors are recorded on `fields`."""
        people = [fields.read(name, account_name, None) for name in ("person", "other")]
        if people[1] is not None and people[1] == people[0]:
            fields.refuse(InvalidInput("other", people[1], "somebody else than the first person"))
        word, most = current_subsystem().part, current_subsystem().most_parts
        part = fields.read(word, number_in(word, range(1, most + 1)), None)
        alike = fields.read("answers", one_of("answers", ALIKE), None)
        sort, descending = read_sort(fields, ("run", *current_subsystem().path), "run", lambda sort: sort == "run")
        wanted = [name for name in people if name is not None]
        ways = current_driftwatch().store.answers.ways()
        return cls({way: n for way, n in ways.items() if is_like(way, wanted, part, alike)}, sort, descending)

    def find(self, skip: int, limit: int) -> list[tuple[int, Any, Way]]:
        """(run, place, answers) for one page."""
        answers = current_driftwatch().store.answers
        return answers.find(self.ways, self.sort, self.descending, skip, limit) if self.ways else []


@of_each(blueprint, "/{items}/")
@needs("agreement")
def index() -> tuple[str, int]:
    fields = Fields(request.args)
    compared = Compared.read(fields)
    size, page, more = read_page(fields, lambda most: sum(compared.ways.values()))
    people = [(account.name, account.name) for account in current_driftwatch().accounts.all()]
    return render_template(
        "review/answers.html",
        fields=fields,
        compared=compared,
        items=[] if fields.errors else compared.find(page.skip, size),
        page=page,
        more=more,
        sizes=SIZES,
        people=people,
        parts=[(part, part) for part in range(1, current_subsystem().most_parts + 1)],
        said=label_words.answer_words,
        files=files(".table"),
    ), fields.status


@of_each(blueprint, "/{items}/answers.<ending>")
@needs("agreement")
def table(ending: str) -> Response:
    """All answers in the list, one per line."""
    fields = Fields(request.args)
    compared = Compared.read(fields)
    refuse_wrong(fields)
    subsystem = current_subsystem()
    rows = (
        (run, *subsystem.in_path(place).values(), name, in_file(dict(answer)))
        for run, place, (_, said) in in_batches(compared.find)
        for name, answer in sorted(said, key=itemgetter(0))
    )
    return table_file("answers", ending, (*place_header(), "by", f"bad_{subsystem.part}s"), rows)
