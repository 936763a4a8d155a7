"""The beats of a record: how alike they are, and the intervals and amplitudes that a reader of ECGs measures.

R peaks, onsets and ends of the waves come from NeuroKit2 in lead II (Makowski et al. 2021; delineation by prominence,
Emrich et al. 2024: on normal PTB-XL records at 100 Hz PR 150, QRS 80, QT 400 ms, where its wavelets give 90, 168 and
430). Each record gives one number per measure, the median over its beats; NaN where the detector finds none.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..leads import EIGHT

FloatArray = NDArray[np.floating]

UNITS = {
    "heart_rate": "/min",
    "rr_variability": "ms",  # root mean square of successive differences of RR intervals
    "pr": "ms",
    "qrs": "ms",
    "qtc": "ms",  # Bazett 1920
    "st": "mV",  # 60 ms after the end of QRS, against the level before QRS
    "t": "mV",  # at the peak of T, against the same
    "beat_likeness": "",
}
BEFORE_S, AFTER_S = 0.25, 0.40  # a beat, about its R peak
_FAILURES = (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError)  # of a detector without beats


def measure(
    x: FloatArray, *, fs_hz: float = 100.0, on_record: Callable[[], None] | None = None
) -> dict[str, NDArray[np.float64]]:
    """All of `UNITS`, each (n,): x (n, 8, L) in mV, leads I V1..V6 aVF.

    ModuleNotFoundError where NeuroKit2 is not installed.
    """
    try:
        import neurokit2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "intervals and heart rates need NeuroKit2, which is not installed: pip install 'sssd-ecg[eval]'"
        ) from error
    found: dict[str, NDArray[np.float64]] = {name: np.full(len(x), np.nan) for name in UNITS}
    for i, record in enumerate(np.asarray(x, dtype=np.float64)):
        lead_ii = record[EIGHT.index("I")] / 2.0 + record[EIGHT.index("aVF")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, value in _of_record(neurokit2, record, lead_ii, fs_hz).items():
                found[name][i] = value
        if on_record is not None:
            on_record()
    return found


def likeness(x: FloatArray, peaks: NDArray[np.integer], *, fs_hz: float = 100.0) -> float:
    """How alike a record's own beats are: mean correlation over all pairs of beats, x (C, L), R peaks (p,).

    A beat is all leads from 0.25 s before to 0.4 s after its R peak, each lead less its mean. 1 where all beats are
    the same; NaN with fewer than two whole beats.
    """
    before, after = round(BEFORE_S * fs_hz), round(AFTER_S * fs_hz)
    whole = [int(p) for p in peaks if before <= p < x.shape[-1] - after]
    beats = np.array([x[:, p - before : p + after] for p in whole], dtype=np.float64)  # (p, C, samples)
    if len(beats) < 2:
        return float("nan")
    beats = (beats - beats.mean(axis=-1, keepdims=True)).reshape(len(beats), -1)
    norm = np.linalg.norm(beats, axis=1)
    unit = beats[norm > 1e-9] / norm[norm > 1e-9, None]
    n = len(unit)
    return float(((unit.sum(axis=0) ** 2).sum() - n) / (n * (n - 1))) if n > 1 else float("nan")


def _of_record(neurokit2: Any, record: FloatArray, lead_ii: FloatArray, fs_hz: float) -> dict[str, float]:
    try:
        cleaned = neurokit2.ecg_clean(lead_ii, sampling_rate=fs_hz)
        _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=fs_hz)
    except _FAILURES:
        return {}
    peaks = np.asarray(found["ECG_R_Peaks"], dtype=np.int64)
    if len(peaks) < 3:
        return {}
    rr = np.diff(peaks) / fs_hz  # s
    values = {
        "heart_rate": 60.0 / float(np.median(rr)),
        "rr_variability": 1e3 * float(np.sqrt(np.mean(np.diff(rr) ** 2))),
        "beat_likeness": likeness(record, peaks, fs_hz=fs_hz),
    }
    try:
        _, waves = neurokit2.ecg_delineate(cleaned, peaks, sampling_rate=fs_hz, method="prominence")
    except _FAILURES:
        return values
    onset = _beside(waves["ECG_R_Onsets"], peaks, before=True)
    end = _beside(waves["ECG_R_Offsets"], peaks)
    level = _level(lead_ii, onset - 0.02 * fs_hz, fs_hz)  # between P and QRS
    qt = (_beside(waves["ECG_T_Offsets"], peaks) - onset) / fs_hz
    return values | {
        "pr": 1e3 / fs_hz * _median(onset - _beside(waves["ECG_P_Onsets"], peaks, before=True)),
        "qrs": 1e3 / fs_hz * _median(end - onset),
        "qtc": 1e3 * _median(qt) / float(np.sqrt(np.median(rr))),
        "st": _median(_level(lead_ii, end + 0.06 * fs_hz, fs_hz) - level),
        "t": _median(_level(lead_ii, _beside(waves["ECG_T_Peaks"], peaks), fs_hz) - level),
    }


def _beside(wave: Any, peaks: NDArray[np.integer], *, before: bool = False) -> NDArray[np.float64]:
    """The last point of a wave before each R peak (p,), or the first after it; NaN where the next beat is nearer.

    The detector leaves out the points that it does not find, so that they are not one to a beat.
    """
    points = np.asarray(wave, dtype=np.float64)
    points = np.sort(points[np.isfinite(points)])
    found = np.full(len(peaks), np.nan)
    for i, peak in enumerate(peaks):
        left = points[(points <= peak) & (points > (peaks[i - 1] if i > 0 else -1))]
        right = points[(points >= peak) & (points < (peaks[i + 1] if i + 1 < len(peaks) else np.inf))]
        if before and len(left):
            found[i] = left[-1]
        elif not before and len(right):
            found[i] = right[0]
    return found


def _level(lead: FloatArray, at: FloatArray, fs_hz: float) -> NDArray[np.float64]:
    """Mean of the lead over 30 ms about each place (p,) in samples; NaN where that is NaN or beyond the record."""
    half = max(round(0.01 * fs_hz), 1)
    levels = np.full(len(at), np.nan)
    for i, place in enumerate(at):
        if np.isfinite(place) and half <= round(place) < len(lead) - half:
            levels[i] = lead[round(place) - half : round(place) + half + 1].mean()
    return levels


def _median(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
