"""Models on disk: a folder for each, named after its version, with `model.keras` and `card.json`.

The card describes the model's input, how it was made and how well it performs; a file that does not match its card is
refused. The text file `active` beside the folders names the default model. Not for scoring: see `scoring`.
"""

from __future__ import annotations

import hashlib
import re
from codecs import BOM_UTF8
from itertools import count
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from app.errors import InvalidInput, ModelRefused
from app.ml.json_record import JsonRecord

LARGEST_CARD = 1_000_000  # bytes; ours have 5,000
LARGEST_MODEL = 15_000_000  # bytes, as for an import; the largest of ours has 200,000
MODEL_FILE, CARD_FILE, ACTIVE_FILE = "model.keras", "card.json", "active"
SHIFTER = "shifter"  # the use whose threshold makes a layer bad on the pages
ALARM = "alarm"  # the use whose threshold alerts a person
REFERENCE = "row-cnn-1"  # the network of 2018, with which all others are compared

LEAST_THRESHOLD = 1e-6  # scores are float32: anything smaller is 0 for network and reader
Share = Annotated[float, Field(ge=0, le=1)]
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"


class PartCount(JsonRecord):
    """The contents of one part of the labelled items: chambers, and their layers that a network judges."""

    items: int = Field(0, description="chambers")
    runs: int = 0
    places: int = Field(0, description="different chambers, whatever the run")
    good: int = Field(0, description="layers")
    bad: int = Field(0, description="layers")
    soft: int = Field(0, description="layers on which people disagree: fitted as P(bad), not tested on")
    effective_items: float = Field(0, description="of inverse propensity weights w: (sum of w)² / sum of w²")


class Composition(JsonRecord):
    """The labelled chambers used to make a model, and those left out."""

    split: str = Field(description="the split into training, validation and test")
    runs: str = Field(description="the selected range; empty for all")
    resolved_only: bool = Field(description="only chambers on which an expert resolved a disagreement were selected")
    labelled: int = Field(description="chambers that match the selection")
    parts: dict[str, PartCount]
    left_out: dict[str, int] = Field(description="why → chambers")
    layers_left_out: int = Field(description="judged before any network: empty, or with too few hits")
    states: dict[str, int] = Field(description="labelled, disputed or resolved → chambers")
    people: dict[str, int] = Field(description="name → chambers with their label")
    strategies: dict[str, int] = Field(description="how they were selected for their first label → chambers")
    drawn: int = Field(description="of these, drawn at random: as a control, or on request")
    not_represented: int = Field(
        description="chambers of the same runs unlike any labelled one in the selection variables"
    )
    digest: str = Field(description="identifies the set")


class TrainedOn(JsonRecord):
    """The origin of the weights: enough to reproduce them."""

    simulator_version: int
    seed: int
    chambers: int = Field(gt=0, description="simulated chambers, including those for validation and for the figures")
    layers: int = Field(gt=0, description="layers to which the weights were fitted")
    bad_layers: float = Field(gt=0, description="how many of them are bad; an ambiguous one counts by its probability")
    left_out: str = Field(description="layers not shown to the network, and why; faults left out of the training")
    without: tuple[str, ...] = Field((), description="kinds of fault missing from the simulated chambers")
    command: str
    labels: Composition | None = Field(None, description="the labels used, if any")
    simulated_weight: float | None = Field(
        None, description="total weight of all simulated layers relative to all labelled ones"
    )
    bad_weight: float | None = Field(None, description="weight of a labelled bad layer relative to a good one")
    went_on_from: str = Field(
        "", description="the model whose weights it started from; empty if it started from scratch"
    )
    contradicted: int = Field(0, description="simulated training layers overruled by labels")


class Figures(JsonRecord):
    """The model's performance on simulated chambers it has not seen; ambiguous layers do not count."""

    layers: int
    bad_layers: int
    area_under_roc: Share
    found_at_1_percent_false_alarms: Share


class Threshold(JsonRecord):
    """The score from which a layer is bad, and its false-alarm rate."""

    score: float = Field(ge=LEAST_THRESHOLD, le=1)
    false_alarms: Share | None = Field(description="share of good layers, in simulation; nothing if not measured")
    false_alarms_by_hits: dict[str, Share] = Field({}, description="the same by hits per cell of the chamber")


class Calibration(JsonRecord):
    """The calibration of the network's log odds, folded into its last layer: divided by one, shifted by the other."""

    temperature: float = Field(gt=0)
    shift: float = Field(description="also accounts for bad layers being rarer in ordinary data than in training")


class ReliabilityBin(JsonRecord):
    """Layers with scores in one tenth."""

    score: Share = Field(description="their mean")
    bad: Share = Field(description="how many of them are bad; an ambiguous one counts by its probability")
    layers: int


class Card(JsonRecord):
    """What is known of a model."""

    name: str = Field(pattern=f"^{NAME}$")
    architecture: str
    takes: str
    parameters: int
    trained_on: TrainedOn | None = Field(None, description="nothing if it was trained elsewhere: see `origin`")
    origin: str = Field("", description="where it comes from, if it was not trained here")
    figures: Figures | None = Field(None, description="on the kinds of fault that it was trained on")
    figures_all_faults: Figures | None = Field(
        None, description="on every kind of fault, including those it cannot see"
    )
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
        ModelRefused: there is no card, it cannot be parsed, or its name differs from that of its folder.
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
        raise ModelRefused(f"The card in {folder} belongs to {card.name}: a model's folder must have its name.")
    return card


def verified_file(folder: Path, card: Card) -> Path:
    """The path of the model's file, after checking it against the card.

    Raises:
        ModelRefused: the file is missing, does not match, or is too large, packed or unpacked.
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
    """The folder of the active model, named by `model_dir/active`.

    A separate file, not a field of the card nor the newest folder, so that training a model never puts it into use, and
    exactly one is active.

    Raises:
        ModelRefused: the file is missing or names no model.
    """
    path = model_dir / ACTIVE_FILE
    try:
        name = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        raise ModelRefused(f"No model is active: {path} is missing; write a model's name into it.") from None
    if not is_name(name) or not (model_dir / name).is_dir():
        raise ModelRefused(f"The active model does not exist: {path} names {name!r}.")
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
    """Whether a name is valid for a model: it is used for a folder, in addresses and in tables.

    >>> is_name("row-cnn-1"), is_name("../row-cnn-1"), is_name("Row CNN")
    (True, False, False)
    """
    return re.fullmatch(NAME, text) is not None


def free_folder(model_dir: Path, architecture: str) -> Path:
    """The next free folder for a model of an architecture: row-cnn-1, row-cnn-2, …"""
    return next(folder for n in count(1) if not (folder := model_dir / f"{architecture}-{n}").exists())


def sha256(path: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
