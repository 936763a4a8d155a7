"""How an ECG is drawn on paper: the arrangement of its leads, speed and gain. `plot` draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Layout = Literal["3x4", "6x2", "12x1"]
Rhythm = Literal["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]

LAYOUTS: tuple[str, ...] = get_args(Layout)
SPEEDS = (25, 50)
GAINS = (5, 10, 20)
RHYTHMS: tuple[str, ...] = get_args(Rhythm)
PICTURES = ("png", "svg", "pdf")  # the formats of drawings


@dataclass(frozen=True)
class Drawing:
    """How an ECG is drawn.

    layout: rows x columns. "3x4" and "6x2" show a part of each lead, and one lead in full length below them, on A4
    landscape; "12x1" shows every lead in full length, on A3 portrait. speed: of the paper, 25 or 50 mm/s. gain: 5, 10
    or 20 mm/mV. rhythm: the lead in full length. ValueError for another value.
    """

    layout: str = "3x4"
    speed: int = 25
    gain: int = 10
    rhythm: str = "II"

    def __post_init__(self) -> None:
        for name, known in (("layout", LAYOUTS), ("speed", SPEEDS), ("gain", GAINS), ("rhythm", RHYTHMS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(map(str, known))}")


USUAL = Drawing()
