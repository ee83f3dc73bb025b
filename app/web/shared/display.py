"""How values are written on every page: numbers, times, names of chambers. Filters for the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import floor, log10
from typing import Any

from flask import Flask, g, request, url_for
from markupsafe import Markup

from app.domain.runs import Run, RunState
from app.errors import REASON_WORDS
from app.subsystems.dt.geometry import Chamber
from app.web.shared.application import current_driftwatch

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
        "chamber_name": chamber_name,
        "chamber_words": chamber_words,
        "count": count,
        "percent": percent,
        "layers": layers_words,
        "layer_or_layers": layer_or_layers,
        "plural": plural,
        "score": score,
        "signed": signed,
        "when": when,
    }
    app.jinja_env.globals |= {
        "chamber_url": chamber_url,
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
    """Five decimals: what is ranked by it differs in the last."""
    return NOTHING if value is None else f"{value:.5f}"


def count(value: int | None) -> str:
    """With separators between thousands.

    >>> count(171438)
    '171,438'
    """
    return NOTHING if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """One decimal; below 1 %, two digits that count.

    >>> percent(0.9834), percent(0.000378), percent(0.0000302), percent(0), percent(None)
    ('98.3 %', '0.038 %', '0.0030 %', '0 %', '–')
    """
    if share is None:
        return NOTHING
    if not share:
        return "0 %"
    digits = 1 if share >= 0.01 else 1 - floor(log10(100 * share))
    return f"{100 * share:.{digits}f} %"


def plural(number: int, one: str, many: str | None = None) -> str:
    """
    >>> plural(1, "bad layer"), plural(1200, "bad layer")
    ('1 bad layer', '1,200 bad layers')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def layers_words(layers: Iterable[int]) -> str:
    """Layers with their neighbours drawn together.

    >>> layers_words([1, 5, 6, 7, 8, 12]), layers_words([3, 4]), layers_words([])
    ('1, 5–8, 12', '3, 4', 'none')
    """
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    words = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words) or "none"


def layer_or_layers(layers: Iterable[int]) -> str:
    """
    >>> layer_or_layers([3]), layer_or_layers([1, 2, 3])
    ('layer 3', 'layers 1–3')
    """
    those = list(layers)
    return f"layer{'s' * (len(those) > 1)} {layers_words(those)}"


def signed(value: int) -> str:
    """A number with a real minus sign.

    >>> signed(-2)
    '−2'
    """
    return str(value).replace("-", "−")


def chamber_name(chamber: Chamber) -> str:
    """For tables and headings.

    >>> chamber_name(Chamber(wheel=-1, station=2, sector=7))
    'W−1 S7 MB2'
    """
    return f"W{signed(chamber.wheel)} S{chamber.sector} MB{chamber.station}"


def chamber_words(chamber: Chamber) -> str:
    """In full.

    >>> chamber_words(Chamber(wheel=-1, station=2, sector=7))
    'wheel −1, sector 7, station 2'
    """
    return f"wheel {signed(chamber.wheel)}, sector {chamber.sector}, station {chamber.station}"


def when(moment: datetime | None) -> Markup | str:
    """A <time>: 2026-11-22 01:41 UTC."""
    if moment is None:
        return NOTHING
    moment = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), moment.strftime("%Y-%m-%d %H:%M UTC")
    )


def state_words(run: Run) -> str:
    """A run's state as people say it: "finished, 3 missing"."""
    words = STATE_WORDS[run.state]
    if run.state is RunState.FINISHED:
        words += f", {run.missing:,} missing" if run.missing else ""
        words += ", perhaps before its end" if run.unsettled else ""
    return words


def is_simulated(run: int) -> bool:
    """Whether a run comes from a demonstration; which ones do is read once a request."""
    if "simulated_runs" not in g:
        g.simulated_runs = frozenset(current_driftwatch().store.runs.simulated())
    return run in g.simulated_runs


def run_mark(run: int) -> Markup | str:
    """What stands beside the number of a simulated run, wherever one is named; nothing beside that of another."""
    return _SIMULATED if is_simulated(run) else ""


_SIMULATED = Markup(
    ' <span class="simulated" title="from a demonstration, not from the detector">'
    '<svg class="icon" viewBox="0 0 12 12" aria-hidden="true"><path d="M6 .8 11.2 6 6 11.2.8 6Z"/></svg>'
    " <span>simulated</span></span>"
)


def left_out_runs() -> int:
    """How many simulated runs lists and statistics leave out, since there are real ones."""
    return len(current_driftwatch().store.runs.set_aside())


def chamber_url(run: int, chamber: Chamber, endpoint: str = "chamber.show", **query: str | None) -> str:
    return url_for(
        endpoint, run=run, wheel=chamber.wheel, sector=chamber.sector, station=chamber.station, **_given(query)
    )


def with_query(**changes: object) -> str:
    """The address of this page with some of its query changed; None takes a value out."""
    return url_for(request.endpoint, **_given({**own_query(), **(request.view_args or {}), **changes}))


def own_query() -> dict[str, Any]:
    """The query of this address, without what `url_for` would take for an instruction, or for a part of the path."""
    return {
        name: value
        for name, value in request.args.items()
        if value.strip() and name != "endpoint" and not name.startswith("_") and name not in (request.view_args or {})
    }


def model_name() -> str:
    """The model whose scores are shown, as last read: a page that says that the database is away must not ask it."""
    return current_driftwatch().models.last_known


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
