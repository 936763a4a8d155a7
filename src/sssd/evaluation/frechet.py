"""Frechet distance between two sets of feature vectors (Heusel et al. 2017, equation 6).

    d = |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^1/2)

of their means and covariances. It falls as records are added to either set, so compare only distances between
sets of the same sizes, and read them beside the distance between two real sets of those sizes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def frechet_distance(a: FloatArray, b: FloatArray) -> float:
    """Return the Frechet distance between features a (n, D) and b (m, D), not its root.

    ValueError for unlike shapes.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"got features {a.shape} and {b.shape}: give (n, D) and (m, D), two rows or more each"
        )
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    # C1 C2 has the eigenvalues of the symmetric C1^1/2 C2 C1^1/2, which keeps every root real.
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ cov_b @ root)
    overlap = np.sqrt(np.clip(cross, 0.0, None)).sum()
    gap = a.mean(axis=0) - b.mean(axis=0)
    return float(gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2.0 * overlap)
