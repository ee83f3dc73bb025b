"""The registry: all models in the database and which one is active, filled from the models that ship.

Any machine that reaches the database can use any model: the file is fetched from there and cached in DATA_DIR.
Importing this module does not import TensorFlow.
"""

from __future__ import annotations

import fcntl
import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from app.domain.models import Model
from app.domain.thresholds import SetThreshold
from app.errors import Conflict, InvalidInput, ModelRefused, NotFound
from app.given import sound_text
from app.ml import models as files
from app.store import Store
from app.subsystems.learning import Explainer, Found, Learning, Scorer, require_offered

log = logging.getLogger(__name__)

USES = (files.SHIFTER, files.ALARM)
MOST_WHY = 500
MOST_LOADED = 4  # cached in memory: the active model, the two of a comparison, and the one being explained


class Registry:
    """The models of one subsystem in one database, and those of them that are loaded here.

    Args:
        shipped: folder of the models that ship with the program.
        unpacked: folder in which models from the database are cached on this machine.
    """

    def __init__(self, store: Store, shipped: Path, unpacked: Path) -> None:
        self._store, self._shipped, self._kept = store, shipped, unpacked
        self._scorers: LRUCache[str, Scorer] = LRUCache(MOST_LOADED)
        self._explainers: LRUCache[str, Explainer] = LRUCache(MOST_LOADED)
        self._lock = threading.Lock()
        self._filled = False
        self._last_known: str | None = None

    @property
    def active(self) -> str:
        """Name of the active model."""
        self._fill()
        self._last_known = self._store.models.active_name()
        return self._last_known

    @property
    def last_known(self) -> str:
        """The same as last read, without a query: for the page that says that the database is unavailable."""
        if self._last_known is None:
            try:
                return files.default_model(self._shipped).name
            except ModelRefused:
                return ""
        return self._last_known

    def all(self) -> list[Model]:
        """All models, oldest first."""
        self._fill()
        return self._store.models.all()

    def get(self, name: str) -> Model:
        """Return one model.

        Raises:
            NotFound: there is none of this name.
        """
        self._fill()
        return self._store.models.get(name)

    def add(self, folder: Path, by: str) -> Model:
        """Store the model of a folder as a candidate.

        Raises:
            ModelRefused: its card or its file cannot be trusted.
            Conflict: there is another model of this name.
        """
        self._fill()
        return self._add(folder, by)

    def add_candidate(self, folder: Path, forgetting: Found, by: str) -> Model:
        """Store a model trained from labels, with what it forgot; it is refused if that is too much.

        If another model has taken its name since the training began, it gets the next one.
        """
        self._fill()
        card = files.load_card(folder)
        file = files.verified_file(folder, card).read_bytes()
        check, refused = forgetting.model_dump(mode="json"), bool(forgetting.forgotten)
        while True:
            try:
                card_now = card.model_dump(mode="json")
                return self._store.models.add(card.name, card_now, file, by, check, refused, works=True)
            except Conflict:
                card = card.model_copy(update={"name": self.free_name(card.architecture)})

    def free_name(self, architecture: str) -> str:
        """The name of an architecture's next model: row-cnn-1, row-cnn-2, …"""
        names = {model.name for model in self.all()}
        return next(name for n in count(1) if (name := f"{architecture}-{n}") not in names)

    def folder(self, name: str) -> Path:
        """Return a local folder with a model's file and card.

        Raises:
            NotFound: there is none of this name.
        """
        return self._folder(self.get(name))

    def override(self, name: str, reason: str, by: str) -> Model:
        """Turn a refused model into a candidate.

        Raises:
            NotFound: there is none of this name.
            Conflict: it is not refused.
        """
        self.get(name)
        return self._store.models.override(name, reason, by)

    def import_keras2(self, file: Path, name: str | None, by: str) -> Model:
        """Store the row network of a Keras 2 file as a candidate, named after the file if no name is given.

        Raises:
            InvalidInput: the name is not allowed.
            ModelRefused: the file is not such a network or cannot be trusted; nothing is stored.
            Conflict: there is another model of this name, or the subsystem accepts no such file.
        """
        require_offered(self._learning, "convert")
        self._fill()
        name = name or file.stem.lower().replace(" ", "-")
        with tempfile.TemporaryDirectory() as parent:
            return self._add(self._learning.convert(file, name, Path(parent)), by)

    def activate(self, name: str) -> Model:
        """Activate a model. Runs scored by another model keep their scores until they are rescored.

        Raises:
            Conflict: it is refused, or does not work.
        """
        model = self.get(name)
        if not model.refused and not model.works:
            self.require_working(name, model.card, lambda: self._store.models.file(name))
            self._store.models.note_works(name)
        return self._store.models.activate(name)

    def require_working(self, name: str, card: Mapping[str, Any], file: Callable[[], bytes]) -> None:
        """Refuse a model that does not work; the models that ship were tested when they were made.

        Raises:
            Conflict: says why it does not work.
        """
        cards = self._shipped.glob(f"*/{files.CARD_FILE}")
        if card["sha256"] in {files.load_card(path.parent).sha256 for path in cards}:
            return
        with tempfile.TemporaryDirectory() as parent:
            try:
                self._learning.require_working(_written(Path(parent) / name, card, file()))
            except ModelRefused as error:
                raise Conflict(str(error)) from None

    def retire(self, name: str) -> Model:
        """Remove a model from the selection.

        Raises:
            Conflict: it is active.
        """
        self.get(name)
        return self._store.models.retire(name)

    def known(self, name: str) -> Any:
        """Everything known about a model.

        Raises:
            NotFound: there is no model of this name.
        """
        model = self.get(name)
        card = files.Card.model_validate(model.card)
        return self._learning.known(model, card, self._store.thresholds.of(name), self._store.models.evaluation(name))

    def threshold_for(self, name: str, false_alarms: float) -> float:
        """The lowest score at which at most this share of good parts is called bad.

        Raises:
            NotFound: there is no such model, or it has not been evaluated.
            InvalidInput: no score has a false alarm rate this low.
        """
        method = self.known(name).method
        if method is None or not method.curve:
            raise NotFound(f"The model {name} has no curve: flask evaluate-model {name} --keep makes it.")
        point = method.for_false_alarms(false_alarms)
        if point is None:
            least = method.curve[0].false_alarms
            raise InvalidInput("false alarms", false_alarms, f"a share of the good parts, {least:.2g} or more")
        return point.score

    def set_threshold(self, name: str, use: str, score: float, why: str, by: str) -> SetThreshold:
        """Set the score from which a part is bad, for one use. Earlier verdicts are kept until their run is rescored or
        re-evaluated.

        Args:
            use: "shifter" or "alarm".
            why: the reason, for later readers.

        Raises:
            NotFound: there is no such model.
            InvalidInput: there is no such use; the score is invalid or would alert people to good parts; the reason is
                missing or too long.
        """
        scores = self.thresholds(name)
        if use not in USES:
            raise InvalidInput("use", use, f"one of {', '.join(USES)}")
        if not files.LEAST_THRESHOLD <= score <= 1:
            raise InvalidInput("score", score, f"a number above 0 ({files.LEAST_THRESHOLD:f} or more), and 1 at most")
        if use == files.ALARM and score < scores[files.SHIFTER]:
            raise InvalidInput("score", score, f"{scores[files.SHIFTER]:g} or more, from which a part is bad")
        if use == files.SHIFTER and score > scores.get(files.ALARM, 1):
            raise InvalidInput("score", score, f"{scores[files.ALARM]:g} or less, from which a person is called")
        if not (why := sound_text("why", why)) or len(why) > MOST_WHY:
            raise InvalidInput("why", why, f"a reason, of up to {MOST_WHY} characters")
        method = self.known(name).method
        meaning = method.meaning(score) if method else None
        threshold = SetThreshold(
            model=name,
            use=use,
            score=score,
            before=scores.get(use),
            why=why,
            by=by,
            at=datetime.now(UTC),
            false_alarms=meaning.false_alarms if meaning else None,
            found=meaning.found if meaning else None,
            false_alarms_by_hits=meaning.by_hits if meaning else {},
        )
        self._store.thresholds.add(threshold)
        return threshold

    def keep_evaluation(self, card: files.Card, figures: str, pictures: Mapping[str, bytes], by: str) -> None:
        """Store a model's evaluation, for its page.

        Args:
            card: of the evaluated model.
            figures: JSON, as written by the subsystem's evaluation.
            pictures: name → SVG.

        Raises:
            NotFound: the database has no such model.
            Conflict: the database has a different model of this name.
        """
        if self.get(card.name).sha256 != card.sha256:
            raise Conflict(f"The model {card.name} in the database is another one than the one evaluated.")
        drawn = {name: content.decode() for name, content in pictures.items()}
        self._store.models.keep_evaluation(card.name, figures, drawn, by)

    def thresholds(self, name: str) -> dict[str, float]:
        """use → the score from which a part is bad: the last setting, or else the value on the card.

        Raises:
            NotFound: there is no model of this name.
        """
        card = files.Card.model_validate(self.get(name).card)
        standing = self._store.thresholds.standing(name)
        return {use: one.score for use, one in (card.thresholds | standing).items()}

    def bad_from(self, name: str) -> float:
        """The score from which a part is bad, by the current threshold for shifters.

        Raises:
            NotFound: there is no model of this name.
        """
        return self.thresholds(name)[files.SHIFTER]

    def scorer(self, name: str | None = None, bad_from: float | None = None) -> Any:
        """Return the scorer of the active model or of another. The latest few stay loaded, as loading is slow.

        Args:
            bad_from: its threshold; by default the current one for shifters: see `bad_from`.
        """
        name = name or self.active
        bad_from = self.bad_from(name) if bad_from is None else bad_from
        with self._lock:
            return self._loaded(name).at(bad_from)

    def explainer(self, name: str) -> Explainer:
        """Return the explainer of a model, cached like the scorers.

        Raises:
            NotFound: the model cannot be explained.
        """
        with self._lock:
            explainer = self._explainers.get(name) or self._learning.explainer(self._loaded(name))
            if explainer is None:
                raise NotFound(f"Nothing explains the scores of the model {name}.")
            self._explainers[name] = explainer
            return explainer

    def _loaded(self, name: str) -> Scorer:
        scorer = self._scorers.get(name) or self._learning.scorer(self._folder(self.get(name)))
        self._scorers[name] = scorer
        return scorer

    @property
    def _learning(self) -> Learning:
        return self._store.subsystem.learning()

    def _folder(self, model: Model) -> Path:
        """Return a folder with the model, fetching it from the database if it is not cached.

        Other processes may read or create it at the same time: it is created in a temporary folder and renamed when
        complete, and a correct folder is never modified.
        """
        folder = self._kept / model.name
        if _is_there(folder, model.sha256):
            return folder
        self._kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._kept) as parent:
            made = _written(Path(parent) / model.name, model.card, self._store.models.file(model.name))
            with _only_one_changes(self._kept):
                if not _is_there(folder, model.sha256):
                    if folder.exists():
                        folder.rename(Path(parent) / "not-right")  # and removed with it
                    made.rename(folder)
        return folder

    def _fill(self) -> None:
        """Add the models that ship; the first time, activate the default one."""
        if self._filled:
            return
        default = files.default_model(self._shipped)
        for card in sorted(self._shipped.glob(f"*/{files.CARD_FILE}")):
            try:
                self._add(card.parent, by="shipped")
            except Conflict as error:
                log.warning("a model that ships is not the one in the database: %s", error)
        self._store.models.activate_first(default.name)
        self._filled = True

    def _add(self, folder: Path, by: str) -> Model:
        card = files.load_card(folder)
        file = files.verified_file(folder, card)
        return self._store.models.add(card.name, card.model_dump(mode="json"), file.read_bytes(), by)


@contextmanager
def _only_one_changes(folder: Path) -> Iterator[None]:
    """Lock a folder against every other process and thread that would change it."""
    with (folder / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed, also if the process is killed
        yield


def _written(folder: Path, card: Mapping[str, Any], file: bytes) -> Path:
    """Return a model's folder, creating it if necessary."""
    folder.mkdir()
    (folder / files.MODEL_FILE).write_bytes(file)
    (folder / files.CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    return folder


def _is_there(folder: Path, sha256: str) -> bool:
    file = folder / files.MODEL_FILE
    return (folder / files.CARD_FILE).exists() and file.exists() and files.sha256(file) == sha256
