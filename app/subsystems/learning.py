"""What a subsystem's networks can do, as the rest of the program asks for it.

A subsystem makes its `Learning` when it is first needed. Making it imports no TensorFlow; what it does may. Scorers,
plans and orders go back only to the subsystem that made them: so they are `Any` where it takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app.errors import Conflict

if TYPE_CHECKING:
    from app.domain.influence import Influence, Method
    from app.domain.items import Item
    from app.domain.judgement import Judgement
    from app.domain.models import Model
    from app.domain.thresholds import SetThreshold
    from app.ml.cards import Known
    from app.ml.models import Card
    from app.store import Store
    from app.store.figures import KeptFigures
    from config import Settings

Report = Callable[[str], None]  # told what is going on, a line at a time
Tell = Callable[[Mapping[str, Any]], None]  # a task's progress: see `app.ml.worker_process`


class Task(Protocol):
    """Work for another process: see `app.ml.worker_process`."""

    def __call__(self, tell: Tell) -> Any: ...


class Scorer(Protocol):
    """A model that is ready to judge; safe to share between threads."""

    card: Card
    version: str
    threshold: float

    def at(self, threshold: float) -> Scorer:
        """The same model with another threshold."""
        ...

    def judge(self, histograms: Sequence[Any]) -> list[Judgement]:
        """Judge items, in the order given."""
        ...


class Explainer(Protocol):
    """What explains the scores of one model."""

    def explain(self, histograms: Sequence[Any], method: Method | str) -> list[Influence]:
        """Explain the scores of items, in the order given."""
        ...


class Drift(Protocol):
    """How far a run is from what its model was trained on."""

    def make_reference(self, scorer: Any, stop: Callable[[], bool]) -> Any | None:
        """What a model was trained on, in short; None where it was stopped."""
        ...

    def to_document(self, reference: Any) -> dict[str, Any]:
        """A reference as it is kept."""
        ...

    def of_document(self, document: Mapping[str, Any]) -> Any:
        """A reference that was kept."""
        ...

    def measure(
        self, reference: Any, scored: Sequence[tuple[Item, bytes | None]]
    ) -> tuple[dict[str, Any], list[float | None]]:
        """The run's drift as fields, and for each item how unlike anything seen it is.

        Args:
            scored: the run's items with their embeddings.
        """
        ...


class Found(Protocol):
    """What a candidate forgot of what the model in use knows."""

    @property
    def forgotten(self) -> Iterable[Any]: ...

    def model_dump(self, *, mode: Any = ...) -> dict[str, Any]: ...


class Plan(Protocol):
    """What a person chose to have trained."""

    @property
    def architecture(self) -> str: ...

    def to_args(self) -> dict[str, Any]:
        """As the arguments of a job."""
        ...


class Order(Protocol):
    """A plan with all that it takes to carry it out, collected from the store.

    Attributes:
        folder: where the candidate's folder is made.
        summary: the labels that go in, as they are shown while it is trained.
        notes: what the person should know of what is left out, a sentence each.
        task: makes the candidate in another process; its result is what `Learning.found` reads.
    """

    @property
    def folder(self) -> Path: ...

    @property
    def summary(self) -> Mapping[str, Any]: ...

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def task(self) -> Task: ...


class Learning(Protocol):
    """Judging, explaining, training and comparing.

    Attributes:
        cannot: what it does not offer, of "train", "evaluate", "compare" and "convert": why not, in a sentence.
        drift: None where it is not measured.
        test_items: how many simulated items a comparison and an evaluation use unless told otherwise.
    """

    @property
    def cannot(self) -> Mapping[str, str]: ...

    @property
    def drift(self) -> Drift | None: ...

    @property
    def test_items(self) -> Mapping[str, int]: ...

    def scorer(self, folder: Path) -> Scorer:
        """Load the model of a folder.

        Raises:
            ModelRefused: its file is not its card's, or not what the card says.
        """
        ...

    def require_working(self, folder: Path) -> None:
        """Try a model in another process.

        Raises:
            ModelRefused: it cannot judge.
        """
        ...

    def explainer(self, scorer: Any) -> Explainer | None:
        """What explains a model's scores; None where nothing does."""
        ...

    def known(self, model: Model, card: Card, thresholds: Sequence[SetThreshold], kept: KeptFigures | None) -> Known:
        """All that is known of a model, for its page and its card."""
        ...

    def convert(self, file: Path, name: str, parent: Path) -> Path:
        """Make a model's folder of a file from elsewhere.

        Raises:
            ModelRefused: it cannot be read, or not be trusted.
        """
        ...

    def plan_of(self, args: Mapping[str, Any]) -> Plan:
        """A plan from the arguments of its job."""
        ...

    def require_enough(self, store: Store, plan: Any) -> None:
        """Refuse a plan for which there are too few labels, without looking at histograms.

        Raises:
            TooFewLabels: and what is missing.
        """
        ...

    def order(self, store: Store, plan: Any, folder: Path, active: Path, settings: Settings) -> Order:
        """Collect what a plan takes.

        Args:
            folder: where the candidate's folder is to be made.
            active: the folder of the model in use.

        Raises:
            TooFewLabels: and what is missing.
        """
        ...

    def make(self, order: Any, report: Report) -> Found:
        """Carry out an order in this process."""
        ...

    def found(self, result: Mapping[str, Any]) -> Found:
        """What a task of an order found."""
        ...

    def evaluation(self, folders: Sequence[tuple[Path, float]], items: int) -> Task:
        """A task that gives {"figures": JSON as text, "pictures": name → SVG} of the first of some models.

        Args:
            folders: of the models, with each the score from which a part is bad.
            items: simulated ones to test on.
        """
        ...

    def compare(
        self, store: Store, scorers: tuple[Any, Any], runs: int, items: int, report: Report
    ) -> tuple[str, dict[str, str]]:
        """Two models side by side: (figures, JSON as text; name → SVG).

        Args:
            runs: how many of the last ones both judge.
            items: simulated ones to test on.
            report: may raise, to end it.
        """
        ...


def require_offered(learning: Learning, what: str) -> None:
    """Refuse what a subsystem's networks cannot do.

    Args:
        what: "train", "evaluate", "compare" or "convert".

    Raises:
        Conflict: why not.
    """
    if why := learning.cannot.get(what):
        raise Conflict(why)
