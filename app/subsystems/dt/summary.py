"""The summary of a run's chambers: bad layers by wheel, station and kind, and the distribution of scores.

Computed when a run is scored and stored with it, so that pages over many runs read no chambers. Not for words: see
`app.web.shared.display`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app.domain.judgement import Verdict
from app.subsystems.dt.finding import FindingKind
from app.subsystems.dt.geometry import LAYERS, STATIONS, WHEELS
from app.subsystems.dt.histogram import Occupancy

UNEXPLAINED = "score"  # the kind of a bad layer without findings: only its score says that it is bad
KINDS = (*(str(kind) for kind in FindingKind if kind is not FindingKind.NOISY_CELL), UNEXPLAINED)

KIND_WORDS = {
    "empty": "empty",
    "block": "dead block",
    "low_rate": "low rate",
    "pattern": "pattern of dead cells",
    "scattered": "scattered dead cells",
    "noisy_block": "noisy block",
    "score": "only by its score",
}

# Chambers per wheel and station by their worst layer's score from 0 to 1, and by their certainty from 0 to 0.5, both in
# steps of 0.05. At most 14 chambers fall into a step, which fits a byte.
SCORE_STEPS, CERTAINTY_STEPS = 20, 10
STEP = 0.05

# Number of bad layers from which a chamber has CMS's codes 1, 2 and 3.
CODES_FROM = (1, 5, 9)


def bad_layers(verdicts: Sequence[str], findings: Iterable[Mapping[str, Any]]) -> dict[int, tuple[str, str]]:
    """The bad layers of a chamber, each with its kind, one of `KINDS`, and the finding in words.

    The kind is that of the most significant finding that makes a layer bad by itself; `UNEXPLAINED`, without words, if
    none does.

    >>> low = {"layer": 3, "kind": "low_rate", "makes_bad": True, "significance": 9.0, "text": "low rate: 0.59"}
    >>> bad_layers(["good", "bad", "bad", "empty", *["absent"] * 8], [low])
    {2: ('score', ''), 3: ('low_rate', 'low rate: 0.59'), 4: ('empty', 'empty')}
    """
    found: dict[int, Mapping[str, Any]] = {}
    for one in findings:
        best = found.get(one["layer"])
        if one["kind"] in KINDS and one["makes_bad"] and (best is None or _strength(one) > _strength(best)):
            found[one["layer"]] = one
    kinds = {}
    for layer, verdict in enumerate(verdicts, start=1):
        why = found.get(layer)
        if verdict == Verdict.EMPTY:
            kinds[layer] = str(FindingKind.EMPTY), why["text"] if why else "empty"
        elif verdict == Verdict.BAD:
            kinds[layer] = (why["kind"], why["text"]) if why else (UNEXPLAINED, "")
    return kinds


def chamber_code(bad: int) -> int:
    """CMS's code for a chamber with this many bad layers: more than 8, 4, 0 give 3, 2, 1.

    >>> [chamber_code(bad) for bad in (0, 1, 4, 5, 8, 9, 12)]
    [0, 1, 1, 2, 2, 3, 3]
    """
    return sum(bad >= least for least in CODES_FROM)


def summarise(documents: Iterable[Mapping[str, Any]]) -> dict[str, int | bytes]:
    """The summary stored with a run, in addition to the number of chambers in each state.

    Args:
        documents: chambers from the store: wheel, station, hits, verdicts, findings, worst, rank (the certainty of a
            judged chamber). Unscored chambers contribute only their hits.

    Returns:
        "parts" (judged layers), "hits", and bad layers as "bad_wheel_-2" …, "bad_station_1" …, "bad_kind_block" …; for
        judged chambers "worst_scores" and "certainties", in the form read by `spread`.
    """
    counts: dict[str, int] = {"parts": 0, "hits": 0}
    counts |= {f"bad_wheel_{wheel}": 0 for wheel in WHEELS} | {f"bad_station_{station}": 0 for station in STATIONS}
    counts |= {f"bad_kind_{kind}": 0 for kind in KINDS}
    scores = np.zeros((len(WHEELS), len(STATIONS), SCORE_STEPS), np.uint8)
    certainties = np.zeros((len(WHEELS), len(STATIONS), CERTAINTY_STEPS), np.uint8)
    for d in documents:
        counts["hits"] += d.get("hits") or 0
        if d.get("worst") is None:
            continue
        kinds = bad_layers(d["verdicts"], d.get("findings", ()))
        counts["parts"] += sum(verdict in _JUDGED for verdict in d["verdicts"])
        counts[f"bad_wheel_{d['wheel']}"] += len(kinds)
        counts[f"bad_station_{d['station']}"] += len(kinds)
        for kind, _ in kinds.values():
            counts[f"bad_kind_{kind}"] += 1
        at = WHEELS.index(d["wheel"]), STATIONS.index(d["station"])
        scores[at][_step(d["worst"], SCORE_STEPS)] += 1
        certainties[at][_step(d["rank"], CERTAINTY_STEPS)] += 1
    return {**counts, "worst_scores": scores.tobytes(), "certainties": certainties.tobytes()}


def spread(runs: Sequence[bytes]) -> np.ndarray:
    """The chambers of several runs by a value: int (5 wheels from −2, 4 stations, steps).

    Args:
        runs: "worst_scores" of each, or "certainties" of each; at least one.
    """
    shape = (len(runs), len(WHEELS), len(STATIONS), -1)
    return np.frombuffer(b"".join(runs), np.uint8).reshape(shape).sum(axis=0, dtype=np.int64)


def pack_rates(occupancy: Occupancy) -> bytes:
    """Hits per cell of layers 1 to 12 as 12 half-precision numbers; NaN for absent layers."""
    cells, counts = occupancy.cells.sum(axis=1), np.where(occupancy.cells, occupancy.counts, 0)
    rates = np.full(LAYERS, np.nan)
    np.divide(counts.sum(axis=1, dtype=np.int64), cells, out=rates, where=cells > 0)
    return np.minimum(rates, _LARGEST_HALF).astype("<f2").tobytes()


def pack_scores(scores: Sequence[float | None]) -> bytes:
    """The scores of layers 1 to 12 in the same form; NaN where there is none."""
    return np.array([np.nan if score is None else score for score in scores]).astype("<f2").tobytes()


def unpack(packed: Sequence[bytes]) -> np.ndarray:
    """float64 (n, 12) from n packed values, NaN where there is none.

    >>> unpack([pack_scores([0.5, None, *[0.25] * 10])])[0, :3].tolist()
    [0.5, nan, 0.25]
    """
    if not packed:
        return np.empty((0, LAYERS))
    return np.frombuffer(b"".join(packed), "<f2").reshape(-1, LAYERS).astype(np.float64)


_JUDGED = frozenset({Verdict.GOOD, Verdict.BAD, Verdict.EMPTY})
_LARGEST_HALF = 65_504.0


def _strength(finding: Mapping[str, Any]) -> float:
    return finding.get("significance", 0.0)


def _step(value: float, steps: int) -> int:
    return min(int(value / STEP + 1e-9), steps - 1)
