"""Rhythm: how regularly beats return, and the heart rate.

Beat regularity needs no detector and no threshold. With x (C, L) the leads of one record,

    e(t) = sum over leads of |x(t+1) - x(t)|, its mean removed
    r(k) = sum_t e(t) e(t+k) / sum_t e(t)^2
    regularity = max of r(k) over lags of 0.35 to 2.0 s

It is large where steep complexes return at a steady pace, small in atrial fibrillation, and near 0.2 where
complexes come without a rhythm at all. r is not rescaled for the shorter overlap at longer lags.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..labels import has

FloatArray = NDArray[np.floating]

SHORTEST_S, LONGEST_S = 0.35, 2.0  # 171 down to 30 beats per minute


def beat_regularity(x: FloatArray, *, fs_hz: float = 100.0) -> NDArray[np.float64]:
    """Beat regularity of each record, between 0 and 1: x (n, C, L) -> (n,).

    The unit does not matter. A record without any change gives NaN. ValueError for records of 2 s or less.
    """
    if x.ndim != 3:
        raise ValueError(f"got an array of shape {x.shape}: give records as (records, leads, samples)")
    first, last = round(SHORTEST_S * fs_hz), round(LONGEST_S * fs_hz)
    if x.shape[-1] - 1 <= last:
        raise ValueError(
            f"{x.shape[-1]} samples at {fs_hz:g} Hz are too few for lags of up to {LONGEST_S:g} s: "
            f"give records of at least {last + 2} samples"
        )
    e = np.abs(np.diff(np.asarray(x, dtype=np.float64), axis=-1)).sum(axis=1)  # (n, L-1)
    e -= e.mean(axis=-1, keepdims=True)
    padded = e.shape[-1] + last  # enough that no lag up to `last` wraps around
    r = np.fft.irfft(np.abs(np.fft.rfft(e, padded)) ** 2, padded)[:, : last + 1]
    flat = r[:, 0] <= 1e-20
    result: NDArray[np.float64] = r[:, first:].max(axis=-1) / np.where(flat, np.nan, r[:, 0])
    return result


def heart_rate(x: FloatArray, *, fs_hz: float = 100.0) -> NDArray[np.float64]:
    """Heart rate of each record in beats per minute by NeuroKit2's R peaks: one lead x (n, L) -> (n,).

    60 over the median RR interval. NaN where fewer than three R peaks are found or the detector gives up.
    ModuleNotFoundError where NeuroKit2 is not installed.
    """
    try:
        import neurokit2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "heart rates need NeuroKit2, which is not installed: pip install 'sssd-ecg[eval]'"
        ) from error
    rates = np.full(len(x), np.nan)
    for i, lead in enumerate(np.asarray(x, dtype=np.float64)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                cleaned = neurokit2.ecg_clean(lead, sampling_rate=fs_hz)
                _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=fs_hz)
            except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError):
                continue  # a flat or shapeless lead breaks the detector in as many ways: no rate
        peaks = np.asarray(found["ECG_R_Peaks"], dtype=np.float64)
        if len(peaks) >= 3:
            rates[i] = 60.0 * fs_hz / np.median(np.diff(peaks))
    return rates


def median_by_statement(
    values: FloatArray, labels: NDArray[np.integer], names: Sequence[str], statements: Sequence[str]
) -> Mapping[str, float]:
    """Median over the records that carry each statement, NaNs left out: values (n,), labels (n, K).

    A statement that no record with a value carries is left out. ValueError for a statement not in `names`.
    """
    unknown = [s for s in statements if s not in names]
    if unknown:
        raise ValueError(f"statement {unknown[0]!r} is not among the {len(names)} label names of this set")
    medians = {}
    for statement in statements:
        chosen = values[has(labels)[:, list(names).index(statement)]]
        chosen = chosen[~np.isnan(chosen)]
        if len(chosen):
            medians[statement] = float(np.median(chosen))
    return medians
