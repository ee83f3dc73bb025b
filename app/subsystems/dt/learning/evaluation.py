"""Networks against yardsticks, in one run on the same layers: the work of `flask evaluate-model`.

Samples are split by chamber, never by layer: test chambers differ from those to which yardsticks are fitted, and from
those on which any network was trained (see `known_chambers`). Not for display: see `evaluation_tables` and
`evaluation_pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from app.domain.judgement import Verdict
from app.errors import InvalidInput
from app.ml.curves import (
    LEAST_FALSE_ALARMS,
    RESAMPLES,
    Interval,
    Ranking,
    bootstrap,
    last_allowed,
    reliability,
    representative,
    thinned,
)
from app.ml.models import SHIFTER
from app.subsystems.dt.learning.evaluation_figures import (
    ALL,
    ALL_KINDS,
    FALSE_ALARMS,
    FROM_6,
    LEVELS,
    OWN,
    AtThreshold,
    Called,
    Comparison,
    CurvePoint,
    Evaluation,
    Found,
    Group,
    Method,
    Rate,
)
from app.subsystems.dt.learning.known_chambers import LabelledChamber, fitting_seed, simulated_test_set
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.learning.yardsticks import STATISTICS as STATISTICS_NAME
from app.subsystems.dt.learning.yardsticks import Yardstick, yardsticks
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import SIMULATOR_VERSION
from app.subsystems.dt.verdict import judge_before

SEED = 302_635
LEAST_CHAMBERS = 50  # with fewer, there can be no bad layer
BAND = tuple(np.geomspace(LEAST_FALSE_ALARMS, 1, 25).tolist())  # where the interval of a ROC is computed

_AT_ONCE = 500  # chambers: some 100 MB of a network's inputs


def evaluate(
    scorers: Sequence[Scorer],
    chambers: int = 4_000,
    seed: int = SEED,
    real: Sequence[LabelledChamber] = (),
    report: Callable[[str], None] = print,
) -> Evaluation:
    """Compare networks with the yardsticks.

    Args:
        scorers: the networks, the one in question first; of different names.
        chambers: how many to simulate for the test.
        seed: of that simulation, of what the yardsticks are fitted to, and of the bootstrap.
        real: labelled real chambers, compared apart.
        report: receives progress messages, one line at a time.

    Raises:
        InvalidInput: the seed or the number of chambers is out of range, or two networks have one name.
        ModelRefused: a network gave something that is not a score.
    """
    if chambers < LEAST_CHAMBERS:
        raise InvalidInput("chambers", chambers, f"a whole number, {LEAST_CHAMBERS} or more")
    names = [scorer.version for scorer in scorers]
    if len(set(names)) < len(names):
        raise InvalidInput("models", ", ".join(names), "different models")
    simulated = simulated_test_set(chambers, seed)
    report(f"{chambers} chambers are simulated")
    others = yardsticks(fitting_seed(seed))
    report("the yardsticks are fitted")
    return Evaluation(
        simulator_version=SIMULATOR_VERSION,
        seed=seed,
        resamples=RESAMPLES,
        simulated=compare(simulated, scorers, others, seed, report),
        real=compare(real, scorers, others, seed, report) if real else None,
    )


def compare(
    labelled: Sequence[LabelledChamber],
    scorers: Sequence[Scorer],
    others: Sequence[Yardstick],
    seed: int,
    report: Callable[[str], None],
) -> Comparison:
    """All methods on all judged layers of these chambers that are known to be good or bad."""
    scores, judged, rates, unjudged = _scores(labelled, scorers, others)
    truth = np.stack([one.bad for one in labelled])
    counts = judged & ((truth == 0) | (truth == 1))
    bad, layer_rates = truth[counts] == 1, np.repeat(rates[:, None], truth.shape[1], axis=1)[counts]
    chamber, row = np.nonzero(counts)
    layer_kinds = [labelled[i].kinds[j] for i, j in zip(chamber.tolist(), row.tolist(), strict=True)]
    kinds = tuple(sorted({kind for some in layer_kinds for kind in some}))
    masks = {kind: np.array([kind in some for some in layer_kinds], bool) for kind in kinds}
    masks[ALL_KINDS] = np.ones(len(bad), bool)
    where = [_places(one) for one in labelled]
    masks_of_places = {
        place: mask
        for place in sorted({place for some in where for place in some})
        if (mask := np.array([place in where[i] for i in chamber], bool))[bad].any()
    }
    ordinary = np.array([one.ordinary for one in labelled], bool)[chamber]
    layers = _Layers(bad, chamber, ordinary, layer_rates, masks, masks_of_places)

    allowed = _allowed_beside(others, scores, counts, layers)
    methods = []
    every: list[Scorer | Yardstick] = [*scorers, *others]
    for method in every:
        if isinstance(method, Scorer):
            name, words, cuts = method.version, f"the network: {method.card.takes}", _thresholds(method)
        else:
            name, words = method.name, method.words
            cuts = {} if method.threshold is None else {OWN: method.threshold}
        found = _method(name, words, isinstance(method, Scorer), scores[name][counts], cuts, layers, seed, allowed)
        methods.append(found)
        report(f"{name}: area {found.area.value:.4f}" if found.area else f"{name}: no area without good and bad layers")
    return Comparison(
        chambers=len(labelled),
        good=int((~bad).sum()),
        bad=int(bad.sum()),
        ambiguous=int((judged & ~counts).sum()),
        unjudged=unjudged,
        kinds=kinds,
        methods=tuple(methods),
        places=tuple(masks_of_places),
    )


def _places(one: LabelledChamber) -> tuple[str, str]:
    """Parts of the detector that a chamber belongs to, in words."""
    chamber = one.occupancy.chamber
    return f"station {chamber.station}", f"wheel {chamber.wheel:+d}".replace("-", "−").replace("+0", "0")


class _Layers:
    """The truth about the layers that count; arrays of one length."""

    def __init__(
        self,
        bad: np.ndarray,
        chamber: np.ndarray,
        ordinary: np.ndarray,
        rates: np.ndarray,
        masks: dict[str, np.ndarray],
        places: dict[str, np.ndarray],
    ) -> None:
        self.bad, self.chamber, self.ordinary, self.masks, self.places = bad, chamber, ordinary, masks, places
        self.levels = {name: (rates >= low) & (rates < high) for name, (low, high) in LEVELS.items()}


def _scores(
    labelled: Sequence[LabelledChamber], scorers: Sequence[Scorer], others: Sequence[Yardstick]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, int]:
    """Scores (n, 12) by method; the judged layers, bool (n, 12); hits per cell (n,); the number of unjudged layers."""
    scores: dict[str, list[np.ndarray]] = {
        name: [] for name in (*(s.version for s in scorers), *(o.name for o in others))
    }
    judged, rates, unjudged = [], [], 0
    for start in range(0, len(labelled), _AT_ONCE):
        occupancies = [one.occupancy for one in labelled[start : start + _AT_ONCE]]
        bins = layer_bins(occupancies)
        before = judge_before(occupancies, bins)
        unjudged += int((before.verdicts == Verdict.UNJUDGED).sum())
        here = before.open | (before.verdicts == Verdict.EMPTY)
        for scorer in scorers:
            given = np.array([judgement.scores for judgement in scorer.judge(occupancies)], np.float64)  # None is NaN
            scores[scorer.version].append(given)
            here &= ~np.isnan(given)
        for other in others:
            scores[other.name].append(other.scores(occupancies, bins))
        judged.append(here)
        rates.append(before.rates)
    return (
        {name: np.concatenate(parts) for name, parts in scores.items()},
        np.concatenate(judged),
        np.concatenate(rates),
        unjudged,
    )


def _thresholds(scorer: Scorer) -> dict[str, float]:
    return {use: one.score for use, one in scorer.card.thresholds.items()} | {SHIFTER: scorer.threshold}


def _allowed_beside(
    others: Sequence[Yardstick], scores: dict[str, np.ndarray], counts: np.ndarray, layers: _Layers
) -> int | None:
    """The number of good layers from 6 hits per cell that the simple statistics call bad; None if there are none."""
    good = layers.levels[FROM_6] & ~layers.bad
    cuts = {other.name: other.threshold for other in others}
    if STATISTICS_NAME not in cuts or not good.any():
        return None
    return int((scores[STATISTICS_NAME][counts][good] >= cuts[STATISTICS_NAME]).sum())


def _method(
    name: str,
    words: str,
    network: bool,
    scores: np.ndarray,
    cuts: dict[str, float],
    layers: _Layers,
    seed: int,
    allowed: int | None,
) -> Method:
    bad = layers.bad
    both = bool(bad.any() and not bad.all())
    area: Interval | None = None
    found: tuple[Found, ...] = ()
    band: tuple[Found, ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    groups: tuple[Group, ...] = ()
    points: tuple[CurvePoint, ...] = ()
    if both:
        ranking = Ranking.of(bad, scores)
        rates = (*FALSE_ALARMS, *(BAND if network else ()))
        area, *shares = bootstrap(ranking, layers.chamber, rates, seed)
        each = tuple(Found(false_alarms=f, found=share) for f, share in zip(rates, shares, strict=True))
        found, band = each[: len(FALSE_ALARMS)], each[len(FALSE_ALARMS) :]
        roc, groups = tuple(thinned(bad, scores)), _groups(ranking, scores, layers)
        points = _curve(ranking, scores, layers) if network else ()
    usual = layers.ordinary
    curve, error = reliability(bad[usual], scores[usual]) if network and usual.any() else ((), None)
    return Method(
        name=name,
        words=words,
        network=network,
        area=area,
        found=found,
        roc=roc,
        groups=groups,
        thresholds=tuple(_at_threshold(use, cut, scores, layers) for use, cut in cuts.items()),
        reliability=curve,
        calibration_error=error,
        curve=points,
        band=band,
        beside=_beside(name, network, scores, cuts, layers, allowed),
    )


def _beside(
    name: str, network: bool, scores: np.ndarray, cuts: dict[str, float], layers: _Layers, allowed: int | None
) -> tuple[Called, ...]:
    """Bad layers above the cut with this many false alarms from 6 hits per cell; the statistics, at their own cut."""
    if allowed is None or not (network or name == STATISTICS_NAME):
        return ()
    if name == STATISTICS_NAME:
        return _called(scores >= cuts[OWN], layers)
    good = np.sort(scores[layers.levels[FROM_6] & ~layers.bad])[::-1]
    return _called(scores > good[allowed] if allowed < len(good) else np.ones(len(scores), bool), layers)


def _called(flagged: np.ndarray, layers: _Layers) -> tuple[Called, ...]:
    return tuple(
        Called(kind=kind, statistics=statistics, layers=int(which.sum()), share=float(flagged[which].mean()))
        for kind, of_kind in layers.masks.items()
        for statistics, level in layers.levels.items()
        if (which := layers.bad & of_kind & level).any()
    )


def _curve(ranking: Ranking, scores: np.ndarray, layers: _Layers) -> tuple[CurvePoint, ...]:
    good, bad = ranking.above()
    kept = representative(ranking)
    cuts = ranking.cuts[kept]
    shares = []
    for level in layers.levels.values():
        ordered = np.sort(scores[level & ~layers.bad])
        above = len(ordered) - np.searchsorted(ordered, cuts, side="left")
        shares.append((above / len(ordered)).tolist() if len(ordered) else [None] * len(cuts))
    columns = (
        cuts.tolist(),
        np.append(ranking.cuts, -1.0)[kept + 1].tolist(),
        (good[kept] / good[-1]).tolist(),
        (bad[kept] / bad[-1]).tolist(),
        zip(*shares, strict=True),
    )
    return tuple(
        CurvePoint(score=score, down_to=below, false_alarms=false, found=found, by_statistics=tuple(by))
        for score, below, false, found, by in zip(*columns, strict=True)
    )


def _groups(ranking: Ranking, scores: np.ndarray, layers: _Layers) -> tuple[Group, ...]:
    good, _ = ranking.above()
    last = [int(last_allowed(good, rate)) for rate in FALSE_ALARMS]
    flagged = [scores >= (ranking.cuts[i] if i >= 0 else np.inf) for i in last]
    groups = []
    for kind, of_kind in layers.masks.items():
        for statistics, level in layers.levels.items():
            which = layers.bad & of_kind & level
            if which.any():
                shares = tuple(float(some[which].mean()) for some in flagged)
                groups.append(Group(kind=kind, statistics=statistics, layers=int(which.sum()), found=shares))
    for place, there in layers.places.items():
        which = layers.bad & there
        shares = tuple(float(some[which].mean()) for some in flagged)
        groups.append(Group(kind=place, statistics=ALL, layers=int(which.sum()), found=shares))
    return tuple(groups)


def _at_threshold(use: str, cut: float, scores: np.ndarray, layers: _Layers) -> AtThreshold:
    flagged, bad = scores >= cut, layers.bad
    rates = []
    for statistics, level in layers.levels.items():
        good = level & ~bad
        if good.any():
            rates.append(Rate(statistics=statistics, layers=int(good.sum()), share=float(flagged[good].mean())))
    return AtThreshold(
        use=use,
        score=cut,
        found=int((flagged & bad).sum()),
        missed=int((~flagged & bad).sum()),
        false_alarms=int((flagged & ~bad).sum()),
        passed=int((~flagged & ~bad).sum()),
        by_statistics=tuple(rates),
        by_kind=_called(flagged, layers),
    )
