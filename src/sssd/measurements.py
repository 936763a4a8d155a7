"""What is measured in one record: heart rate, intervals and voltages, shown beside it and compared with the rules.

Heart rate and QRS follow from the beats (`signals.beats`). PR and QT are medians over the beats of lead II, delineated
by prominence (`signals.waves`). QTc = QT / sqrt(RR / 1 s) (Bazett 1920). A value that
cannot be measured is left out; PR is also left out for statements without P waves that belong to the beats.

A record is not measured at all if its beats are not alike (`signals.beats.likeness` below 0.3) or follow as closely as
the search for them allows: so are beats found in noise. That leaves out none of 60 recordings each of PTB-XL with NORM,
STACH and IVCD, 1 of 60 with AFIB or PVC, 2 of 60 with CLBBB or CRBBB, and 6 of 37 with PACE. The QRS width is left out
at the limit of its search.

Nor is it measured if the beats of all leads and the R peaks in lead II give rates that differ by more
than a fifth, as where T waves are taken for beats. Of recordings that are measured otherwise, that leaves out none of
40 each with NORM and IVCD, none of 39 with AFIB, 1 of 40 with STACH, 1 of 39 with PVC, 3 of 38 with CLBBB, 3 of 40 with
CRBBB and 2 of 26 with PACE.

The median PR of 25 recordings each of PTB-XL with NORM and 1AVB is 146 and 202 ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .leads import EIGHT
from .record import Ecg
from .signals.beats import (
    CLOSEST_S,
    FINER,
    LEAST_BEATS,
    QRS_AFTER_S,
    QRS_BEFORE_S,
    find_beats,
    heart_rate,
    likeness,
    qrs_width,
    rr_s,
    rr_variability,
)
from .signals.filters import upsampled
from .signals.voltage import axis, limb_voltage, sokolow_lyon
from .signals.waves import delineate, median, p_waves

INTERVALS = {  # measure -> its key in the service's answers
    "heart_rate": "heart_rate_bpm",
    "pr": "pr_ms",
    "qrs_width": "qrs_ms",
    "qt": "qt_ms",
    "qtc": "qtc_ms",
    "axis": "axis_deg",
}
NO_PR = frozenset({"AFIB", "AFLT", "3AVB"})  # there are no P waves, or they do not belong to QRS complexes
LEAST_LIKENESS = 0.3  # of beats with each other; see the module's text
LONGEST_QRS_MS = 1e3 * (QRS_BEFORE_S + QRS_AFTER_S)  # a complex of this width has no end that was found
LARGEST_RATIO = 1.2  # between the heart rates of two methods
SHORTEST_RR_S = CLOSEST_S + 0.005  # beats that follow as closely as they are looked for are not beats


def measurements(ecg: Ecg) -> dict[str, float]:
    """Return what can be measured in a record, by the names of the measures in `signals.rules`, and qt in ms.

    What cannot be measured is left out.
    """
    beats = find_beats(ecg.signal, ecg.fs_hz)
    if len(beats) < LEAST_BEATS or rr_s(beats, ecg.fs_hz) <= SHORTEST_RR_S:
        return {}
    if not likeness(ecg.signal, beats, ecg.fs_hz) >= LEAST_LIKENESS:  # NaN too
        return {}
    eight = np.stack([ecg.lead(name) for name in EIGHT])
    found = {
        "heart_rate": heart_rate(beats, ecg.fs_hz),
        "rr_variability": rr_variability(beats, ecg.fs_hz),
        "qrs_width": qrs_width(ecg.signal, beats, ecg.fs_hz),
        "sokolow_lyon": sokolow_lyon(eight, beats, ecg.fs_hz),
        "axis": axis(eight, beats, ecg.fs_hz),
        "limb_voltage": limb_voltage(eight, beats, ecg.fs_hz),
    }
    if found["qrs_width"] >= LONGEST_QRS_MS - 1e-6:
        del found["qrs_width"]
    lead = upsampled(ecg.lead("II"), FINER)
    waves = delineate(lead, FINER * ecg.fs_hz)
    if waves is not None and len(waves.r_peak) >= LEAST_BEATS:
        other = rr_s(np.round(waves.r_peak).astype(np.int64), FINER * ecg.fs_hz)
        if abs(math.log(other / rr_s(beats, ecg.fs_hz))) > math.log(LARGEST_RATIO):
            return {}
    if waves is not None:
        found["pr"] = median(np.where(waves.pr_ms > 0, waves.pr_ms, np.nan), least=LEAST_BEATS)
        found["qt"] = median(np.where(waves.qt_ms > 0, waves.qt_ms, np.nan), least=LEAST_BEATS)
        found["qtc"] = found["qt"] / math.sqrt(rr_s(beats, ecg.fs_hz))
        found["p_waves"] = float(p_waves(lead, waves).mean())
    if NO_PR.intersection(ecg.statements):
        found.pop("pr", None)
    return {name: value for name, value in found.items() if not math.isnan(value)}


def intervals(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return the heart rate in beats per minute, PR, QRS, QT and QTc in ms, and the axis of QRS in degrees, rounded.

    values: of `measurements`. The result is None for what could not be measured.
    """
    return {
        shown_as: float(round(values[name])) if name in values else None
        for name, shown_as in INTERVALS.items()
    }
