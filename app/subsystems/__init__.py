"""The parts of the detector, a package each. The rest of the program knows them through this table alone."""

from __future__ import annotations

from app.subsystems.dt import DT
from app.subsystems.subsystem import Subsystem

__all__ = ["DEFAULT", "SUBSYSTEMS", "Subsystem"]

SUBSYSTEMS: tuple[Subsystem, ...] = (DT,)
DEFAULT = DT  # where nobody names one
