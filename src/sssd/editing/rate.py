"""A recording at another heart rate, to which its beats are moved (`editing.beats`) before noise is added."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..checks import warn
from ..signals.beats import find_beats
from ..signals.heart_rate import measured_heart_rates
from ..signals.recorded import used
from ..signals.rules import rate_hints
from .beats import Floats, at_rate

USUAL_BPM = {"STACH": 109.0, "SBRAD": 49.0}  # medians of 121 and 96 recordings of PTB-XL's folds 1 to 8
LOOSE = "AFIB", "AFLT", "2AVB", "3AVB"  # statements of waves that do not follow the beats
SAME_BPM = 1.0  # rates that differ by less are the same


def usual_bpm(statements: Collection[str], eight_mv: Floats, fs_hz: float) -> float:
    """Return the heart rate that recordings with one of these statements usually have.

    It is NaN if none of them is a statement of the rate, or if the recording (8, L) in mV has such a rate already.
    """
    for code, bpm in USUAL_BPM.items():
        if code in statements and rate_hints([code], float(measured_heart_rates(eight_mv[None], fs_hz)[0])):
            return bpm
    return float("nan")


def moved(
    eight_mv: Floats, statements: Collection[str], bpm: float, fs_hz: float
) -> tuple[Floats | None, str]:
    """Bring a recording (8, L) in mV, leads I V1..V6 aVF, to a heart rate; return it, and what was done in words.

    statements: codes of what it shows. It returns None for a recording that has this rate, and with a warning for one
    whose rate cannot be changed so.
    """
    own = float(measured_heart_rates(eight_mv[None], fs_hz)[0])
    loose = [code for code in LOOSE if code in statements]
    if loose or np.isnan(own):
        doubt = "the heart rate of the recording is in doubt"
        why = f"with {loose[0]}, waves do not follow beats" if loose else doubt
        warn(f"the beats are left where they are: {why}")
        return None, f"left where they are: {why}"
    if abs(own - bpm) < SAME_BPM:
        return None, ""
    beats = find_beats(eight_mv[:, : used(eight_mv.shape[1])], fs_hz)
    made = at_rate(eight_mv, beats, own / bpm, fs_hz)
    return made, f"moved from {own:.0f} to {bpm:.0f} /min"
