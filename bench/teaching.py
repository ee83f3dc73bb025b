"""Labels against faults found: how a network learns of a kind of fault that it was not taught, or is in doubt about.

    .venv/bin/python -m bench.teaching [CHAMBERS]

For each of three kinds, a network is trained without it, on CHAMBERS simulated chambers (8,000 by default), and put
into use in a separate database. 20 simulated runs, in which a sixth of the chambers have a fault of that kind, are
scored; an oracle labels what the queue hands out, in its order. After 50, 100, 200 and 300 labels a candidate is made
as by `flask train --from-labels`. The share that each calls bad at its shipped threshold is measured on new chambers
with 6 hits per cell or more: for the kind, for the other kinds, and for good layers; and compared with the shipped
model, which was trained on all kinds. Then the same is done with a kind that the simulator is unsure of, dead pairs, of
which the oracle calls every one bad, by the number of their cells.

The bounds, with 300 labels: 95 % of each kind is found (except pairs of 2 cells, which 47 bins hardly distinguish from
single ones); no other kind loses more than FORGETTING_TOLERANCE; the candidate is not refused; at most a fifth of the
labels are left out. The exit status is 1 if a bound does not hold. It takes more than an hour, so it is not part of
`make bench`.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.domain.judgement import Verdict
from app.domain.runs import RunState
from app.driftwatch import Driftwatch
from app.errors import TooFewLabels
from app.labelling.queue import Claimed
from app.ml.models import default_model
from app.subsystems.dt.defects import DefectKind
from app.subsystems.dt.faults import FAULTS
from app.subsystems.dt.geometry import Chamber
from app.subsystems.dt.learning import candidate, training
from app.subsystems.dt.learning.candidate import Plan
from app.subsystems.dt.learning.known_chambers import evaluation_seed, kinds, simulated_test_set
from app.subsystems.dt.learning.scoring import Scorer
from app.subsystems.dt.preprocess import layer_bins
from app.subsystems.dt.simulate import ORDINARY, RICH, SimulatedChamber, simulate_chambers
from app.subsystems.dt.verdict import judge_before
from config import ROOT, Settings

LEFT_OUT = (DefectKind.PERIODIC, DefectKind.SCATTERED, DefectKind.NOISY_BLOCK)
DOUBTED = DefectKind.DEAD_PAIR
CHAMBERS = 8_000
RUNS = range(302_640, 302_660)
SHARE = 0.2  # share of the chambers of these runs that have the kind
LABELS = (50, 100, 200, 300)
FRESH, OTHERS = 1_500, 8_000  # chambers: with the kind, and of the frozen test set
LEAST_HITS = 6  # a cell
HARDEST = "2 cells"
FOUND, MOST_LEFT_OUT = 0.95, 0.2  # the bounds
SEED = 11
_RUNS, _FRESH = 4, 5  # streams of `evaluation_seed` used by nothing else

Known = dict[tuple[int, Chamber], SimulatedChamber]


def main() -> int:
    chambers = int(sys.argv[1]) if len(sys.argv) > 1 else CHAMBERS
    return 0 if all([taught(kind, chambers) for kind in (*LEFT_OUT, DOUBTED)]) else 1


def taught(kind: DefectKind, chambers: int) -> bool:
    """Teach one kind; returns whether the bounds hold."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        base = Path(folder) / "models" / "chamber-scan-90"
        without = () if kind is DOUBTED else (kind,)
        training.train("chamber-scan", SEED, base, chambers, lambda line: None, without=without)
        print(f"\n{kind}: a network {'without it ' * bool(without)}in {time.perf_counter() - begun:.0f} s", flush=True)
        driftwatch = Driftwatch(Settings(data_dir=Path(folder) / "data", port=0, second_opinions=0))
        try:
            driftwatch.models.add(base, by="bench")
            driftwatch.activate(base.name, by="bench")
            known = filled(driftwatch, Scorer(base), kind)
            fresh, others = only(FRESH, evaluation_seed(SEED, _FRESH), RICH, kind), simulated_test_set(OTHERS, SEED)
            before = Measured(Scorer(base), kind, fresh, others)
            shipped = Measured(Scorer(default_model(ROOT / "models")), kind, fresh, others)
            print(f"  labels  faulty  for the fit  left out  {'found':24}  worst other kind       good flagged    s")
            print(f"{' shipped'}  {'':6}  {'':11}  {'':8}  {shipped.words(before)}")
            print(f"{0:8}  {'':6}  {'':11}  {'':8}  {before.words(before)}", flush=True)
            holds, labelled = True, 0
            for number in LABELS:
                faulty = label(driftwatch, known, kind, number - labelled)
                labelled = number
                holds = candidate_of(driftwatch, folder, number, faulty, kind, before, fresh, others, chambers)
        finally:
            driftwatch.close()
    return holds


def filled(driftwatch: Driftwatch, scorer: Scorer, kind: DefectKind) -> Known:
    """Store and score the runs; returns their chambers. Some places have fewer chambers than there are runs."""
    drawn = only(len(RUNS) * 320, evaluation_seed(SEED, _RUNS), SHARE, kind)
    drawn[::5] = simulate_chambers(len(drawn[::5]), evaluation_seed(SEED + 1, _RUNS), ORDINARY)
    of_place: dict[Chamber, int] = defaultdict(int)
    known: Known = {}
    for one in drawn:
        place = one.occupancy.chamber
        if of_place[place] < len(RUNS):
            known[RUNS[of_place[place]], place] = one
            of_place[place] += 1
    for run in RUNS:
        some = {place: one.occupancy for (number, place), one in known.items() if number == run}
        driftwatch.store.runs.request(run, "bench", len(some))
        driftwatch.store.items.store(run, list(some.items()), "bench")
        judged = scorer.judge(list(some.values()))
        driftwatch.store.items.keep_scores(run, [(p, j, []) for p, j in zip(some, judged, strict=True)], scorer.version)
        driftwatch.store.runs.update(run, state=RunState.FINISHED, done=len(some), model=scorer.version)
    return known


def only(count: int, seed: int, faulty: float, kind: DefectKind) -> list[SimulatedChamber]:
    """Chambers, a share of them with faults of this kind and no other."""
    return simulate_chambers(count, seed, faulty, {*FAULTS, DOUBTED} - {kind})


def said(one: SimulatedChamber, kind: DefectKind) -> np.ndarray:
    """bool (12,): the layers that the oracle calls bad; the more likely label if the simulator is unsure."""
    bad = np.nan_to_num(one.bad) >= 0.5
    if kind is DOUBTED:
        for defect in one.defects:
            if defect.kind is kind:
                bad[np.array(defect.layers) - 1] = True
    return bad


def label(driftwatch: Driftwatch, known: Known, kind: DefectKind, number: int) -> int:
    """Let the oracle label this many chambers from the queue; returns how many of them have a bad layer."""
    faulty = 0
    for _ in range(number):
        given = driftwatch.labelling.claim("oracle")
        if not isinstance(given, Claimed):
            raise RuntimeError("the queue has no more chambers")
        item = given.item
        bad = (np.flatnonzero(said(known[item.run, item.place], kind)) + 1).tolist()
        driftwatch.labelling.submit("oracle", item.run, item.place, bad, str(uuid.uuid4()), given.seen)
        faulty += bool(bad)
    return faulty


def candidate_of(
    driftwatch: Driftwatch,
    folder: str,
    number: int,
    faulty: int,
    kind: DefectKind,
    before: Measured,
    fresh: Sequence[SimulatedChamber],
    others: Sequence,
    chambers: int,
) -> bool:
    """Make a candidate from the labels, print a line, and return whether it satisfies the bounds."""
    begun = time.perf_counter()
    try:
        order = driftwatch.training.order(Plan(chambers=chambers), Path(folder) / str(number))
    except TooFewLabels as error:
        print(f"{number:8}  {faulty:6}  {error}")
        return False
    forgot = candidate.make(order, lambda line: None, lambda epoch: None)
    seconds = time.perf_counter() - begun
    told = order.labelled.composition
    left_out = sum(told.left_out.values()) / number
    used = sum(count.items for part, count in told.parts.items() if part != "test")
    found = Measured(Scorer(order.folder), kind, fresh, others)
    print(
        f"{number:8}  {faulty:6}  {used:11}  {left_out:8.0%}  {found.words(before)}  {seconds:3.0f}"
        f"{'  refused: ' + str(forgot) if forgot.forgotten else ''}",
        flush=True,
    )
    lost = max(before.kinds[name] - share for name, share in found.kinds.items())
    holds = not forgot.forgotten and lost <= driftwatch.settings.forgetting_tolerance and left_out <= MOST_LEFT_OUT
    return holds and min(share for name, share in found.sizes.items() if name != HARDEST) >= FOUND


class Measured:
    """The shares that a model calls bad at its shipped threshold, of layers in chambers with enough hits.

    Attributes:
        sizes: of the kind; of dead pairs by the number of cells.
        kinds: of each other kind, as a share.
        good: of the good layers.
    """

    def __init__(self, scorer: Scorer, kind: DefectKind, fresh: Sequence[SimulatedChamber], others: Sequence) -> None:
        bad, counts = called_bad(scorer, [one.occupancy for one in fresh])
        sizes: dict[str, list[bool]] = defaultdict(list)
        for one, called, judged in zip(fresh, bad, counts, strict=True):
            of_kind = said(one, kind) & np.array([bool(names) or kind is DOUBTED for names in kinds(one)])
            for row in np.flatnonzero(of_kind & judged):
                cells = [d.last_cell - d.first_cell + 1 for d in one.defects if d.kind is kind and row + 1 in d.layers]
                name = f"{max(cells)} cells" if kind is DOUBTED and cells else str(kind)
                if kind is not DOUBTED or cells:
                    sizes[name].append(called[row])
        self.sizes = {name: float(np.mean(some)) for name, some in sorted(sizes.items())}
        bad, counts = called_bad(scorer, [one.occupancy for one in others])
        by_kind: dict[str, list[bool]] = defaultdict(list)
        good = []
        for one, called, judged in zip(others, bad, counts, strict=True):
            good += called[judged & (one.bad == 0)].tolist()
            for row in np.flatnonzero(judged & (one.bad == 1)):
                for name in one.kinds[row]:
                    by_kind[name].append(called[row])
        self.kinds = {name: float(np.mean(some)) for name, some in by_kind.items() if name != kind and len(some) >= 30}
        self.good = float(np.mean(good))

    def words(self, before: Measured) -> str:
        found = " ".join(f"{share:.1%}" for share in self.sizes.values())
        worst = min(self.kinds, key=lambda name: self.kinds[name] - before.kinds[name])
        change = 100 * (self.kinds[worst] - before.kinds[worst])
        other = f"{worst} {self.kinds[worst]:.1%} ({change:+.1f})"
        return f"{found:24}  {other:28} {self.good:8.3%}"


def called_bad(scorer: Scorer, occupancies: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """bool (n, 12) each: called bad, and counted."""
    bad = np.array([judgement.verdicts for judgement in scorer.judge(occupancies)]) == Verdict.BAD
    before = judge_before(occupancies, layer_bins(occupancies))
    return bad, before.open & (before.rates >= LEAST_HITS)[:, None]


if __name__ == "__main__":
    sys.exit(main())
