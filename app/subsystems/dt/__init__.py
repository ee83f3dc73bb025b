"""The drift tubes of CMS: 250 chambers of up to 12 layers. Everything specific to them is in this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.vocabulary import Vocabulary
from app.subsystems.dt import the_2018_format
from app.subsystems.dt.geometry import LAYERS, STATIONS, WHEELS, Chamber, all_chambers, sectors_of
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.names import chamber_name, chamber_words
from app.subsystems.dt.summary import KIND_WORDS, bad_layers, chamber_code, pack_rates, pack_scores, summarise
from app.subsystems.subsystem import OwnFormat, Subsystem

if TYPE_CHECKING:
    from app.sources import Server
    from app.subsystems.dt.sources.rootfile import RootFile
    from app.subsystems.learning import Learning
    from app.subsystems.views import Views
    from config import Settings


def _explain(occupancies: Sequence[Occupancy]) -> list[list[dict[str, Any]]]:
    from app.subsystems.dt.findings import findings  # heavier than what pages need

    return [
        [
            {**asdict(found), "cells": list(found.cells), "text": str(found), "makes_bad": found.makes_bad}
            for found in chamber
        ]
        for chamber in findings(occupancies)
    ]


def _parts(chamber: Chamber) -> dict[int, range]:
    return {layer.number: range(layer.first_cell, layer.last_cell + 1) for layer in chamber.layers}


def _views() -> Views:
    from app.subsystems.dt.web.views import VIEWS

    return VIEWS


def _server(settings: Settings, demonstration: str | None) -> Server:
    from app.subsystems.dt.sources.jsonfairy import Jsonfairy

    return Jsonfairy(settings, demonstration)


def _file(path: Path) -> RootFile:
    from app.subsystems.dt.sources.rootfile import RootFile

    return RootFile(path)


def _learning() -> Learning:
    from app.subsystems.dt.learning.offer import LearningOfChambers

    return LearningOfChambers()


DT = Subsystem(
    name="dt",
    title="drift tubes",
    item="chamber",
    place=Chamber,
    keys=("wheel", "station", "sector"),
    path=("wheel", "sector", "station"),
    allowed={"wheel": WHEELS, "station": STATIONS, "sector": sectors_of(4)},
    part="layer",
    vocabulary=Vocabulary(),
    most_parts=LAYERS,
    places=all_chambers,
    place_name=chamber_name,
    place_words=chamber_words,
    decode=Occupancy.from_bytes,
    from_rows=Occupancy.from_rows,
    to_rows=lambda occupancy: occupancy.counts.tolist(),
    parts=_parts,
    explain=_explain,
    summarise=summarise,
    pack_rates=pack_rates,
    pack_scores=pack_scores,
    parts_called_bad=bad_layers,
    server=_server,
    learning=cache(_learning),
    views=cache(_views),
    kind_words=KIND_WORDS,
    code=chamber_code,
    own_format=OwnFormat(
        name=the_2018_format.NAME,
        words="the training format of 2018",
        begins=b"[",
        write=the_2018_format.written,
        read=the_2018_format.read,
    ),
    file=_file,
    was_alone=True,
)
