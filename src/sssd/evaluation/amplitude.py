"""Amplitude: the standard deviation of each lead, and its ratio between generated and real records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def lead_std(x: FloatArray) -> NDArray[np.float64]:
    """Root mean square over all records of each lead about its own mean in its record: x (n, C, L) -> (C,).

    The mean of each record and lead is removed first, so that electrode offsets count for nothing.
    """
    deviation: NDArray[np.float64] = np.sqrt(np.asarray(x, dtype=np.float64).var(axis=-1).mean(axis=0))
    return deviation


def median_lead_std(x: FloatArray) -> NDArray[np.float64]:
    """Median over records of each lead's standard deviation, which few noisy records cannot move: -> (C,)."""
    deviation: NDArray[np.float64] = np.median(np.asarray(x, dtype=np.float64).std(axis=-1), axis=0)
    return deviation


def amplitude_ratio(generated: FloatArray, real: FloatArray) -> NDArray[np.float64]:
    """`lead_std` of the generated records over that of the real ones: (n, C, L), (m, C, L) -> (C,)."""
    _check_leads(generated, real)
    return lead_std(generated) / lead_std(real)


def median_amplitude_ratio(generated: FloatArray, real: FloatArray) -> NDArray[np.float64]:
    """`median_lead_std` of the generated records over that of the real ones: -> (C,)."""
    _check_leads(generated, real)
    return median_lead_std(generated) / median_lead_std(real)


def _check_leads(generated: FloatArray, real: FloatArray) -> None:
    if generated.ndim != 3 or real.ndim != 3 or generated.shape[1] != real.shape[1]:
        raise ValueError(
            f"amplitudes of {generated.shape} against {real.shape} cannot be compared: "
            "give two arrays (records, leads, samples) with the same leads"
        )
