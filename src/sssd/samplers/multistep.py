"""The order of each row and the integrals of polynomials in lambda, which the multistep samplers share.

Between nodes i and i + 1 the solution is an integral of x0 or eps under an exponential weight in
lambda = log(alpha / sigma) (Lu et al. 2022b, eq. 8; Zhang and Chen 2023, eq. 14). A multistep sampler replaces x0 or
eps by the polynomial through the last p outputs of the network, so that each row is a weighted mean of them.
"""

from __future__ import annotations

import numpy as np

from ..schedule import FloatArray, IntArray

_POINTS = np.polynomial.legendre.leggauss(32)  # exact to rounding for every step of lambda below 30


def log_snr(alpha: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return lambda (S,) of the S nodes before the clean one, from alpha and sigma (S + 1,); -inf where alpha is 0."""
    with np.errstate(divide="ignore"):
        return np.log(alpha[:-1]) - np.log(sigma[:-1])


def row_orders(lam: FloatArray, order: int) -> IntArray:
    """Return the number of points, 1 .. order, that each row i = 0 .. S-1 interpolates: (S,).

    There are at most as many as nodes so far, not counting one without signal, whose lambda is infinite. There are also
    at most as many as rows left, so that the last row, to the clean end at lambda = inf, has order 1 and the row before
    it order 2 (`lower_order_final` of the published solvers).
    ValueError unless order is 1, 2 or 3.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"order is {order!r}: expected 1, 2 or 3")
    known, left = np.cumsum(np.isfinite(lam)), np.arange(len(lam), 0, -1)
    return np.clip(np.minimum(known, left), 1, order)


def exact_weights(points: FloatArray, start: float, end: float, exponent: int) -> FloatArray:
    """Return each Lagrange polynomial through `points` (p,), averaged over start .. end by e^(exponent lambda).

    These p weights of the last outputs sum to 1. They are exact where the output is a polynomial of degree p - 1 in
    lambda. exponent: 1 for x0, -1 for eps.
    """
    p = len(points)
    if p == 1:
        return np.ones(1)
    lam = start + (end - start) * (_POINTS[0] + 1.0) / 2.0
    density = _POINTS[1] * np.exp(exponent * (lam - start))
    basis = np.stack(
        [
            np.prod([(lam - points[k]) / (points[j] - points[k]) for k in range(p) if k != j], axis=0)
            for j in range(p)
        ]
    )
    weights: FloatArray = basis @ density / density.sum()
    return weights
