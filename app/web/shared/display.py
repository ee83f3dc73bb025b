"""Formatting of numbers, times and names on all pages. Filters for the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import floor, log10
from typing import Any

from flask import Flask, g, request, url_for
from markupsafe import Markup

from app.domain.runs import Run, RunState
from app.domain.words import numbers, plural, signed
from app.errors import REASON_WORDS
from app.web.shared.application import current_driftwatch, current_subsystem

NOTHING = "–"

STATE_WORDS = {
    RunState.WAITING: "waiting",
    RunState.FETCHING: "fetching",
    RunState.SCORING: "scoring",
    RunState.FINISHED: "finished",
    RunState.NOT_FOUND: "not found on the server",
    RunState.FAILED: "failed",
    RunState.DELETING: "being deleted",
}


def init_app(app: Flask) -> None:
    app.jinja_env.filters |= {
        "certainty": certainty,
        "place_name": place_name,
        "place_words": place_words,
        "count": count,
        "percent": percent,
        "numbers": numbers,
        "part_or_parts": part_or_parts,
        "plural": plural,
        "score": score,
        "signed": signed,
        "when": when,
    }
    app.jinja_env.globals |= {
        "item_url": item_url,
        "small_picture_url": small_picture_url,
        "run_mark": run_mark,
        "left_out_runs": left_out_runs,
        "reason_words": REASON_WORDS,
        "state_words": state_words,
        "with_query": with_query,
        "model_name": model_name,
    }
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def score(value: float | None) -> str:
    """Three decimals.

    >>> score(0.98), score(None)
    ('0.980', '–')
    """
    return NOTHING if value is None else f"{value:.3f}"


def certainty(value: float | None) -> str:
    """Five decimals, for ranking quantities that differ only in the last digits."""
    return NOTHING if value is None else f"{value:.5f}"


def count(value: int | None) -> str:
    """With thousands separators.

    >>> count(171438)
    '171,438'
    """
    return NOTHING if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """One decimal; below 1 %, two significant digits.

    >>> percent(0.9834), percent(0.000378), percent(0.0000302), percent(0), percent(None)
    ('98.3 %', '0.038 %', '0.0030 %', '0 %', '–')
    """
    if share is None:
        return NOTHING
    if not share:
        return "0 %"
    digits = 1 if share >= 0.01 else 1 - floor(log10(100 * share))
    return f"{100 * share:.{digits}f} %"


def part_or_parts(those: Iterable[int]) -> str:
    """Parts of an item of the current subsystem: "part 3", "parts 1–3"."""
    those = list(those)
    return f"{current_subsystem().part}{'s' * (len(those) > 1)} {numbers(those)}"


def place_name(place: Any) -> str:
    """A place of the current subsystem, for tables and headings."""
    return current_subsystem().place_name(place)


def place_words(place: Any) -> str:
    """The same in full."""
    return current_subsystem().place_words(place)


def when(moment: datetime | None) -> Markup | str:
    """A <time>: 2026-11-22 01:41 UTC."""
    if moment is None:
        return NOTHING
    moment = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), moment.strftime("%Y-%m-%d %H:%M UTC")
    )


def state_words(run: Run) -> str:
    """A run's state in words: "finished, 3 missing"."""
    words = STATE_WORDS[run.state]
    if run.state is RunState.FINISHED:
        words += f", {run.missing:,} missing" if run.missing else ""
        words += ", perhaps before its end" if run.unsettled else ""
    return words


def is_simulated(run: int) -> bool:
    """Whether a run is from a demonstration; the list of such runs is read once per request."""
    if "simulated_runs" not in g:
        g.simulated_runs = frozenset(current_driftwatch().store.runs.simulated())
    return run in g.simulated_runs


def run_mark(run: int) -> Markup | str:
    """The mark next to the number of a simulated run, wherever it appears; nothing for other runs."""
    return _SIMULATED if is_simulated(run) else ""


_SIMULATED = Markup(
    ' <span class="simulated" title="from a demonstration, not from the detector">'
    '<svg class="icon" viewBox="0 0 12 12" aria-hidden="true"><path d="M6 .8 11.2 6 6 11.2.8 6Z"/></svg>'
    " <span>simulated</span></span>"
)


def left_out_runs() -> int:
    """Number of simulated runs left out of lists and statistics because there are real ones."""
    return len(current_driftwatch().store.runs.set_aside())


def item_url(run: int, place: Any, endpoint: str = "", **query: str | None) -> str:
    """The address of an item's page, or of another endpoint about one item."""
    subsystem = current_subsystem()
    own = subsystem.views().item
    return url_for(endpoint or (own.show if own else "item.show"), run=run, **subsystem.in_path(place), **_given(query))


def small_picture_url(run: int, place: Any, fetched_at: datetime | None = None) -> str:
    """The address of an item's thumbnail; it changes when the item is fetched again."""
    own = current_subsystem().views().item
    of = fetched_at.strftime("%s") if fetched_at else None
    return item_url(run, place, own.picture if own else "item.picture", of=of)


def with_query(**changes: object) -> str:
    """The address of this page with parts of its query changed; None removes a value."""
    return url_for(request.endpoint, **_given({**own_query(), **(request.view_args or {}), **changes}))


def own_query() -> dict[str, Any]:
    """The query of this address, without anything that `url_for` would take for an option or part of the path."""
    return {
        name: value
        for name, value in request.args.items()
        if value.strip() and name != "endpoint" and not name.startswith("_") and name not in (request.view_args or {})
    }


def model_name() -> str:
    """The model whose scores are shown, as last read: the page reporting an unavailable database must not query it."""
    return current_driftwatch().models.last_known


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
