"""Kernel distance (KID, Binkowski et al. 2018) between two sets of feature vectors.

The squared maximum mean discrepancy under the kernel (x . y / D + 1)^3, unbiased: its expectation is 0 for two sets
of one distribution, whatever their sizes, so that it can fall below 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def kernel_distance(a: FloatArray, b: FloatArray) -> float:
    """Return the kernel distance between features a (n, D) and b (m, D) (Gretton et al. 2012, eq. 3).

    ValueError for unlike shapes."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"got features {a.shape} and {b.shape}: give (n, D) and (m, D), two rows or more each"
        )
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n, m = len(a), len(b)
    aa, bb, ab = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    within = (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within - 2.0 * ab.mean())


def _kernel(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    product: NDArray[np.float64] = (a @ b.T / a.shape[1] + 1.0) ** 3
    return product
