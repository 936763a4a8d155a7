"""Heart rate and intervals of one record, which the page shows beside it.

The heart rate follows from the median distance of beats. QRS is how long the slope of the median beat, over all leads,
stays above a share of its peak. PR and QT are medians over the beats of lead II, delineated by prominence in NeuroKit2
(Emrich et al. 2024). QTc = QT / sqrt(RR / 1 s) (Bazett 1920). A value is None if it cannot be measured; PR is also None
for statements without P waves that belong to the beats.

On real ECGs of PTB-XL the heart rate is within 5 beats per minute of NeuroKit2's for 148 of 150. The median QRS of 40
records each with NORM, IRBBB, CRBBB and CLBBB is 81, 96, 137 and 161 ms. The median PR of 25 records each with NORM and
1AVB is 146 and 202 ms.
"""

from __future__ import annotations

import math
import threading
import warnings
from typing import Any

import neurokit2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, resample_poly

from ..record import Ecg

NOTHING: dict[str, float | None] = dict.fromkeys(("heart_rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms"))
NO_PR = frozenset({"AFIB", "AFLT", "3AVB"})  # there are no P waves, or they do not belong to QRS complexes
FINER = 5  # intervals are measured at this multiple of the sampling rate
LEAST_BEATS = 3
QRS_SHARE = 0.08  # a median beat is in its QRS complex above this share of its steepest slope
_WARNINGS = (
    threading.Lock()
)  # Python's warning filters are global, so only one thread at a time may change them
SMOOTH_S, BRIDGED_S = 0.012, 0.02  # the slope is smoothed over the first, and may fall below for the second


def measure(ecg: Ecg) -> dict[str, float | None]:
    """Heart rate in beats per minute, PR, QRS, QT and QTc in ms, rounded to whole numbers; None if not measurable."""
    beats = complexes(ecg.signal, ecg.fs_hz)
    if len(beats) < LEAST_BEATS:
        return dict(NOTHING)
    rr_s = float(np.median(np.diff(beats))) / ecg.fs_hz
    found = {**NOTHING, "heart_rate_bpm": 60.0 / rr_s, "qrs_ms": qrs_ms(ecg.signal, ecg.fs_hz, beats)}
    found.update(_delineated(ecg.lead("II"), ecg.fs_hz))
    if NO_PR.intersection(ecg.statements):
        found["pr_ms"] = None
    if found["qt_ms"] is not None:
        found["qtc_ms"] = found["qt_ms"] / math.sqrt(rr_s)
    return {name: None if value is None else float(round(value)) for name, value in found.items()}


def complexes(signal: np.ndarray, fs_hz: float) -> NDArray[np.intp]:
    """Samples at which QRS complexes are: peaks of the slope over all leads, (12, L) -> (beats,).

    The slope is |x(t+1) - x(t)| of each lead over its own 98th percentile, summed over the leads and smoothed over
    80 ms. Peaks are at least 0.25 s apart and reach 0.35 of the 98th percentile of the slope.
    """
    slope = np.abs(np.diff(signal.astype(np.float64), axis=-1))  # (12, L - 1)
    scale = np.quantile(slope, 0.98, axis=-1, keepdims=True)
    slope = (slope / np.where(scale > 0, scale, 1.0)).sum(axis=0)
    slope = _smooth(slope, 0.08 * fs_hz)
    peaks, _ = find_peaks(slope, height=0.35 * np.quantile(slope, 0.98), distance=max(1, round(0.25 * fs_hz)))
    return peaks


def qrs_ms(signal: np.ndarray, fs_hz: float, beats: NDArray[np.intp]) -> float | None:
    """Width of the QRS complex in the median beat over all leads (12, L); None for fewer than three whole beats."""
    rate = FINER * fs_hz
    fine = resample_poly(signal.astype(np.float64), FINER, 1, axis=-1)
    before, after = round(0.45 * rate), round(0.65 * rate)
    whole = [at for at in FINER * beats if before <= at <= fine.shape[1] - after]
    if len(whole) < LEAST_BEATS:
        return None
    beat = np.median([fine[:, at - before : at + after] for at in whole], axis=0)  # (12, before + after)
    slope = _smooth(np.abs(np.gradient(beat, axis=-1)).mean(axis=0), SMOOTH_S * rate)
    near = before - round(0.06 * rate)
    top = near + int(slope[near : before + round(0.1 * rate)].argmax())
    steep, bridged = slope > QRS_SHARE * slope[top], round(BRIDGED_S * rate)
    onset = end = top
    while onset > top - 0.12 * rate and steep[onset - bridged : onset + 1].any():
        onset -= 1
    while end < top + 0.16 * rate and steep[end : end + bridged + 1].any():
        end += 1
    return (end - onset) / rate * 1e3


def _smooth(x: np.ndarray, samples: float) -> np.ndarray:
    width = max(1, int(samples))
    return np.convolve(x, np.ones(width) / width, mode="same")


def _delineated(lead: np.ndarray, fs_hz: float) -> dict[str, float | None]:
    """PR and QT of one lead (L,) in ms, by NeuroKit2."""
    rate = FINER * fs_hz
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            x = neurokit2.ecg_clean(resample_poly(lead.astype(np.float64), FINER, 1), sampling_rate=rate)
            _, peaks = neurokit2.ecg_peaks(x, sampling_rate=rate)
            _, waves = neurokit2.ecg_delineate(
                x, peaks["ECG_R_Peaks"], sampling_rate=rate, method="prominence"
            )
        except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError):
            return {}  # all of these happen with flat or shapeless leads
    return {
        "pr_ms": _median_ms(waves, "ECG_P_Onsets", "ECG_R_Onsets", rate),
        "qt_ms": _median_ms(waves, "ECG_R_Onsets", "ECG_T_Offsets", rate),
    }


def _median_ms(waves: dict[str, Any], first: str, last: str, rate: float) -> float | None:
    start, end = (np.asarray(waves.get(name, ()), dtype=np.float64) for name in (first, last))
    if len(start) != len(end):
        return None
    spans = (end - start) / rate * 1e3
    spans = spans[np.isfinite(spans) & (spans > 0)]
    return float(np.median(spans)) if len(spans) >= LEAST_BEATS else None
