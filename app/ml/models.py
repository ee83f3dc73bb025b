"""Models on disk: a folder for each, named after its version, with `model.keras` and `card.json`.

The card says what the model takes, how it was made and what it is worth; a file that is not its card's is refused.
The text file `active` beside the folders names the one that is used unless another is asked for. Not for scoring: see
`scoring`.
"""

from __future__ import annotations

import hashlib
import re
from codecs import BOM_UTF8
from itertools import count
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import InvalidInput, ModelRefused

LARGEST_CARD = 1_000_000  # bytes; ours have 5,000
LARGEST_MODEL = 15_000_000  # bytes, as an import takes; the largest of ours has 200,000
MODEL_FILE, CARD_FILE, ACTIVE_FILE = "model.keras", "card.json", "active"
SHIFTER = "shifter"  # the use whose threshold makes a layer bad on the pages
ALARM = "alarm"  # the use whose threshold calls a person
REFERENCE = "row-cnn-1"  # the network of 2018, which every other is compared with

LEAST_THRESHOLD = 1e-6  # scores are of float32: what is less is 0 to a network and to a reader
Share = Annotated[float, Field(ge=0, le=1)]
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PartCount(_Part):
    """What one part of the labelled items has: chambers, and those of their layers that a network judges."""

    items: int = Field(0, description="chambers")
    runs: int = 0
    places: int = Field(0, description="different chambers, whatever the run")
    good: int = Field(0, description="layers")
    bad: int = Field(0, description="layers")
    soft: int = Field(0, description="layers on which people disagree: learnt from as P(bad), not tested on")
    effective_items: float = Field(0, description="of inverse propensity weights w: (sum of w)² / sum of w²")


class Composition(_Part):
    """The labelled chambers that a model was made with, and what was left out of them."""

    split: str = Field(description="by which they were dealt to training, validation and test")
    runs: str = Field(description="the range that was chosen; empty for all")
    resolved_only: bool = Field(description="only those on which an expert ended a disagreement were chosen")
    labelled: int = Field(description="chambers that fitted the choice")
    parts: dict[str, PartCount]
    left_out: dict[str, int] = Field(description="why → chambers")
    layers_left_out: int = Field(description="judged before any network: empty, or of too few hits")
    states: dict[str, int] = Field(description="labelled, disputed or resolved → chambers")
    people: dict[str, int] = Field(description="name → chambers with their label")
    strategies: dict[str, int] = Field(description="how they were chosen for their first label → chambers")
    drawn: int = Field(description="of these, drawn at random: as a control, or because somebody asked for that")
    not_represented: int = Field(description="chambers of the same runs unlike any labelled one in what is chosen by")
    digest: str = Field(description="tells one set from another")


class TrainedOn(_Part):
    """Where the weights come from: enough to make them again."""

    simulator_version: int
    seed: int
    chambers: int = Field(gt=0, description="simulated chambers, of which some are for validation and for the figures")
    layers: int = Field(gt=0, description="layers that the weights were fitted to")
    bad_layers: float = Field(gt=0, description="how many of them are bad; an ambiguous one counts by its probability")
    left_out: str = Field(description="which layers the network was not shown, and why; which faults it was not taught")
    without: tuple[str, ...] = Field((), description="kinds of fault that no simulated chamber had")
    command: str
    labels: Composition | None = Field(None, description="what people labelled, where it went in")
    simulated_weight: float | None = Field(
        None, description="how much all simulated layers counted together, all labelled ones counting 1"
    )
    bad_weight: float | None = Field(None, description="how much a labelled bad layer counted, a good one counting 1")
    went_on_from: str = Field("", description="the model whose weights it went on from; empty where it began anew")
    contradicted: int = Field(0, description="simulated layers to learn from that gave way to what people say")


class Figures(_Part):
    """What the model is worth on simulated chambers that it has not seen; ambiguous layers do not count."""

    layers: int
    bad_layers: int
    area_under_roc: Share
    found_at_1_percent_false_alarms: Share


class Threshold(_Part):
    """From which score a layer is bad, and how often that is wrong for a good layer."""

    score: float = Field(ge=LEAST_THRESHOLD, le=1)
    false_alarms: Share | None = Field(description="of good layers, in simulation; nothing where nobody measured it")
    false_alarms_by_hits: dict[str, Share] = Field({}, description="the same where a chamber has so many hits a cell")


class Calibration(_Part):
    """What was done to the network's log odds, and is part of its last layer: divided by one, raised by the other."""

    temperature: float = Field(gt=0)
    shift: float = Field(description="also for bad layers being rarer in ordinary data than in what it learnt from")


class ReliabilityBin(_Part):
    """Layers whose scores lie in one tenth."""

    score: Share = Field(description="their mean")
    bad: Share = Field(description="how many of them are bad; an ambiguous one counts by its probability")
    layers: int


class Card(_Part):
    """What is known of a model."""

    name: str = Field(pattern=f"^{NAME}$")
    architecture: str
    takes: str
    parameters: int
    trained_on: TrainedOn | None = Field(None, description="nothing where it was trained elsewhere: see `origin`")
    origin: str = Field("", description="where it comes from, if it was not trained here")
    figures: Figures | None = Field(None, description="on the kinds of fault that it was trained on")
    figures_all_faults: Figures | None = Field(None, description="on every kind of fault, also those it cannot see")
    figures_labelled: Figures | None = Field(None, description="on the labelled chambers of the test, as they come")
    calibration: Calibration | None = None
    reliability: list[ReliabilityBin] = Field([], description="on simulated chambers with as many faults as real ones")
    thresholds: dict[str, Threshold]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: AwareDatetime

    @model_validator(mode="after")
    def _has_a_threshold(self) -> Card:
        if SHIFTER not in self.thresholds:
            raise ValueError(f"there is no threshold for the {SHIFTER}")
        return self

    @property
    def threshold(self) -> float:
        """The shifter's threshold."""
        return self.thresholds[SHIFTER].score


def load_card(folder: Path) -> Card:
    """Read a model's card.

    Raises:
        ModelRefused: no card, or one that cannot be understood, or one of another name than its folder.
    """
    path = folder / CARD_FILE
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise ModelRefused(f"The card of the model {folder.name} has more than {LARGEST_CARD:,} bytes ({path}).")
        card = Card.model_validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except FileNotFoundError:
        raise ModelRefused(f"The model {folder.name} has no card: {path} is missing.") from None
    except OSError as error:
        raise ModelRefused(f"The card of the model {folder.name} cannot be read: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelRefused(
            f"The card of the model {folder.name} cannot be used: {where}: {first['msg']} ({path})."
        ) from None
    if card.name != folder.name:
        raise ModelRefused(f"The card in {folder} is that of {card.name}: a model's folder has its name.")
    return card


def verified_file(folder: Path, card: Card) -> Path:
    """The path of the model's file, once its contents are found to be those on the card.

    Raises:
        ModelRefused: no file, another one, or one that is or becomes too large.
    """
    path = folder / MODEL_FILE
    try:
        if path.stat().st_size > LARGEST_MODEL:
            raise ModelRefused(f"The file of the model {card.name} has more than {LARGEST_MODEL:,} bytes ({path}).")
        found = sha256(path)
    except FileNotFoundError:
        raise ModelRefused(f"The model {card.name} has no file: {path} is missing.") from None
    except OSError as error:
        raise ModelRefused(f"The file of the model {card.name} cannot be read: {error}.") from None
    if found != card.sha256:
        raise ModelRefused(
            f"The file of the model {card.name} is not the one on its card: its sha256 is {found[:12]}…, "
            f"not {card.sha256[:12]}… ({path})."
        )
    return path


def default_model(model_dir: Path) -> Path:
    """The folder of the model in use: the one that `model_dir/active` names.

    A file of its own, and not the card's word nor the newest folder: so that training a model never puts it in use, and
    exactly one is.

    Raises:
        ModelRefused: the file is missing or names no model.
    """
    path = model_dir / ACTIVE_FILE
    try:
        name = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        raise ModelRefused(f"No model is in use: {path} is missing; write a model's name into it.") from None
    if not is_name(name) or not (model_dir / name).is_dir():
        raise ModelRefused(f"The model in use does not exist: {path} names {name!r}.")
    return model_dir / name


def named_model(model_dir: Path, name: str) -> Path:
    """The folder of the model with this name.

    Raises:
        InvalidInput: there is none; says which there are.
    """
    names = sorted(path.parent.name for path in model_dir.glob(f"*/{CARD_FILE}"))
    if name not in names:
        raise InvalidInput("model", name, f"one of {', '.join(names) or '(none: the model folder is empty)'}")
    return model_dir / name


def is_name(text: str) -> bool:
    """Whether a model can be called so: it becomes a folder's name, and stands in addresses and tables.

    >>> is_name("row-cnn-1"), is_name("../row-cnn-1"), is_name("Row CNN")
    (True, False, False)
    """
    return re.fullmatch(NAME, text) is not None


def free_folder(model_dir: Path, architecture: str) -> Path:
    """Where the next model of an architecture goes: row-cnn-1, row-cnn-2, …"""
    return next(folder for n in count(1) if not (folder := model_dir / f"{architecture}-{n}").exists())


def sha256(path: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
