"""A subsystem that only the tests have: two regions of four channels, three lumisections, and a model of one rule."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask

from app.domain.judgement import Judgement, Verdict, reached
from app.domain.origin import Origin, SourceKind
from app.domain.vocabulary import Class, Vocabulary
from app.errors import Reason, UnusableHistogram
from app.given import within
from app.ml.models import CARD_FILE, MODEL_FILE, Card, Threshold, load_card
from app.subsystems.dt import DT
from app.subsystems.subsystem import Subsystem
from app.subsystems.views import Views
from config import ROOT, Settings

CHANNELS = 4
FULL = 100  # hits of a channel that is alive


@dataclass(frozen=True, order=True)
class Region:
    """One region in one lumisection."""

    lumi: int
    region: int

    def __post_init__(self) -> None:
        within("lumi", self.lumi, range(1, 5_000))
        within("region", self.region, (1, 2))

    def __str__(self) -> str:
        return f"region {self.region}, lumisection {self.lumi}"


PLACES = tuple(Region(lumi, region) for lumi in (1, 2, 3) for region in (1, 2))


@dataclass(frozen=True)
class Hits:
    """Hits of the channels of a region."""

    place: Region
    channels: tuple[int, ...]

    @property
    def hits(self) -> int:
        return sum(self.channels)

    def to_bytes(self) -> bytes:
        return bytes(self.channels)

    @classmethod
    def from_bytes(cls, place: Region, stored: bytes) -> Hits:
        return cls(place, tuple(stored))


class ToySource:
    """Has every run; region 2 of lumisection 3 is never there, channel 3 of region 1 is dead, channel 1 half so."""

    name = "toy server"
    origin = Origin(SourceKind.DQM, "toy server")
    simulated = False

    def may_grow(self, run: int, stop: threading.Event) -> bool:
        return False

    def fetch(self, run: int, places: Sequence[Region], stop: threading.Event) -> Iterator[tuple[Region, Any]]:
        for place in places:
            if place == Region(3, 2):
                yield place, UnusableHistogram(Reason.ABSENT, "not on the server")
            else:
                yield place, Hits(place, (50, FULL, 0, FULL) if place.region == 1 else (FULL,) * CHANNELS)

    def runs(self) -> list[int]:
        return [302635]

    def close(self) -> None:
        """Nothing is open."""


class Scorer:
    """P(bad) is the share of hits that a channel lacks."""

    def __init__(self, folder: Path) -> None:
        self.card = load_card(folder)
        self.version, self.threshold = self.card.name, self.card.threshold

    def at(self, threshold: float) -> Scorer:
        other = object.__new__(Scorer)
        other.card, other.version, other.threshold = self.card, self.version, threshold
        return other

    def judge(self, histograms: Sequence[Hits]) -> list[Judgement]:
        return [self._judge(histogram) for histogram in histograms]

    def _judge(self, histogram: Hits) -> Judgement:
        scores = tuple(1 - hits / FULL for hits in histogram.channels)
        bad = [score >= self.threshold for score in scores]
        verdicts = tuple(Verdict.BAD if one else Verdict.GOOD for one in bad)
        reasons = tuple(reached(s, self.threshold) if one else "" for s, one in zip(scores, bad, strict=True))
        certainty = min(abs(0.5 - score) for score in scores)
        return Judgement(scores, verdicts, reasons, certainty, None, self.threshold)


def _learning() -> Any:
    from toy_learning import ToyLearning

    return ToyLearning()


def pack(values: Sequence[float | None]) -> bytes:
    return bytes(255 if value is None else round(100 * value) for value in values)


def summarise(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {"parts": sum(len(d["verdicts"]) for d in documents if d.get("verdicts"))}


TOY = Subsystem(
    name="toy",
    title="toy detector",
    item="region",
    place=Region,
    keys=("lumi", "region"),
    path=("lumi", "region"),
    allowed={"lumi": range(1, 5_000), "region": (1, 2)},
    part="channel",
    vocabulary=Vocabulary(
        of_parts=(Class("good", "g", is_fault=False), Class("hot", "h"), Class("dead", "d")),
        of_items=(Class("good", "g", is_fault=False), Class("bad", "b")),
    ),
    most_parts=CHANNELS,
    places=lambda: PLACES,
    place_name=lambda place: f"R{place.region} lumi {place.lumi}",
    place_words=str,
    decode=Hits.from_bytes,
    from_rows=lambda place, rows: Hits(place, tuple(int(row[0]) for row in rows)),
    to_rows=lambda hits: [[channel] for channel in hits.channels],
    parts=lambda place: {channel: range(1, 2) for channel in range(1, CHANNELS + 1)},
    explain=lambda histograms: [[] for _ in histograms],
    summarise=summarise,
    pack_rates=lambda histogram: histogram.to_bytes(),
    pack_scores=pack,
    parts_called_bad=lambda verdicts, findings: {
        part: ("score", "") for part, verdict in enumerate(verdicts, start=1) if verdict == Verdict.BAD
    },
    server=lambda settings, demonstration: ToySource(),
    learning=cache(_learning),
    views=cache(Views),
)


def write_model(folder: Path, bad_from: float, origin: str) -> None:
    """Make a model's folder: all that it knows is from which score a channel is bad."""
    folder.mkdir(parents=True)
    file = json.dumps({"name": folder.name, "bad_from": bad_from}).encode()
    (folder / MODEL_FILE).write_bytes(file)
    card = Card(
        name=folder.name,
        architecture="toy",
        takes="hits",
        parameters=1,
        origin=origin,
        thresholds={"shifter": Threshold(score=bad_from, false_alarms=None)},
        sha256=sha256(file).hexdigest(),
        created=datetime.now(UTC),
    )
    (folder / CARD_FILE).write_text(card.model_dump_json(), encoding="utf-8")


def models_with_toy(parent: Path, shipped: Path) -> Path:
    """A model folder with what ships, by links, and the toy's model."""
    folder = parent / "models"
    folder.mkdir()
    for path in shipped.iterdir():
        (folder / path.name).symlink_to(path)
    for name in ("toy-1", "toy-2"):
        write_model(folder / "toy" / name, 0.6 if name == "toy-1" else 0.4, "made by a test")
    (folder / "toy" / "active").write_text("toy-1", encoding="utf-8")
    return folder


def settings_with_toy(folder: Path, shipped: Path, **settings: object) -> Settings:
    return Settings(data_dir=folder / "data", model_dir=models_with_toy(folder, shipped), **settings)


def app_with_toy(make_app: Callable[..., Flask], folder: Path, toy: Subsystem = TOY, **settings: object) -> Flask:
    """An application on an empty database with the drift tubes and a toy.

    Args:
        folder: for its data and models.
    """
    given = settings_with_toy(folder, ROOT / "models")
    return make_app([DT, toy], model_dir=given.model_dir, data_dir=given.data_dir, control_share=0, **settings)
