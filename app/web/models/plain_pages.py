"""The parts of the model pages for subsystems without their own: all figures, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from app.domain.jobs import Job
from app.errors import InvalidInput
from app.given import sound_text
from app.subsystems.views import ModelPages
from app.web.shared.application import current_subsystem
from app.web.shared.fields import Fields, number_in

USUAL_SEED = 2018
SEEDS = range(2**32)
MOST_NOTE = 200  # characters
MOST_ROWS = 200  # rows of figures; the file has all

Rows = list[tuple[str, str]]


def own() -> ModelPages:
    """The parts of the model pages for the current subsystem."""
    return current_subsystem().views().models or PLAIN


def rows_of(document: Any) -> Rows:
    """Flatten a JSON document to one row per value: (path, value).

    >>> rows_of({"area": 0.98765432, "found": [{"kind": "dead", "share": None}]})
    [('area', '0.98765'), ('found 1 kind', 'dead'), ('found 1 share', '–')]
    """
    return [(" ".join(where), _written(value)) for where, value in _values(document, ())]


def rows_of_text(figures: str) -> Rows:
    """The same for stored figures; no rows if they are not JSON."""
    try:
        return rows_of(json.loads(figures))
    except ValueError:
        return []


def text_of(figures: str) -> str:
    """The same for a terminal."""
    rows = rows_of_text(figures)
    width = max((len(where) for where, _ in rows), default=0)
    return "\n".join(f"{where:{width}}  {value}" for where, value in rows)


def read_plan(form: Fields) -> Any | None:
    """The plan in a form that has a seed and a note."""
    seed = form.read("seed", number_in("seed", SEEDS), USUAL_SEED)
    note = form.read("note", lambda text: sound_text("note", text, MOST_NOTE), "")
    if form.errors:
        return None
    try:
        return current_subsystem().learning().plan_of({"seed": seed, "note": note})
    except InvalidInput as error:
        form.refuse(error)
        return None


def _values(document: Any, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _values(value, (*where, str(name).replace("_", " ")))
    elif isinstance(document, list):
        for number, value in enumerate(document, start=1):
            yield from _values(value, (*where, str(number)))
    else:
        yield where, document


def _written(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _figures(figures: str) -> dict[str, Any]:
    rows = rows_of_text(figures)
    return {"rows": rows[:MOST_ROWS], "more_rows": len(rows) > MOST_ROWS}


def _of_model(known: Any, given: Fields) -> dict[str, Any]:
    return _figures(known.stored.figures) if known.stored else {}


def _of_training(job: Job) -> dict[str, Any]:
    return {"asked": rows_of(dict(job.args)), "labels": rows_of(job.progress.get("labels") or {})}


PLAIN = ModelPages(
    templates="models",
    of_model=_of_model,
    of_comparison=_figures,
    of_form=lambda: {"usual_seed": USUAL_SEED, "rows_of": rows_of},
    read_plan=read_plan,
    of_training=_of_training,
    comparison_text=text_of,
)
