"""Heart rate and intervals of one record, which the page shows beside it.

Heart rate and QRS follow from the beats (`signals.beats`). PR and QT are medians over the beats of lead II, delineated
by prominence in NeuroKit2 (`signals.waves`). QTc = QT / sqrt(RR / 1 s) (Bazett 1920). A value is None if it cannot be
measured; PR is also None for statements without P waves that belong to the beats.

The median PR of 25 recordings each of PTB-XL with NORM and 1AVB is 146 and 202 ms.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import resample_poly

from ..record import Ecg
from ..signals.beats import FINER, LEAST_BEATS, find_beats, heart_rate, qrs_width, rr_s
from ..signals.waves import delineate, median

NOTHING: dict[str, float | None] = dict.fromkeys(("heart_rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms"))
NO_PR = frozenset({"AFIB", "AFLT", "3AVB"})  # there are no P waves, or they do not belong to QRS complexes


def measure(ecg: Ecg) -> dict[str, float | None]:
    """Return the heart rate in beats per minute, PR, QRS, QT and QTc in ms, rounded to whole numbers.

    It is None for what cannot be measured.
    """
    beats = find_beats(ecg.signal, ecg.fs_hz)
    if len(beats) < LEAST_BEATS:
        return dict(NOTHING)
    found = {
        "heart_rate_bpm": heart_rate(beats, ecg.fs_hz),
        "qrs_ms": qrs_width(ecg.signal, beats, ecg.fs_hz),
    }
    waves = delineate(resample_poly(ecg.lead("II").astype(np.float64), FINER, 1), FINER * ecg.fs_hz)
    if waves is not None:
        found["pr_ms"] = median(np.where(waves.pr_ms > 0, waves.pr_ms, np.nan), least=LEAST_BEATS)
        found["qt_ms"] = median(np.where(waves.qt_ms > 0, waves.qt_ms, np.nan), least=LEAST_BEATS)
        found["qtc_ms"] = found["qt_ms"] / math.sqrt(rr_s(beats, ecg.fs_hz))
    if NO_PR.intersection(ecg.statements):
        found.pop("pr_ms", None)
    return NOTHING | {name: float(round(value)) for name, value in found.items() if not math.isnan(value)}
