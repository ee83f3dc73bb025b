"""The subsystems of the detector, one package each. The rest of the program knows them only through this table."""

from __future__ import annotations

from app.subsystems.dt import DT
from app.subsystems.subsystem import Subsystem

__all__ = ["DEFAULT", "SUBSYSTEMS", "Subsystem"]

SUBSYSTEMS: tuple[Subsystem, ...] = (DT,)
DEFAULT = DT  # if none is named
