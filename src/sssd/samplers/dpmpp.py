"""Multistep DPM-Solver++ (Lu et al. 2022b) extrapolates x0 as a polynomial in lambda."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..schedule import FloatArray, IntArray, Schedule
from .multistep import exact_weights, log_snr, row_orders
from .table import StepTable, nodes

# (lambda of the newest p nodes, newest first; lambda of the node to reach) -> weights (p,) of their x0, of sum 1
Weights = Callable[[FloatArray, float], FloatArray]

NOISE_FROM = 2.5  # sigma / alpha from which on `sde_ode_dpmpp_2m` adds noise


def dpmpp_2m(schedule: Schedule, steps: IntArray) -> StepTable:
    """Return the table of DPM-Solver++(2M) over `steps` (S,), strictly decreasing: Lu et al. 2022b, algorithm 2.

    The first and the last row are those of DDIM (eq. 9). Raises ValueError as `nodes` does.
    """
    return _table("dpmpp-2m", schedule, steps, 2, _second)


def dpmpp_3m(schedule: Schedule, steps: IntArray) -> StepTable:
    """Return the table of DPM-Solver++(3M) as in the code of its authors and in `diffusers`.

    Its quadratic term has half of the weight that the integral gives, so that it converges with order 2.
    `dpmpp_3m_exact` gives it the whole weight. Raises ValueError as `nodes` does.
    """
    return _table("dpmpp-3m", schedule, steps, 3, _third)


def dpmpp_3m_exact(schedule: Schedule, steps: IntArray) -> StepTable:
    """Return the table that integrates the quadratic through the last three x0. It has order 3 and is not published."""
    return _table("dpmpp-3m-exact", schedule, steps, 3, _exact)


def sde_dpmpp_2m(schedule: Schedule, steps: IntArray) -> StepTable:
    """Return the table of SDE-DPM-Solver++(2M), which adds as much noise as DDPM and uses the same polynomial.

    Lu et al. 2022b, section 5 and appendix. Its rows of order 1 are those of DDIM with eta = 1. Raises ValueError as
    `nodes` does.
    """
    return _table("sde-dpmpp-2m", schedule, steps, 2, _second, noise_from=0.0)


def sde_ode_dpmpp_2m(schedule: Schedule, steps: IntArray) -> StepTable:
    """Return the table of SDE-DPM-Solver++(2M) at sigma / alpha of `NOISE_FROM` or more, and of DPM-Solver++(2M) below.

    As Karras et al. (2022, algorithm 2) do with S_tmin, it adds noise only where the levels are high. There it makes
    rhythms regular; in few large steps at low levels, its traces would stay in the record. Raises ValueError as `nodes`
    does.
    """
    return _table("sde-ode-dpmpp-2m", schedule, steps, 2, _second, noise_from=NOISE_FROM)


def _table(
    name: str,
    schedule: Schedule,
    steps: IntArray,
    order: int,
    weights: Weights,
    *,
    noise_from: float | None = None,
) -> StepTable:
    """Return a table whose rows add noise where sigma / alpha is `noise_from` or more, or none of them."""
    alpha, sigma = nodes(schedule, steps)
    lam = log_snr(alpha, sigma)
    a = sigma[1:] / sigma[:-1]  # eq. 9, factor of x
    c = np.zeros_like(a)
    if noise_from is not None:
        noisy = sigma[:-1] >= noise_from * alpha[:-1]
        decay = np.where(noisy, a * alpha[:-1] / alpha[1:], 1.0)  # e^-h in rows with noise
        a, c = a * decay, sigma[1:] * np.sqrt(1.0 - decay**2)
    gain = (
        alpha[1:] - alpha[:-1] * a
    )  # eq. 9, factor of x0: alpha_t (1 - e^-h), with 2 h for h if there is noise
    b = np.zeros((len(a), order))
    for i, p in enumerate(row_orders(lam, order)):
        newest = lam[i - p + 1 : i + 1][::-1]
        b[i, :p] = gain[i] * (weights(newest, lam[i + 1]) if p > 1 else 1.0)
    return StepTable(
        name=name,
        history="x0",
        steps=steps,
        a=a,
        b=b,
        c=c,
        alpha=alpha,
        sigma=sigma,
    )


def _second(lam: FloatArray, end: float) -> FloatArray:
    r = (lam[0] - lam[1]) / (end - lam[0])
    return np.array([1.0 + 0.5 / r, -0.5 / r])  # algorithm 2, D_i


def _third(lam: FloatArray, end: float) -> FloatArray:
    """Return the multistep third-order update of the authors' code, with D1 and D2 as weights of the last three x0."""
    if len(lam) == 2:
        return _second(lam, end)
    h = end - lam[0]
    r0, r1 = (lam[0] - lam[1]) / h, (lam[1] - lam[2]) / h
    newer, older = np.array([1.0, -1.0, 0.0]) / r0, np.array([0.0, 1.0, -1.0]) / r1
    D2 = (newer - older) / (r0 + r1)
    D1 = newer + r0 * D2
    phi_1 = np.expm1(-h)
    phi_2 = phi_1 / h + 1.0
    phi_3 = phi_2 / h - 0.5
    third: FloatArray = (
        np.array([1.0, 0.0, 0.0]) - (phi_2 * D1 - phi_3 * D2) / phi_1
    )  # the integral has 2 phi_3
    return third


def _exact(lam: FloatArray, end: float) -> FloatArray:
    return exact_weights(lam, lam[0], end, 1)
