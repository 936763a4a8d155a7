"""Band-limited interpolation, for drawing: straight lines between samples at 100 Hz make QRS complexes spiky.

Whittaker-Shannon interpolation with Lanczos' window (Duchon 1979): y(t) = sum_n x[n] sinc(t - n) sinc((t - n) / A) for
|t - n| < A, where t counts samples. Samples keep their values, and so do constants.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

A = 6  # samples to either side that count


def kernels(factor: int) -> NDArray[np.float64]:
    """Return the weights (factor, 2 A) of the samples -A + 1 .. A for the points k / factor after sample 0."""
    away = np.arange(factor)[:, None] / factor - np.arange(1 - A, A + 1)[None]
    weights = np.sinc(away) * np.sinc(away / A)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def finer(signal: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Return (..., (L - 1) factor + 1) points of a signal (..., L); the first and last sample go on beyond the ends."""
    samples = np.asarray(signal, np.float64)
    length = samples.shape[-1]
    padded = np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(A - 1, A)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * A, axis=-1)[..., :length, :]
    points = windows @ kernels(factor).T  # (..., L, factor)
    flat: NDArray[np.float64] = points.reshape(*samples.shape[:-1], length * factor)
    return flat[..., : (length - 1) * factor + 1]
