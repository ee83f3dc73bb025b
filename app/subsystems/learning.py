"""The interface to a subsystem's networks.

A subsystem creates its `Learning` on first use. Creating it does not import TensorFlow; using it may. Scorers, plans
and orders are only passed back to the subsystem that made them, and so are typed `Any` as its arguments.
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
    from app.store.figures import StoredFigures
    from config import Settings

Report = Callable[[str], None]  # receives progress messages, one line at a time
Tell = Callable[[Mapping[str, Any]], None]  # a task's progress: see `app.ml.worker_process`


class Task(Protocol):
    """Work for another process: see `app.ml.worker_process`."""

    def __call__(self, tell: Tell) -> Any: ...


class Scorer(Protocol):
    """A model that is ready to score; safe to share between threads."""

    card: Card
    version: str
    threshold: float

    def at(self, threshold: float) -> Scorer:
        """The same model with another threshold."""
        ...

    def judge(self, histograms: Sequence[Any]) -> list[Judgement]:
        """Score items, in the given order."""
        ...


class Explainer(Protocol):
    """Explains the scores of one model."""

    def explain(self, histograms: Sequence[Any], method: Method | str) -> list[Influence]:
        """Explain the scores of items, in the given order."""
        ...


class Drift(Protocol):
    """Measures how far a run is from its model's training data."""

    def make_reference(self, scorer: Any, stop: Callable[[], bool]) -> Any | None:
        """A summary of a model's training data; None if stopped."""
        ...

    def to_document(self, reference: Any) -> dict[str, Any]:
        """A reference in the form in which it is stored."""
        ...

    def of_document(self, document: Mapping[str, Any]) -> Any:
        """A reference from its stored form."""
        ...

    def measure(
        self, reference: Any, scored: Sequence[tuple[Item, bytes | None]]
    ) -> tuple[dict[str, Any], list[float | None]]:
        """The run's drift as fields, and for each item its distance from anything seen.

        Args:
            scored: the run's items with their embeddings.
        """
        ...


class Found(Protocol):
    """What a candidate forgot compared with the active model."""

    @property
    def forgotten(self) -> Iterable[Any]: ...

    def model_dump(self, *, mode: Any = ...) -> dict[str, Any]: ...


class Plan(Protocol):
    """A person's choice of what to train."""

    @property
    def architecture(self) -> str: ...

    def to_args(self) -> dict[str, Any]:
        """As the arguments of a job."""
        ...


class Order(Protocol):
    """A plan with everything needed to carry it out, collected from the store.

    Attributes:
        folder: where the candidate's folder is created.
        summary: the labels used, as shown during the training.
        notes: notable omissions, one sentence each.
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
    """Scoring, explaining, training and comparing.

    Attributes:
        cannot: what it does not offer, of "train", "evaluate", "compare" and "convert": why not, in a sentence.
        drift: None if it is not measured.
        test_items: the default number of simulated items in comparisons and evaluations.
    """

    @property
    def cannot(self) -> Mapping[str, str]: ...

    @property
    def drift(self) -> Drift | None: ...

    @property
    def test_items(self) -> Mapping[str, int]: ...

    def scorer(self, folder: Path) -> Scorer:
        """Load the model in a folder.

        Raises:
            ModelRefused: its file does not match its card.
        """
        ...

    def require_working(self, folder: Path) -> None:
        """Try out a model in another process.

        Raises:
            ModelRefused: it cannot score.
        """
        ...

    def explainer(self, scorer: Any) -> Explainer | None:
        """The explainer of a model's scores; None if there is none."""
        ...

    def known(
        self, model: Model, card: Card, thresholds: Sequence[SetThreshold], stored: StoredFigures | None
    ) -> Known:
        """All that is known of a model, for its page and its card."""
        ...

    def convert(self, file: Path, name: str, parent: Path) -> Path:
        """Make a model's folder from a foreign file.

        Raises:
            ModelRefused: it cannot be read or trusted.
        """
        ...

    def plan_of(self, args: Mapping[str, Any]) -> Plan:
        """A plan from the arguments of its job."""
        ...

    def require_enough(self, store: Store, plan: Any) -> None:
        """Refuse a plan with too few labels, without reading histograms.

        Raises:
            TooFewLabels: and what is missing.
        """
        ...

    def order(self, store: Store, plan: Any, folder: Path, active: Path, settings: Settings) -> Order:
        """Collect everything that a plan needs.

        Args:
            folder: where the candidate's folder will be created.
            active: the folder of the active model.

        Raises:
            TooFewLabels: and what is missing.
        """
        ...

    def make(self, order: Any, report: Report) -> Found:
        """Carry out an order in this process."""
        ...

    def found(self, result: Mapping[str, Any]) -> Found:
        """The result of an order's task."""
        ...

    def evaluation(self, folders: Sequence[tuple[Path, float]], items: int) -> Task:
        """A task that returns {"figures": JSON as text, "pictures": name → SVG} for the first of some models.

        Args:
            folders: the models' folders, each with the score from which a part is bad.
            items: number of simulated ones to test on.
        """
        ...

    def compare(
        self, store: Store, scorers: tuple[Any, Any], runs: int, items: int, report: Report
    ) -> tuple[str, dict[str, str]]:
        """Two models side by side: (figures, JSON as text; name → SVG).

        Args:
            runs: how many of the latest ones both score.
            items: number of simulated ones to test on.
            report: may raise, to abort.
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
