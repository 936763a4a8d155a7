"""DDPM, the ancestral sampler (Ho et al. 2020, algorithm 2), visits every step of the schedule."""

from __future__ import annotations

import numpy as np

from ..schedule import Schedule
from .table import StepTable, nodes


def ddpm(schedule: Schedule) -> StepTable:
    """Return the table of the posterior q(x_{t-1} | x_t, x0), variance beta tilde (Ho et al. 2020, eq. 6 and 7).

    It has T rows, from step T-1 to the clean end, and the last row adds no noise. The rows combine x0, which keeps
    them finite where alpha = 0.
    """
    steps = np.arange(schedule.T - 1, -1, -1)
    alpha, sigma = nodes(schedule, steps)
    alpha_next, sigma_next = alpha[1:], sigma[1:]
    root = alpha[:-1] / alpha_next  # sqrt(1 - beta_t)
    variance = sigma[:-1] ** 2
    a = root * sigma_next**2 / variance  # eq. 7, factor of x_t
    return StepTable(
        name="ddpm",
        history="x0",
        steps=steps,
        a=a,
        b=(alpha_next - alpha[:-1] * a)[
            :, None
        ],  # eq. 7: sqrt(abar_{t-1}) beta_t / (1 - abar_t), factor of x_0
        c=sigma_next * np.sqrt((1.0 - root**2) / variance),  # sqrt(beta tilde)
        alpha=alpha,
        sigma=sigma,
    )
