"""Power spectra of the leads, and how far those of generated records are from those of real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

FloatArray = NDArray[np.floating]

BAND_HZ = (0.5, 40.0)  # what a diagnostic ECG shows
_SEGMENT_S = 2.56


def power(x: FloatArray, *, fs_hz: float = 100.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power density over records of each lead (Welch 1967, segments of 2.56 s).

    x (n, C, L) in mV -> frequencies (F,) in Hz, densities (C, F) in mV^2/Hz.
    """
    segment = min(round(_SEGMENT_S * fs_hz), x.shape[-1])
    total, frequency = 0.0, np.zeros(0)
    for start in range(0, len(x), 256):
        part = np.asarray(x[start : start + 256], dtype=np.float64)
        frequency, density = welch(part, fs=fs_hz, nperseg=segment, axis=-1)
        total = total + density.sum(axis=0)
    return frequency, np.asarray(total / len(x), dtype=np.float64)


def spectral_distance_db(
    frequency: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> float:
    """Mean over leads and frequencies of 0.5 to 40 Hz of |10 log10(a / b)|: densities (C, F) each -> decibels."""
    band = (frequency >= BAND_HZ[0]) & (frequency <= BAND_HZ[1])
    floor = 1e-12  # mV^2/Hz, far below one microvolt
    ratio = np.log10(a[:, band] + floor) - np.log10(b[:, band] + floor)
    return float(10.0 * np.abs(ratio).mean())
