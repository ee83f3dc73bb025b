"""The drift tubes of CMS: 250 chambers of up to 12 layers. All that is particular to them lives in this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.subsystems import Subsystem
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.histogram import Occupancy
from app.subsystems.dt.summary import pack_rates, pack_scores, summarise


def _explain(occupancies: Sequence[Occupancy]) -> list[list[dict[str, Any]]]:
    from app.subsystems.dt.findings import findings  # heavier than what serving a page needs

    return [
        [
            {**asdict(found), "cells": list(found.cells), "text": str(found), "makes_bad": found.makes_bad}
            for found in chamber
        ]
        for chamber in findings(occupancies)
    ]


def _parts(chamber: Chamber) -> dict[int, range]:
    return {layer.number: range(layer.first_cell, layer.last_cell + 1) for layer in chamber.layers}


DT = Subsystem(
    name="dt",
    place=Chamber,
    keys=("wheel", "station", "sector"),
    places=all_chambers,
    decode=Occupancy.from_bytes,
    from_rows=Occupancy.from_rows,
    parts=_parts,
    explain=_explain,
    summarise=summarise,
    pack_rates=pack_rates,
    pack_scores=pack_scores,
)
