"""The drift tubes' `Learning`: see `app.subsystems.learning`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.items import Item
from app.domain.models import Model
from app.domain.runs import RunState
from app.domain.thresholds import SetThreshold
from app.ml.models import Card
from app.ml.split import Split
from app.store.figures import StoredFigures
from app.subsystems.dt.learning import cards, drift
from app.subsystems.dt.learning.candidate import Order, Plan, make
from app.subsystems.dt.learning.evaluation_task import CHAMBERS, Evaluating
from app.subsystems.dt.learning.forgetting import Forgetting
from app.subsystems.dt.learning.labelled_items import (
    ELSEWHERE,
    Choice,
    counts_of,
    labelled_items,
    outlook,
    require_enough,
)
from app.subsystems.dt.learning.side_by_side import CHAMBERS as COMPARED_ON
from app.subsystems.dt.learning.side_by_side import Known, pictures, side_by_side
from app.subsystems.dt.learning.trial import require_working
from app.subsystems.learning import Report, Tell
from config import Settings

if TYPE_CHECKING:
    from app.store import Store
    from app.subsystems.dt.learning.saliency import Explainer
    from app.subsystems.dt.learning.scoring import Scorer


class DriftOfChambers:
    """Measures how far a run's chambers are from its model's training data."""

    @staticmethod
    def make_reference(scorer: Scorer, stop: Callable[[], bool]) -> drift.Reference | None:
        return drift.make_reference(scorer, stop=stop)

    to_document = staticmethod(drift.to_document)
    of_document = staticmethod(drift.of_document)

    @staticmethod
    def measure(
        reference: drift.Reference, scored: Sequence[tuple[Item, bytes | None]]
    ) -> tuple[dict[str, Any], list[float | None]]:
        found, unlike = drift.measure(reference, [_measured(item, embedding) for item, embedding in scored])
        return asdict(found), unlike


class LearningOfChambers:
    """Scoring, explaining, training and comparing for chambers."""

    cannot: Mapping[str, str] = {}
    drift = DriftOfChambers()
    test_items: Mapping[str, int] = {"evaluation": CHAMBERS, "comparison": COMPARED_ON}
    require_working = staticmethod(require_working)

    @staticmethod
    def scorer(folder: Path) -> Scorer:
        from app.subsystems.dt.learning.scoring import Scorer

        return Scorer(folder)

    @staticmethod
    def explainer(scorer: Scorer) -> Explainer:
        from app.subsystems.dt.learning.saliency import Explainer

        return Explainer(scorer)

    @staticmethod
    def known(
        model: Model, card: Card, thresholds: Sequence[SetThreshold], stored: StoredFigures | None
    ) -> cards.Known:
        return cards.Known(model, card, thresholds, stored)

    @staticmethod
    def convert(file: Path, name: str, parent: Path) -> Path:
        from app.subsystems.dt.learning.foreign_models import convert_keras2

        return convert_keras2(file, name, parent)

    @staticmethod
    def plan_of(args: Mapping[str, Any]) -> Plan:
        return Plan.of_args(args)

    @staticmethod
    def require_enough(store: Store, plan: Plan) -> None:
        require_enough(outlook(store, plan.choice).counts, store)

    @staticmethod
    def order(store: Store, plan: Plan, folder: Path, active: Path, settings: Settings) -> Order:
        labelled = labelled_items(store, plan.choice, folder.parent / "histograms")
        require_enough(counts_of(labelled.items), store)
        return Order(plan, labelled, folder, active, settings.forgetting_chambers, settings.forgetting_tolerance)

    @staticmethod
    def make(order: Order, report: Report) -> Forgetting:
        return make(order, report, lambda epoch: None)

    @staticmethod
    def found(result: Mapping[str, Any]) -> Forgetting:
        return Forgetting.model_validate(result)

    @staticmethod
    def evaluation(folders: Sequence[tuple[Path, float]], items: int) -> Callable[[Tell], dict[str, Any]]:
        return Evaluating(tuple(folders), items)

    @staticmethod
    def compare(
        store: Store, scorers: tuple[Scorer, Scorer], runs: int, items: int, report: Report
    ) -> tuple[str, dict[str, str]]:
        labels = labelled_items(store, Choice())
        known = [
            Known(
                one.run,
                one.occupancy,
                one.targets,
                tested=one.part is Split.TEST,
                drawn=one.drawn,
                training=one.part is Split.TRAINING,
            )
            for one in labels.items
        ]
        left_out = labels.composition.left_out.get(ELSEWHERE, 0)
        found = side_by_side(scorers, known, _last_runs(store, runs), left_out, items, report)
        report("pictures")
        return found.model_dump_json(), {name: svg.decode() for name, svg in pictures(found).items()}


def _last_runs(store: Store, number: int) -> Iterator[tuple[int, list[Known]]]:
    """The latest runs with their chambers, read one by one."""
    for run in store.runs.find(RunState.FINISHED, limit=number, together=True):
        items = store.items.of_run(run.number, histograms=True)
        yield run.number, [Known(item.run, item.histogram) for item in items if item.histogram is not None]


def _measured(item: Item, embedding: bytes | None) -> drift.Measured:
    cells = sum(layer.last_cell - layer.first_cell + 1 for layer in item.place.layers)
    return drift.Measured(item.hits / cells, item.judgement.scores, embedding)
