"""The drift tubes of CMS: 250 chambers of up to 12 layers. All that is particular to them lives in this package."""

from app.subsystems import Subsystem
from app.subsystems.dt.geometry import Chamber, all_chambers
from app.subsystems.dt.histogram import Occupancy

DT = Subsystem("dt", Chamber, ("wheel", "station", "sector"), all_chambers, Occupancy.from_bytes)
