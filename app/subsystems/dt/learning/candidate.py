"""A candidate: a network made from simulated chambers and from labels, and what it forgot. All but the database.

`Plan` is what a person chooses, `Order` a plan with all that it takes, and `Making` that as a task for another process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.ml.worker_process import Told
from app.subsystems.dt.defects import DefectKind
from app.subsystems.dt.learning import forgetting, training
from app.subsystems.dt.learning.fitting import Epoch
from app.subsystems.dt.learning.forgetting import Forgetting
from app.subsystems.dt.learning.labelled_items import SIMULATED_RUN, Choice, LabelledSet
from app.subsystems.dt.learning.teaching import Taught

SEED, CHAMBERS, SIMULATED_WEIGHT = 2018, 20_000, 3.0
ARCHITECTURE = "chamber-scan"
MOST_CHAMBERS = 100_000  # 8 GB of memory
SIMULATED_WEIGHTS = (0.1, 100.0)


@dataclass(frozen=True)
class Plan:
    """What to train.

    Attributes:
        choice: which labels go in.
        chambers: simulated ones, of which 60 % are learnt from.
        simulated_weight: how much all simulated layers count together, all labelled ones counting 1.

    Raises:
        InvalidInput: field "architecture", "seed", "chambers" or "simulated_weight".
    """

    choice: Choice = field(default_factory=Choice)
    architecture: str = ARCHITECTURE
    seed: int = SEED
    chambers: int = CHAMBERS
    simulated_weight: float = SIMULATED_WEIGHT

    def __post_init__(self) -> None:
        training.checked(self.architecture, self.seed, self.chambers)
        if self.chambers > MOST_CHAMBERS:
            raise InvalidInput("chambers", self.chambers, f"at most {MOST_CHAMBERS:,}")
        low, high = SIMULATED_WEIGHTS
        if not low <= self.simulated_weight <= high:
            raise InvalidInput("simulated_weight", self.simulated_weight, f"a number from {low:g} to {high:g}")

    def to_args(self) -> dict[str, Any]:
        """As the arguments of a job."""
        return asdict(self)

    @classmethod
    def of_args(cls, args: Mapping[str, Any]) -> Plan:
        given = {name: args[name] for name in cls.__dataclass_fields__}
        return cls(**given | {"choice": Choice(**args["choice"])})


@dataclass(frozen=True, eq=False)
class Order:
    """All that it takes to carry out a plan.

    Attributes:
        labelled: enough labels: see `labelled_items.require_enough`.
        folder: where to write the model; its name becomes the model's.
        active: the folder of the model in use.
        test_chambers, tolerance: of the check for forgetting.
    """

    plan: Plan
    labelled: LabelledSet
    folder: Path
    active: Path
    test_chambers: int
    tolerance: float

    @property
    def summary(self) -> dict[str, Any]:
        """The labels that go in: a `Composition` as JSON."""
        return self.labelled.composition.model_dump(mode="json")

    @property
    def notes(self) -> list[str]:
        """What is left out that somebody may miss."""
        number = self.labelled.composition.left_out.get(SIMULATED_RUN)
        return [f"left out: {number:,} labelled chambers {SIMULATED_RUN}"] if number else []

    @property
    def task(self) -> Making:
        return Making(self)


def make(order: Order, report: Callable[[str], None], after_epoch: Callable[[Epoch], None]) -> Forgetting:
    """Train the network, write it, and find what it forgot.

    Args:
        report: told what is going on, a line at a time.
        after_epoch: told of each epoch that is over.
    """
    from app.subsystems.dt.learning.scoring import Scorer

    plan = order.plan
    active = Scorer(order.active)
    known = active.card.trained_on
    taught = Taught(order.labelled, plan.simulated_weight, order.active)
    report(f"simulating {plan.chambers:,} chambers")
    training.train(
        plan.architecture,
        plan.seed,
        order.folder,
        plan.chambers,
        report,
        replace=True,
        taught=taught,
        after_epoch=after_epoch,
        without=tuple(map(DefectKind, known.without)) if known else (),
    )
    report(f"comparing with {order.active.name} on {order.test_chambers:,} simulated chambers")
    found = forgetting.check(
        Scorer(order.folder), active, order.test_chambers, order.tolerance, report, order.labelled.items
    )
    report(f"{order.folder.name} {found}")
    return found


@dataclass(frozen=True, eq=False)
class Making:
    """Carrying out an order, as a task; the candidate is in the order's folder then."""

    order: Order

    def __call__(self, tell: Callable[[Told], None]) -> dict[str, Any]:
        """What it forgot, a `Forgetting`; tells {"words"}, and {"epoch"} after each."""
        found = make(self.order, lambda line: tell({"words": line}), lambda epoch: tell({"epoch": asdict(epoch)}))
        return found.model_dump(mode="json")
