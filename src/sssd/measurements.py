"""What is measured in one record: heart rate, intervals and voltages, shown beside it and compared with the rules.

Heart rate and QRS follow from the beats (`signals.beats`). PR and QT are medians over the beats of lead II, delineated
by prominence in NeuroKit2 (`signals.waves`). QTc = QT / sqrt(RR / 1 s) (Bazett 1920). A value that
cannot be measured is left out; PR is also left out for statements without P waves that belong to the beats.

The median PR of 25 recordings each of PTB-XL with NORM and 1AVB is 146 and 202 ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.signal import resample_poly

from .leads import EIGHT
from .record import Ecg
from .signals.beats import FINER, LEAST_BEATS, find_beats, heart_rate, qrs_width, rr_s, rr_variability
from .signals.voltage import limb_voltage, sokolow_lyon
from .signals.waves import delineate, median, p_waves

INTERVALS = {  # measure -> its key in the service's answers
    "heart_rate": "heart_rate_bpm",
    "pr": "pr_ms",
    "qrs_width": "qrs_ms",
    "qt": "qt_ms",
    "qtc": "qtc_ms",
}
NO_PR = frozenset({"AFIB", "AFLT", "3AVB"})  # there are no P waves, or they do not belong to QRS complexes


def measurements(ecg: Ecg) -> dict[str, float]:
    """Return what can be measured in a record, by the names of the measures in `signals.rules`, and qt in ms.

    What cannot be measured is left out. ModuleNotFoundError without NeuroKit2.
    """
    beats = find_beats(ecg.signal, ecg.fs_hz)
    if len(beats) < LEAST_BEATS:
        return {}
    eight = np.stack([ecg.lead(name) for name in EIGHT])
    found = {
        "heart_rate": heart_rate(beats, ecg.fs_hz),
        "rr_variability": rr_variability(beats, ecg.fs_hz),
        "qrs_width": qrs_width(ecg.signal, beats, ecg.fs_hz),
        "sokolow_lyon": sokolow_lyon(eight, beats, ecg.fs_hz),
        "limb_voltage": limb_voltage(eight, beats, ecg.fs_hz),
    }
    lead = resample_poly(ecg.lead("II").astype(np.float64), FINER, 1)
    waves = delineate(lead, FINER * ecg.fs_hz)
    if waves is not None:
        found["pr"] = median(np.where(waves.pr_ms > 0, waves.pr_ms, np.nan), least=LEAST_BEATS)
        found["qt"] = median(np.where(waves.qt_ms > 0, waves.qt_ms, np.nan), least=LEAST_BEATS)
        found["qtc"] = found["qt"] / math.sqrt(rr_s(beats, ecg.fs_hz))
        found["p_waves"] = float(p_waves(lead, waves).mean())
    if NO_PR.intersection(ecg.statements):
        found.pop("pr", None)
    return {name: value for name, value in found.items() if not math.isnan(value)}


def intervals(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return the heart rate in beats per minute, PR, QRS, QT and QTc in ms, rounded to whole numbers.

    values: of `measurements`. The result is None for what could not be measured.
    """
    return {
        shown_as: float(round(values[name])) if name in values else None
        for name, shown_as in INTERVALS.items()
    }
