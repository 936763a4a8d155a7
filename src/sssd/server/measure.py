"""Heart rate and intervals of one record: what the page shows beside it.

The heart rate comes from the pace at which steep complexes return, found without NeuroKit2. PR, QRS and QT need its
delineation (discrete wavelets, Martinez et al. 2004), on lead II: medians over the beats, null without it or where it
finds nothing. QTc = QT / sqrt(RR / 1 s) (Bazett 1920).
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ..record import Ecg

Floats = NDArray[np.float64]

NOTHING: dict[str, float | None] = dict.fromkeys(("heart_rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms"))
DELINEATED_AT_HZ = 500.0  # the wavelets' scales are meant for such rates
LEAST_BEATS = 3


def measure(ecg: Ecg) -> dict[str, float | None]:
    """Heart rate in beats per minute, PR, QRS, QT and QTc in ms, to whole numbers; None where not measurable."""
    beats = complexes(ecg.signal, ecg.fs_hz)
    if len(beats) < LEAST_BEATS:
        return dict(NOTHING)
    rr_s = float(np.median(np.diff(beats))) / ecg.fs_hz
    found = {**NOTHING, "heart_rate_bpm": 60.0 / rr_s, **_intervals(ecg.lead("II"), ecg.fs_hz)}
    if found["qt_ms"] is not None:
        found["qtc_ms"] = found["qt_ms"] / math.sqrt(rr_s)
    return {name: None if value is None else float(round(value)) for name, value in found.items()}


def complexes(signal: np.ndarray, fs_hz: float) -> NDArray[np.intp]:
    """Where QRS complexes are, in samples: peaks of the slope over all leads, (12, L) -> (beats,).

    Slope: |x(t+1) - x(t)|, each lead to its own 98th percentile, summed, smoothed over 80 ms. A peak counts from 0.35
    of their upper range, 0.25 s from the next.
    """
    slope = np.abs(np.diff(signal.astype(np.float64), axis=-1))  # (12, L - 1)
    scale = np.quantile(slope, 0.98, axis=-1, keepdims=True)
    slope = (slope / np.where(scale > 0, scale, 1.0)).sum(axis=0)
    width = max(1, round(0.08 * fs_hz))
    slope = np.convolve(slope, np.ones(width) / width, mode="same")
    peaks, _ = find_peaks(slope, height=0.35 * np.quantile(slope, 0.98), distance=max(1, round(0.25 * fs_hz)))
    return peaks


def _intervals(lead: np.ndarray, fs_hz: float) -> dict[str, float | None]:
    """PR, QRS and QT in ms of one lead (L,) by NeuroKit2; empty without it."""
    if importlib.util.find_spec("neurokit2") is None:
        return {}
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            rate = DELINEATED_AT_HZ
            x = neurokit2.signal_resample(
                lead.astype(np.float64), sampling_rate=fs_hz, desired_sampling_rate=rate
            )
            x = neurokit2.ecg_clean(x, sampling_rate=rate)
            _, peaks = neurokit2.ecg_peaks(x, sampling_rate=rate)
            _, waves = neurokit2.ecg_delineate(x, peaks["ECG_R_Peaks"], sampling_rate=rate, method="dwt")
        except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError):
            return {}  # a flat or shapeless lead breaks the delineation in as many ways
    ends = {
        "pr_ms": ("ECG_P_Onsets", "ECG_R_Onsets"),
        "qrs_ms": ("ECG_R_Onsets", "ECG_R_Offsets"),
        "qt_ms": ("ECG_R_Onsets", "ECG_T_Offsets"),
    }
    return {name: _median_ms(waves, first, last, rate) for name, (first, last) in ends.items()}


def _median_ms(waves: dict[str, Any], first: str, last: str, rate: float) -> float | None:
    start, end = (np.asarray(waves.get(name, ()), dtype=np.float64) for name in (first, last))
    if len(start) != len(end):
        return None
    spans = (end - start) / rate * 1e3
    spans = spans[np.isfinite(spans) & (spans > 0)]
    return float(np.median(spans)) if len(spans) >= LEAST_BEATS else None
