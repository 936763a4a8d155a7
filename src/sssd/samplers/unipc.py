"""UniPC (Zhao et al. 2023) corrects each prediction by the network's output at its node, without another evaluation.

Row i predicts node i + 1 from the corrected state of node i. The prediction and the correction of a node start from the
same a x. Correcting node i therefore only adds multiples of the history, and one row does both:

    a_i (x + correction_i) + prediction_i        both are weights of h_i, h_{i-1}, ...
"""

from __future__ import annotations

import numpy as np

from ..schedule import FloatArray, IntArray, Schedule
from .multistep import exact_weights, log_snr, row_orders
from .table import StepTable, nodes


def unipc(schedule: Schedule, steps: IntArray, order: int = 3) -> StepTable:
    """Return the table of UniPC-p, p = `order`, over `steps` (S,), strictly decreasing.

    Zhao et al. 2023, algorithms 1 and 2.

    It predicts x0 and uses B_2(h) = e^h - 1, as in `diffusers`. If the first step keeps no signal, the first row is
    that of DDIM, without a correction. Raises ValueError for an order other than 1, 2, 3.
    """
    alpha, sigma = nodes(schedule, steps)
    lam = log_snr(alpha, sigma)
    a = sigma[1:] / sigma[:-1]
    gain = alpha[1:] - alpha[:-1] * a  # -alpha_t B_2(h) for x0, where the h of the paper's eq. 3 is -h
    b = np.zeros((len(a), order + 1))
    correction = np.zeros(order + 1)  # of the state from which row i starts, as weights of h_i, h_{i-1}, ...
    for i, p in enumerate(row_orders(lam, order)):
        prediction = np.zeros(order + 1)
        prediction[:p] = gain[i] * _predictor(lam[i - p + 1 : i + 2][::-1], p)
        b[i] = a[i] * correction + prediction
        correction = np.zeros(order + 1)
        if i + 1 < len(a) and np.isfinite(lam[i]):
            correction[: p + 1] = gain[i] * _corrector(lam[i - p + 1 : i + 2][::-1], p)
            correction[1:] -= prediction[:-1]  # h_i of this row is h_{i-1} of the next
    return StepTable(
        name="unipc",
        history="x0",
        steps=steps,
        a=a,
        b=b,
        c=np.zeros_like(a),
        alpha=alpha,
        sigma=sigma,
    )


def _predictor(lam: FloatArray, p: int) -> FloatArray:
    """Return weights (p,) of h_i, h_{i-1}, ...; lam: lambda of the node to reach, then of nodes i, i - 1, ...

    Solving eq. 8 is the same as integrating the polynomial through the p outputs. For p = 2, though, the paper sets
    a_1 = 1/2.
    """
    if p == 1:
        return np.ones(1)
    if p == 2:
        r = (lam[2] - lam[1]) / (lam[0] - lam[1])  # r_1, negative
        return np.array([1.0 - 0.5 / r, 0.5 / r])
    return exact_weights(lam[1:], lam[1], lam[0], 1)


def _corrector(lam: FloatArray, p: int) -> FloatArray:
    """Return weights (p + 1,) of h_{i+1}, h_i, ...: a_1 = 1/2 for p = 1, and eq. 8 for larger p."""
    if p == 1:
        return np.array([0.5, 0.5])
    return exact_weights(lam, lam[1], lam[0], 1)
