"""Power spectra of the leads: densities, power in bands, and how generated records differ from recordings in them.

Bands are measured on the whole record: its mean is removed, a Hann window is laid over it, and the power of the
Fourier coefficients between two edges is summed. Levels are the log10 of that power in mV^2, so a difference of 1 is
ten times the power (10 dB).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.signal import get_window, welch

FloatArray = NDArray[np.floating]
Levels = NDArray[np.float64]

DIAGNOSTIC_HZ = (0.5, 40.0)  # what a diagnostic ECG shows
EDGES_HZ = (0.0, 0.5, 1.0, 3.0, 8.0, 15.0, 25.0, 35.0, 45.0, 50.0, 75.0, 100.0, 150.0)
FLOOR = 1e-12  # mV^2, far below the rounding to 1 uV
_SEGMENT_S = 2.56
_PART = 256  # records at a time


@dataclass(frozen=True)
class BandDifference:
    """How the band levels of generated records differ from those of recordings; one value per band (B,).

    edges_hz: the B + 1 edges of the bands.
    difference: median level over records and leads, generated less recorded, in decades.
    spread: standard deviation of a lead's level over records, mean of the leads, generated over recorded.
    spread_between_leads: standard deviation of the level over the leads of one record, once the median of each lead
        over its set is taken off; mean of the records, generated over recorded.
    recorded_level, recorded_spread, recorded_spread_between_leads: the same of the recordings themselves, in decades.
    """

    edges_hz: tuple[float, ...]
    difference: Levels
    spread: Levels
    spread_between_leads: Levels
    recorded_level: Levels
    recorded_spread: Levels
    recorded_spread_between_leads: Levels


def power(x: FloatArray, *, fs_hz: float = 100.0) -> tuple[Levels, Levels]:
    """Return each lead's mean power density over records (Welch 1967, segments of 2.56 s), up to the Nyquist frequency.

    x (n, C, L) in mV -> frequencies (F,) in Hz, densities (C, F) in mV^2/Hz.
    """
    segment = min(round(_SEGMENT_S * fs_hz), x.shape[-1])
    total, frequency = 0.0, np.zeros(0)
    for start in range(0, len(x), _PART):
        part = np.asarray(x[start : start + _PART], dtype=np.float64)
        frequency, density = welch(part, fs=fs_hz, nperseg=segment, axis=-1)
        total = total + density.sum(axis=0)
    return frequency, np.asarray(total / len(x), dtype=np.float64)


def spectral_distance_db(frequency: Levels, a: Levels, b: Levels) -> float:
    """Return |10 log10(a / b)| of densities (C, F), averaged over leads and 0.5 to 40 Hz, in decibels."""
    band = (frequency >= DIAGNOSTIC_HZ[0]) & (frequency <= DIAGNOSTIC_HZ[1])
    ratio = np.log10(a[:, band] + FLOOR) - np.log10(b[:, band] + FLOOR)
    return float(10.0 * np.abs(ratio).mean())


def edges(fs_hz: float = 100.0) -> tuple[float, ...]:
    """Return the edges of the bands at a sampling rate: `EDGES_HZ`, and the Nyquist frequency last."""
    nyquist = fs_hz / 2.0
    return (*(edge for edge in EDGES_HZ if edge < nyquist), nyquist)


def band_levels(x: FloatArray, *, fs_hz: float = 100.0, edges_hz: tuple[float, ...] | None = None) -> Levels:
    """Return log10 of the power in mV^2 between each two edges: x (n, C, L) in mV -> (n, C, B).

    A band holds its lower edge, and the last one its upper edge too. ValueError for a band in which a record of this
    length has no frequency.
    """
    limits = np.asarray(edges(fs_hz) if edges_hz is None else edges_hz, dtype=np.float64)
    length = x.shape[-1]
    frequency = np.fft.rfftfreq(length, 1.0 / fs_hz)
    first = np.searchsorted(frequency, limits - 1e-9)
    first[-1] = np.searchsorted(frequency, limits[-1] + 1e-9)
    if (np.diff(first) < 1).any():
        i = int(np.argmax(np.diff(first) < 1))
        raise ValueError(
            f"{length} samples at {fs_hz:g} Hz have no frequency between {limits[i]:g} and {limits[i + 1]:g} Hz: "
            "give longer records or wider bands"
        )
    window = get_window("hann", length)
    scale = 2.0 / (length * (window**2).sum())  # so that the bands add up to the variance
    found = np.empty((len(x), x.shape[1], len(limits) - 1))
    for start in range(0, len(x), _PART):
        part = np.asarray(x[start : start + _PART], dtype=np.float64)
        part = (part - part.mean(axis=-1, keepdims=True)) * window
        density = scale * np.abs(np.fft.rfft(part)) ** 2
        density[..., 0] /= 2.0  # 0 Hz and the Nyquist frequency have no counterpart of negative frequency
        density[..., -1] /= 2.0 if length % 2 == 0 else 1.0
        summed = np.add.reduceat(density[..., : first[-1]], first[:-1], axis=-1)
        found[start : start + _PART] = np.log10(summed + FLOOR)
    return found


def log_spectra(
    x: FloatArray, low_hz: float, high_hz: float, *, fs_hz: float = 100.0, step_hz: float = 1.0
) -> Levels:
    """Return each record's spectrum in steps of 1 Hz from low_hz to high_hz: x (n, C, L) in mV -> levels (n, C * B)."""
    steps = round((high_hz - low_hz) / step_hz)
    limits = np.linspace(low_hz, high_hz, steps + 1)
    return band_levels(x, fs_hz=fs_hz, edges_hz=tuple(limits)).reshape(len(x), -1)


def band_difference(recorded: FloatArray, generated: FloatArray, *, fs_hz: float = 100.0) -> BandDifference:
    """Return the level and spread of every band, generated against recorded: x (n, C, L) and (m, C, L) in mV."""
    real, made = (band_levels(x, fs_hz=fs_hz) for x in (recorded, generated))

    def between_leads(levels: Levels) -> Levels:
        own = levels - np.median(levels, axis=0)
        return np.asarray(own.std(axis=1).mean(axis=0), dtype=np.float64)

    level = np.median(real, axis=(0, 1))
    return BandDifference(
        edges_hz=edges(fs_hz),
        difference=np.median(made, axis=(0, 1)) - level,
        spread=_over_records(made) / _over_records(real),
        spread_between_leads=between_leads(made) / between_leads(real),
        recorded_level=level,
        recorded_spread=_over_records(real),
        recorded_spread_between_leads=between_leads(real),
    )


def _over_records(levels: Levels) -> Levels:
    """Return the standard deviation of a lead's level over records, mean of the leads: (n, C, B) -> (B,)."""
    return np.asarray(levels.std(axis=0).mean(axis=0), dtype=np.float64)


def band_limited(x: FloatArray, low_hz: float, high_hz: float, *, fs_hz: float = 100.0) -> Levels:
    """Return only the frequencies from `low_hz` to `high_hz`: x (n, C, L) -> (n, C, L), without a shift in time.

    The coefficients of the cosine transform outside the band are set to zero. The transform continues a record with
    its mirror image, so that a difference between its two ends does not leak into the band. Nothing passes outside
    the band, where a filter with a slope would leave a weak copy that a classifier can still read.
    """
    length = x.shape[-1]
    frequency = np.arange(length) * fs_hz / (2.0 * length)
    keep = (frequency >= low_hz) & (frequency <= high_hz)
    coefficients = dct(np.asarray(x, dtype=np.float64), axis=-1)
    return np.asarray(idct(np.where(keep, coefficients, 0.0), axis=-1), dtype=np.float64)
