"""DEIS (Zhang and Chen 2023): exponential Adams-Bashforth on the network's noise."""

from __future__ import annotations

import numpy as np

from ..schedule import IntArray, Schedule
from .multistep import exact_weights, log_snr, row_orders
from .table import StepTable, nodes


def deis(schedule: Schedule, steps: IntArray, order: int = 3) -> StepTable:
    """Return the table of DEIS over `steps` (S,), strictly decreasing: Zhang and Chen 2023, eq. 14 and 15.

    The noise is extrapolated as a polynomial in log rho, rho = sigma / alpha, as in `diffusers`, because the paper's
    polynomials in time need a continuous schedule. The first and the last row are those of DDIM.
    Raises ValueError for an order other than 1, 2, 3, and if the first step keeps no signal, since the noise alone does
    not give a record there.
    """
    alpha, sigma = nodes(schedule, steps)
    if alpha[0] == 0.0:
        raise ValueError(
            f"DEIS cannot start at step {steps[0]}, which keeps no signal (alpha = 0): use dpmpp-2m or unipc, "
            "or leave that step out"
        )
    lam = log_snr(alpha, sigma)  # -log rho
    a = alpha[1:] / alpha[:-1]  # eq. 14, Psi
    gain = sigma[1:] - a * sigma[:-1]  # alpha_t (rho_t - rho_s), the weight of eps
    b = np.zeros((len(a), order))
    for i, p in enumerate(row_orders(lam, order)):
        end = lam[i + 1] if p > 1 else np.inf
        b[i, :p] = gain[i] * exact_weights(lam[i - p + 1 : i + 1][::-1], lam[i], end, -1)  # eq. 15, C_ij
    return StepTable(
        name="deis",
        history="eps",
        steps=steps,
        a=a,
        b=b,
        c=np.zeros_like(a),
        alpha=alpha,
        sigma=sigma,
    )
