"""The names of chambers on pages."""

from __future__ import annotations

from app.domain.words import signed
from app.subsystems.dt.geometry import Chamber


def chamber_name(chamber: Chamber) -> str:
    """For tables and headings.

    >>> chamber_name(Chamber(wheel=-1, station=2, sector=7))
    'W−1 S7 MB2'
    """
    return f"W{signed(chamber.wheel)} S{chamber.sector} MB{chamber.station}"


def chamber_words(chamber: Chamber) -> str:
    """In full.

    >>> chamber_words(Chamber(wheel=-1, station=2, sector=7))
    'wheel −1, sector 7, station 2'
    """
    return f"wheel {signed(chamber.wheel)}, sector {chamber.sector}, station {chamber.station}"
