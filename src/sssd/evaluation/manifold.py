"""Precision, recall, density and coverage of generated records in a feature space.

A set's manifold is the union of balls about its points that reach to the k-th neighbour in the same set
(Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020, eq. 4 and 6, k = 5 as there).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

FloatArray = NDArray[np.floating]

NEAREST = 5


def precision_recall_density_coverage(
    real: FloatArray, generated: FloatArray, *, k: int = NEAREST
) -> dict[str, float]:
    """Measure features of real records (n, D) against those of generated ones (m, D).

    precision: share of generated points in a real ball. recall: share of real points in a generated ball.
    density: real balls that a generated point is in, over k; its expectation for two sets of one distribution is 1.
    coverage: share of real balls with a generated point. All but recall depend on the number of points: compare sets
    of the same sizes. ValueError unless both sets have more than k points.
    """
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"got features {real.shape} and {generated.shape}: give (n, D) and (m, D)")
    if min(len(real), len(generated)) <= k:
        raise ValueError(f"got {len(real)} and {len(generated)} records: give more than {k} of each")
    between = cdist(real, generated)
    of_real, of_generated = _radii(real, k), _radii(generated, k)
    inside = between < of_real[:, None]
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((between < of_generated[None]).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / k),
        "coverage": float(inside.any(axis=1).mean()),
    }


def _radii(x: FloatArray, k: int) -> NDArray[np.float64]:
    """Return the distance of each point to its k-th neighbour in the same set, (n,)."""
    distance = cdist(x, x)
    np.fill_diagonal(distance, 0.0)  # itself, nearest of all
    radius: NDArray[np.float64] = np.partition(distance, k, axis=1)[:, k]
    return radius
