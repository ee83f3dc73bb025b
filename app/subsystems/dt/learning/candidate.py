"""A candidate: a network trained on simulated chambers and labels, and what it forgot. Everything but the database.

`Plan` is a person's choice, `Order` a plan with all its inputs, and `Making` the task that carries it out in another
process.
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
        choice: which labels are used.
        chambers: number of simulated ones, 60 % of them for training.
        simulated_weight: total weight of all simulated layers relative to all labelled ones.

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
    """A plan with everything needed to carry it out.

    Attributes:
        labelled: the labels, which are enough: see `labelled_items.require_enough`.
        folder: where to write the model; its name becomes the model's.
        active: the folder of the active model.
        test_chambers, tolerance: for the check for forgetting.
    """

    plan: Plan
    labelled: LabelledSet
    folder: Path
    active: Path
    test_chambers: int
    tolerance: float

    @property
    def summary(self) -> dict[str, Any]:
        """The labels used: a `Composition` as JSON."""
        return self.labelled.composition.model_dump(mode="json")

    @property
    def notes(self) -> list[str]:
        """Notable omissions."""
        number = self.labelled.composition.left_out.get(SIMULATED_RUN)
        return [f"left out: {number:,} labelled chambers {SIMULATED_RUN}"] if number else []

    @property
    def task(self) -> Making:
        return Making(self)


def make(order: Order, report: Callable[[str], None], after_epoch: Callable[[Epoch], None]) -> Forgetting:
    """Train the network, write it, and check what it forgot.

    Args:
        report: receives progress messages, one line at a time.
        after_epoch: called after each epoch.
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
    """The task that carries out an order; it leaves the candidate in the order's folder."""

    order: Order

    def __call__(self, tell: Callable[[Told], None]) -> dict[str, Any]:
        """What the candidate forgot, a `Forgetting`; reports {"words"}, and {"epoch"} after each epoch."""
        found = make(self.order, lambda line: tell({"words": line}), lambda epoch: tell({"epoch": asdict(epoch)}))
        return found.model_dump(mode="json")
