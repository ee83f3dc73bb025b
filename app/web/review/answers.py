"""`/agreement/chambers/`: the chambers behind the figures of the agreement, each with what people answered."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, render_template, request

from app.accounts import account_name
from app.domain.agreement import Way, is_like
from app.errors import InvalidInput
from app.subsystems.dt.geometry import LAYERS, Chamber
from app.web.shared.access import needs
from app.web.shared.application import current_driftwatch
from app.web.shared.csv_file import in_batches, table_file
from app.web.shared.fields import Fields, number_in, one_of
from app.web.shared.item_lists import CHAMBER, files, read_page, refuse_wrong
from app.web.shared.ordering import read_sort
from app.web.shared.paging import SIZES

SORTS = ("run", "wheel", "station", "sector")
ALIKE = {"alike": True, "different": False}

blueprint = Blueprint("answers", __name__, url_prefix="/agreement/chambers")


@dataclass(frozen=True)
class Compared:
    """What the address asks for.

    Attributes:
        ways: in which its chambers were answered → of how many of them.
    """

    ways: dict[Way, int]
    sort: str
    descending: bool

    @classmethod
    def read(cls, fields: Fields) -> Compared:
        """What is wrong with the address is noted on `fields`."""
        people = [fields.read(name, account_name, None) for name in ("person", "other")]
        if people[1] is not None and people[1] == people[0]:
            fields.refuse(InvalidInput("other", people[1], "somebody else than the first person"))
        layer = fields.read("layer", number_in("layer", range(1, LAYERS + 1)), None)
        alike = fields.read("answers", one_of("answers", ALIKE), None)
        sort, descending = read_sort(fields, SORTS, SORTS[0], lambda sort: sort == SORTS[0])
        wanted = [name for name in people if name is not None]
        ways = current_driftwatch().store.answers.ways()
        return cls({way: n for way, n in ways.items() if is_like(way, wanted, layer, alike)}, sort, descending)

    def find(self, skip: int, limit: int) -> list[tuple[int, Chamber, Way]]:
        """(run, chamber, way) of those of one page."""
        answers = current_driftwatch().store.answers
        return answers.find(self.ways, self.sort, self.descending, skip, limit) if self.ways else []


@blueprint.get("/")
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
        chambers=[] if fields.errors else compared.find(page.skip, size),
        page=page,
        more=more,
        sizes=SIZES,
        people=people,
        layers=[(layer, layer) for layer in range(1, LAYERS + 1)],
        files=files(".table"),
    ), fields.status


@blueprint.get("/answers.<ending>")
@needs("agreement")
def table(ending: str) -> Response:
    """Every answer of the list, a line each."""
    fields = Fields(request.args)
    compared = Compared.read(fields)
    refuse_wrong(fields)
    rows = (
        (run, place.wheel, place.sector, place.station, name, " ".join(map(str, sorted(bad))))
        for run, place, (_, said) in in_batches(compared.find)
        for name, bad in sorted(said)
    )
    return table_file("answers", ending, (*CHAMBER, "by", "bad_layers"), rows)
