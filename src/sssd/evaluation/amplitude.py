"""Amplitude: the standard deviation of each lead, its quantiles, and how the leads go together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def lead_std(x: FloatArray) -> NDArray[np.float64]:
    """Return the standard deviation of each lead, as a root mean square over all records: x (n, C, L) -> (C,).

    The mean of each record and lead is removed first, so that electrode offsets do not count.
    """
    deviation: NDArray[np.float64] = np.sqrt(np.asarray(x, dtype=np.float64).var(axis=-1).mean(axis=0))
    return deviation


def median_lead_std(x: FloatArray) -> NDArray[np.float64]:
    """Median over records of each lead's standard deviation, which few noisy records cannot move: -> (C,)."""
    deviation: NDArray[np.float64] = np.median(np.asarray(x, dtype=np.float64).std(axis=-1), axis=0)
    return deviation


def amplitude_ratio(generated: FloatArray, real: FloatArray) -> NDArray[np.float64]:
    """Return `lead_std` of the generated records over that of the real ones: (n, C, L), (m, C, L) -> (C,)."""
    _check_leads(generated, real)
    return lead_std(generated) / lead_std(real)


def median_amplitude_ratio(generated: FloatArray, real: FloatArray) -> NDArray[np.float64]:
    """Return `median_lead_std` of the generated records over that of the real ones: -> (C,)."""
    _check_leads(generated, real)
    return median_lead_std(generated) / median_lead_std(real)


QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def quantiles(x: FloatArray) -> NDArray[np.float64]:
    """Return `QUANTILES` of each lead's values in mV about the median of its record: x (n, C, L) -> (C, Q)."""
    x = np.asarray(x, dtype=np.float32)
    centred = x - np.median(x, axis=-1, keepdims=True)
    values: NDArray[np.float64] = np.quantile(centred, QUANTILES, axis=(0, 2)).T.astype(np.float64)
    return values


def lead_correlation(x: FloatArray) -> NDArray[np.float64]:
    """Correlation of each pair of leads in time, mean over records: x (n, C, L) -> (C, C). Flat leads are left out."""
    x = np.asarray(x, dtype=np.float64)
    x = x - x.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    unit = x / np.where(norm > 1e-9, norm, np.nan)
    products = unit @ unit.transpose(0, 2, 1)  # (n, C, C)
    known = ~np.isnan(products)
    mean: NDArray[np.float64] = np.nansum(products, axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def lead_correlation_error(generated: FloatArray, real: FloatArray) -> float:
    """Return the mean over pairs of leads of the absolute difference of `lead_correlation`."""
    _check_leads(generated, real)
    pairs = np.triu_indices(real.shape[1], k=1)
    return float(np.abs(lead_correlation(generated) - lead_correlation(real))[pairs].mean())


def _check_leads(generated: FloatArray, real: FloatArray) -> None:
    if generated.ndim != 3 or real.ndim != 3 or generated.shape[1] != real.shape[1]:
        raise ValueError(
            f"amplitudes of {generated.shape} against {real.shape} cannot be compared: "
            "give two arrays (records, leads, samples) with the same leads"
        )
